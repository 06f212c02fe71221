"""What is said of a run in words: how far it is, and at its end a summary. Pure: of snapshots as the page has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._core.verdict import duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable

_STATES = {
    "done": "done after",
    "failed": "failed after",
    "interrupted": "interrupted after",
    "died": "died after",
    "running": "running for",
}
_CUT_OFF = {"interrupted", "died"}  # what was under way is in no figure, so that these would mislead
_WORTH_TELLING = 1_000_000  # bytes
_AT_ONCE = 0.5  # seconds
_SHOWN_ERRORS, _SHOWN_SLOWEST, _SHOWN_TASKS = 3, 3, 5


class Line(NamedTuple):
    """A line of a summary. ``kind``: "head", "good", "advice", "failures", "lost", "slowest", "cost", or "page"."""

    kind: str
    text: str


def plain(text: object) -> str:
    """A text of the program's as one line, with nothing in it that a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)).strip()


def clock(seconds: float) -> str:
    """``"3.4 s"``, ``"25 s"``, ``"2 min 05 s"``, ``"1 h 03 min"``: as quiet as what it tells goes on."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def percent(share: float) -> str:
    """``"0.3%"``, ``"22%"``."""
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{max(0.001, share):.1%}"


def several(count: int, noun: str) -> str:
    """``"1 task"``, ``"1,200 tasks"``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def state(run: dict[str, Any]) -> str:
    """``"running for 12 s"``, ``"failed after 3.4 s (ValueError: no)"``."""
    how = f" ({plain(run['how'])})" if run["how"] else ""
    return f"{_STATES.get(run['state'], run['state'])} {clock(run['elapsed'])}{how}"


def tasks(run: dict[str, Any]) -> str:
    """``"612/1,200 tasks"``."""
    return several(run["done"], "task") if run["total"] is None else f"{run['done']:,}/{several(run['total'], 'task')}"


def left(run: dict[str, Any]) -> str:
    """``"25 s ± 2 s left"``; empty, if nobody knows."""
    if not run["eta"] or run["state"] != "running" or run["done"] == run["total"]:
        return ""
    seconds, error = run["eta"]
    if error < 0.05:
        return f"{clock(seconds)} left"
    shown = clock(error) if seconds < 9.95 or error >= 9.95 else f"{max(1, round(error))} s"
    return f"{clock(seconds)} ± {shown} left"


def workers(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The lanes of all but the program."""
    return [lane for lane in run["lanes"] if lane["role"] != "program"]


def at_work(run: dict[str, Any]) -> str:
    """``"2/2 workers busy"``; empty, if there are none."""
    alive = [lane for lane in workers(run) if lane["state"] != "gone"]
    if not alive:
        return ""
    return f"{sum(lane['state'] == 'busy' for lane in alive)}/{several(len(alive), 'worker')} busy"


def numbers(run: dict[str, Any]) -> list[str]:
    """How far it is, and how it goes; what matters least comes last."""
    is_running = run["state"] == "running"
    rate = run["rate"] if is_running else run["done"] / max(1e-3, run["elapsed"])
    efficiency, moved = run["efficiency"], run["sent"] + run["received"]
    found = [
        tasks(run),
        left(run),
        f"{run['failed']:,} failed" if run["failed"] else "",
        f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 0.05 else "",
        f"{run['cached']:,} cached" if run["cached"] else "",
        f"watching {percent(run['cost'])}",
        at_work(run) if is_running else "",
        f"efficiency {percent(efficiency)}" if efficiency is not None else "",
        f"{size(moved)} moved" if moved >= _WORTH_TELLING else "",
    ]
    return [each for each in found if each]


def called(lane: dict[str, Any]) -> str:
    """What a lane is called."""
    return "program" if lane["role"] == "program" else plain(lane["name"])


def is_lost(lane: dict[str, Any]) -> bool:
    """Whether it has gone, and was not meant to."""
    return bool(lane["state"] == "gone" and lane["died"])


def task(found: dict[str, Any]) -> str:
    """``"solve #17"``."""
    return f"{plain(found['function']) or 'task'} #{found['number']}"


def error(found: dict[str, Any], *, with_tasks: bool = True) -> str:
    """``"ValueError: no root (tasks 3, 17)"``."""
    said = plain(found["message"])
    text = f"{plain(found['kind'])}: {said}" if said else plain(found["kind"])
    if not with_tasks or not found["tasks"]:
        return text
    known = sorted(found["tasks"])
    more = ", ..." if max(found["count"], len(known)) > len(known[:_SHOWN_TASKS]) else ""
    return f"{text} (task{'s' * (len(known) != 1)} {', '.join(map(str, known[:_SHOWN_TASKS]))}{more})"


def failures(found: dict[str, Any]) -> str:
    """``"11 × ValueError: no root (tasks 3, 17, ...; 23 attempts)"``; once need not be said."""
    count, attempts = found["count"], found.get("attempts", found["count"])
    text = error(found)
    if attempts > count:
        text = f"{text[:-1]}; " if text.endswith(")") and found["tasks"] else f"{text} ("
        text += f"{several(attempts, 'attempt') + ', ' * (not count) if attempts > 1 else ''}{'' if count else 'tried again'})"
    return f"{count:,} × {text}" if count > 1 else text


def last_errors(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that came last, first."""
    return sorted(run["errors"], key=lambda found: -found["last"])


def advice(run: dict[str, Any]) -> str:
    """The verdict with its remedy, as a sentence; empty, if there is none."""
    verdict = run["verdict"]
    if verdict is None:
        return ""
    text = f"{verdict['text']}; {verdict['remedy']}" if verdict["remedy"] else verdict["text"]
    return plain(f"{text[:1].upper()}{text[1:]}")


# ---------------------------------------------------------------- when it has ended


def summary(run: dict[str, Any], *, short: bool = False) -> list[Line]:
    """What there is to know when a run has ended. ``short``: what one would want to know without having asked."""
    lines = [Line("head", ended(run))]
    if run["done"] and run["verdict"] is not None and run["state"] not in _CUT_OFF:
        lines.append(Line("good" if run["verdict"]["kind"] == "good" else "advice", advice(run)))
    lines += _losses(run)
    if short:
        return lines
    if run["slowest"]:
        shown = ", ".join(f"{task(each)} {duration(each['took'])}" for each in run["slowest"][:_SHOWN_SLOWEST])
        lines.append(Line("slowest", f"slowest: {shown}"))
    lines.append(Line("cost", f"watching took {percent(run['cost'])} of the time"))
    return lines


def page(stays: float, *, is_open: bool) -> Line:
    """Until when there is the page of a run that has ended, and how to keep it."""
    until = "as long as it is open" if is_open else f"for {round(stays)} s, and as long as it is open"
    return Line("page", f"the page stays {until}; to keep it: manyhands watch --save run.html")


def ended(run: dict[str, Any]) -> str:
    """``"simulate.py done after 25 s: 1,200 tasks, 3 failed"``."""
    return f"{plain(run['name'])} {_ended(run)}"


def _ended(run: dict[str, Any]) -> str:
    parts = [state(run)]
    if run["done"]:
        parts.append(several(run["done"], "task") if run["total"] in {None, run["done"]} else tasks(run))
    if run["failed"]:
        parts.append(f"{run['failed']:,} failed")
    if run["cached"]:
        parts.append(f"{run['cached']:,} cached (saved {duration(run['saved'])})")
    if run["efficiency"] is not None:
        parts.append(f"workers {percent(run['efficiency'])} used")
    return ": ".join((parts[0], ", ".join(parts[1:]))) if parts[1:] else parts[0]


def _losses(run: dict[str, Any]) -> list[Line]:
    """Errors, those that are alike together, and workers that were lost."""
    errors = sorted(run["errors"], key=lambda found: (-found["count"], -found.get("attempts", 0)))
    shown = _SHOWN_ERRORS if len(errors) > _SHOWN_ERRORS + 1 else len(errors)
    lines = [Line("failures", failures(found)) for found in errors[:shown]]
    if errors[shown:]:
        count = sum(found["count"] for found in errors[shown:])
        lines.append(Line("failures", f"and {several(count, 'other failure')}, of {len(errors) - shown} kinds"))
    lost = [lane for lane in workers(run) if is_lost(lane) and not _fell_with(run, lane)]
    for how, count in Counter(plain(lane["how"]) or "killed" for lane in lost).items():
        lines.append(Line("lost", f"{several(count, 'worker')} lost: {how}"))
    return lines


def _fell_with(run: dict[str, Any], lane: dict[str, Any]) -> bool:
    """Whether a worker has gone because the program has."""
    return run["state"] in _CUT_OFF and (lane.get("ended") or 0.0) > run["elapsed"] - _AT_ONCE


def as_text(lines: Iterable[Line]) -> str:
    """A summary without colours: ``manyhands: ``, and what follows indented."""
    return "\n".join(f"manyhands: {line.text}" if line.kind == "head" else f"  {line.text}" for line in lines)
