"""The picture of a run in a terminal: lines of a given width, as many as there is room for. Pure: of snapshots as the page has them.

Colours are the sixteen that a terminal has by its own theme, so that they can be read on a dark and on a light ground.
"""

from __future__ import annotations

import io
import os
import textwrap
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from manyhands._core.verdict import duration, size
from manyhands.watch import _words

if TYPE_CHECKING:
    from collections.abc import Iterable

_NARROW, _HIGH = 150, 10  # columns; lines: then the verdict has two, whatever it says, so that nothing moves when it changes
_GAP = "  "
_MOST_SLOWEST, _MOST_ERRORS, _MOST_LOST = 5, 5, 3
_BAR = 8  # columns of a worker's bar, where there is room
_ROOMY = 100  # columns
_IMPORTANT = 6  # numbers: rather all of them than dots between them
_LABEL = 9  # columns of "slowest", "errors"
_NAME = 16  # columns of a worker's name, at most
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_LEVELS = "▁▂▃▄▅▆▇█"
_STYLES = {"busy": "green", "idle": "dim", "paused": "yellow", "gone": "dim", "lost": "bold red"}
_ENDS = {"running": "bold", "done": "bold green", "failed": "bold red", "interrupted": "bold yellow", "died": "bold red"}
_LINES = {"good": "green", "advice": "yellow", "failures": "red", "lost": "red", "slowest": "", "cost": "dim"}
_ASCII = str.maketrans(
    {"━": "=", "╸": "-", "─": "-", "●": "*", "±": "~", "×": "x", "…": "~", "µ": "u", "·": "-", **dict.fromkeys(_LEVELS, "|")}
)


def ascii_only(text: str) -> str:
    """For terminals that are not for all letters."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def picture(run: dict[str, Any], width: int, height: int) -> list[Text]:
    """A run that is under way, in at most so many lines."""
    lines = _head(run, width, 2 if width < _NARROW and height >= _HIGH else 1)[: max(1, height)]
    room = height - len(lines)
    lanes, lost = _alive(run), _lost(run)
    slowest, errors = _slowest(run), _errors(run)
    # One line for the tasks that take longest, and up to two for errors, before the workers have all of the room; then whatever is left.
    need = len(lanes) + len(lost)
    for_errors = min(len(errors), 2 if room >= 6 else 1 if room >= 3 else 0)
    for_slowest = 1 if slowest and room >= 5 else 0
    shown = min(need, max(0, room - for_errors - for_slowest))
    spare = room - shown - for_errors - for_slowest
    for_errors += min(spare, len(errors) - for_errors)
    lines += _lanes(lanes, lost, width, shown)
    if for_slowest:
        lines.append(_labelled("slowest", Text(", ".join(slowest)), width))
    lines += [_labelled("" if index else "errors", error, width) for index, error in enumerate(errors[:for_errors])]
    return lines


def screen(runs: list[dict[str, Any]], width: int, height: int) -> list[Text]:
    """All runs, those that are under way first."""
    under_way = [run for run in runs if run["state"] == "running"]
    ended = [run for run in reversed(runs) if run["state"] != "running"]
    lines: list[Text] = []
    for index, run in enumerate(under_way):
        room = (height - len(lines)) // (len(under_way) - index)
        if room < 2:
            lines.append(_cut(Text(f"and {len(under_way) - index} more", "dim"), width))
            break
        lines += [*picture(run, width, room - 1), Text()]
    for run in ended:
        told = [_cut(line, width) for line in summary(run)]
        room = height - len(lines)
        if room < 1:
            break
        lines += [*told, Text()] if len(told) <= room and (not under_way or room > len(told) * 2) else told[:1]
    return lines[: height if not lines or lines[-1] else min(height, len(lines) - 1)]


def summary(run: dict[str, Any]) -> list[Text]:
    """A run that has ended: lines as long as they are."""
    lines = []
    for line in _words.summary(run):
        if line.kind == "head":
            name = _words.plain(run["name"])
            text = Text.assemble((name, _ENDS.get(run["state"], "")), line.text.removeprefix(name))
        else:
            text = Text.assemble(_GAP, (line.text, _LINES[line.kind]))
        lines.append(text)
    return lines


# ---------------------------------------------------------------- how far it is


def _head(run: dict[str, Any], width: int, most: int) -> list[Text]:
    """``most``: lines for the verdict."""
    said, verdict = _words.advice(run), run["verdict"]
    style = "dim" if verdict is None else _LINES["good" if verdict["kind"] == "good" else "advice"]
    if not said and not run["done"]:
        said = "Waiting for the first task to end."
    words = [Text(line, style) for line in textwrap.wrap(said, width, max_lines=most, placeholder="…")]
    return [_progress(run, width), _numbers(run, width), *words, *[Text()] * (most - len(words))]


def _progress(run: dict[str, Any], width: int) -> Text:
    """``program.py ━━━━━━━━━━━━╸──────── 51% 12 s``."""
    is_known = bool(run["total"])
    share = min(1.0, run["done"] / run["total"]) if is_known else 0.0
    after = f" {int(share * 100)}%" if is_known else ""
    after += f" {_words.clock(run['elapsed'])}"
    name = Text(_words.plain(run["name"]), _ENDS.get(run["state"], "bold"))
    name.truncate(max(8, width // 3), overflow="ellipsis")
    room = max(0, width - name.cell_len - len(after) - 1)
    return Text.assemble(name, " ", _bar(share, run["failed"] / run["total"] if is_known else 0.0, room), (after, "bold"))


def _bar(share: float, failed: float, room: int) -> Text:
    """``failed``: the share that is red, at the end of what is done."""
    done = int(share * room)
    red = min(done, max(1, round(failed * room))) if failed and done else 0
    half = "╸" if done < room and share * room - done >= 0.5 else ""
    green = ("━" * (done - red) + ("" if red else half), "green")
    return Text.assemble(green, ("━" * red + (half if red else ""), "red"), ("─" * (room - done - len(half)), "dim"))


def _numbers(run: dict[str, Any], width: int) -> Text:
    parts = _words.numbers(run)
    between = " · " if sum(len(part) + 3 for part in parts[:_IMPORTANT]) <= width else _GAP
    text = Text()
    for part in parts:
        if text.cell_len + len(between) + len(part) > width:
            break
        if text:
            text.append(between, "dim")
        text.append(part, "bold red" if part.endswith(" failed") else "")
    return text


# ---------------------------------------------------------------- workers


def _alive(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that live, the program first."""
    alive = [lane for lane in run["lanes"] if lane["state"] != "gone"]
    return sorted(alive, key=lambda lane: lane["role"] != "program")


def _lost(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The last that were lost."""
    lost = [lane for lane in run["lanes"] if _words.is_lost(lane)]
    return sorted(lost, key=lambda lane: lane.get("ended") or 0.0)[-_MOST_LOST:]


def _lanes(alive: list[dict[str, Any]], lost: list[dict[str, Any]], width: int, room: int) -> list[Text]:
    """A row for each, as far as there is room; the others together in one."""
    if not room:
        return []
    if len(alive) + len(lost) <= room:
        rows, others = [*alive, *lost], []
    else:
        lost = lost[: max(0, (room - 1) // 2)]
        kept = room - 1 - len(lost)
        rows, others = [*alive[:kept], *lost], alive[kept:]
    names = min(_NAME, max((cell_len(_words.called(lane)) for lane in rows), default=0))
    lines = [_lane(lane, names, width) for lane in rows]
    return [*lines, _together(others, width)] if others else lines


def _lane(lane: dict[str, Any], names: int, width: int) -> Text:
    """``worker 0  busy  98%  62 MB  solve #613 1.2 s  model.py:88 in step``."""
    is_lost = _words.is_lost(lane)
    style = _STYLES["lost" if is_lost else lane["state"]]
    text = Text.assemble(set_cell_size(_words.called(lane), names), _GAP, (f"{'lost' if is_lost else lane['state']:<6}", style))
    if is_lost:
        return _cut(text.append(f"{_GAP}{_words.plain(lane['how'])}", style), width)
    if width >= _ROOMY:
        text.append(_GAP)
        text.append_text(_bar(lane["busy"], 0.0, _BAR))
    text.append(f" {lane['busy']:>4.0%}{_GAP}{size(lane['memory']) if lane['memory'] else '':>7}{_GAP}")
    where = _where(lane)
    what = _what(lane)
    room = max(0, width - text.cell_len)
    what.truncate(max(0, min(room, max(room // 2, room - len(where) - len(_GAP)))), overflow="ellipsis")
    gap = max(len(_GAP), min(36, room // 2) - what.cell_len)  # so that the places stand below one another, mostly
    if where:
        what.append(" " * gap + where, "dim")
    return _cut(text.append_text(what), width)


def _what(lane: dict[str, Any]) -> Text:
    """What it is at: a task that has taken some time, or what its quick ones are of."""
    task = lane["task"]
    if task is None:
        return Text.assemble((_words.plain(lane["function"]) if lane["state"] == "busy" else "", "cyan"))
    text = Text.assemble((_words.task(task), "cyan"))
    if task["attempt"] > 1:
        text.append(f" attempt {task['attempt']}", "yellow")
    text.append(f" {_words.clock(task['for'])}", "")
    if task["arguments"]:
        text.append(f" ({_words.plain(task['arguments'])})", "dim")
    return text


def _where(lane: dict[str, Any]) -> str:
    """The innermost line, of the program if it is in there."""
    if not lane["stack"]:
        return ""
    file, line, name = next((frame for frame in lane["stack"] if not frame[0].startswith(_OURS)), lane["stack"][0])
    return f"{_words.plain(os.path.basename(file))}:{line} in {_words.plain(name)}"


def _together(lanes: list[dict[str, Any]], width: int) -> Text:
    """Many workers in one line: a sign for each, as high as it is busy."""
    text = Text(f"{len(lanes)} more ", "dim")
    for lane in lanes:
        sign = _LEVELS[min(len(_LEVELS) - 1, int(lane["busy"] * len(_LEVELS)))]
        text.append(sign, _STYLES[lane["state"]])
    return _cut(text, width)


# ---------------------------------------------------------------- tasks and errors


def _slowest(run: dict[str, Any]) -> list[str]:
    return [f"{_words.task(each)} {duration(each['took'])}" for each in run["slowest"][:_MOST_SLOWEST]]


def _errors(run: dict[str, Any]) -> list[Text]:
    """The last ones first."""
    found = _words.last_errors(run)[:_MOST_ERRORS]
    lines = [Text(_words.failures(each)) for each in found]
    for line, each in zip(lines, found, strict=True):
        line.stylize("red", 0, line.plain.index("×") + 1 if each["count"] > 1 else 0)
    return lines


def _labelled(label: str, text: Text, width: int) -> Text:
    return _cut(Text.assemble((f"{label:<{_LABEL}}", "dim"), text), width)


def _cut(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def printed(lines: Iterable[Text], width: int, *, colours: bool, is_ascii: bool = False) -> list[str]:
    """The lines as they are sent to a terminal."""
    system: Literal["standard"] | None = "standard" if colours else None
    console = Console(file=io.StringIO(), width=width, force_terminal=colours, color_system=system, highlight=False)
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True)
    text = captured.get()
    return (ascii_only(text) if is_ascii else text).split("\n")[:-1]
