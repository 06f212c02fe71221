"""A run as one HTML file that shows it again, by time, without a network: the page, and its data. ``page/README.md`` tells what they are.

Nothing in the data can become code: it is JSON in which no ``<`` is left, and the document's policy lets no script run but the page's.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from manyhands.watch.observer import _questions, _sources
from manyhands.watch.observer._snapshot import snapshot
from manyhands.watch.observer._static import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from manyhands.watch.observer._exports import Part
    from manyhands.watch.observer._history import History
    from manyhands.watch.observer._model import Run

NS = 1_000_000_000
_MOST_FILES = 40
_MOST_TEXT = 2_000_000  # characters of sources, together
_MOST_BARS = 40_000  # of all lanes
_WIDEST, _NARROWEST = 4000, 250  # bars of a lane


def report(run: Run, now: int) -> Iterator[Part]:
    """The document, in parts. Those that are functions know nothing of the run: they may be called in another thread."""
    page, script, style = (_read(name) for name in ("index.html", "page.js", "page.css"))
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">')
    page = page.replace('<link rel="stylesheet" href="page.css">', f"<style>{style}</style>")
    before, _, after = page.partition('<script src="page.js"></script>')
    yield before
    yield '<script type="application/json" id="report">'
    yield from _data(run, now)
    yield f"</script>\n<script>{script}</script>{after}"


def _data(run: Run, now: int) -> Iterator[Part]:
    yield f'{{"format":1,"made":{time.time():.3f},"snapshots":['
    numbers = Numbers()
    yield from _listed(numbers.numbered(change) for change in run.history.until(snapshot(run, now)))
    yield f'],"frames":{_json(list(numbers.frames))},"stacks":{_json(list(numbers.stacks))},"timeline":{{'
    width = max(_NARROWEST, min(_WIDEST, _MOST_BARS // 2 // max(1, len(run.timelines))))
    timeline = _questions.whole_timeline(run, width, now)
    yield f'"functions":{_json(next(timeline)["functions"])},"lanes":['
    yield from _listed(timeline)
    yield ']},"sources":{'
    sources, room = _sources.Sources(), [_MOST_TEXT]
    for place, file in enumerate(run.heat.by_file()[:_MOST_FILES]):
        known = {**_questions.heat(run, None, file.path, None), "heats": list(_heats(run.history, file.path, run.begun))}
        del known["here"]
        read = functools.partial(_questions.source, sources, _Where(run), file.path)
        yield f'{"," * (place > 0)}"{run.heat.number(file.path)}":'
        yield functools.partial(_source, known, read, room)
    yield "}}"


class _Where:
    """What has to be known of a run to find a source."""

    def __init__(self, run: Run) -> None:
        self.sources, self.folder = dict(run.sources), run.folder


def _source(known: dict[str, Any], read: Any, room: list[int]) -> str:
    """A file with its heat; of too many, and of those that are too long, the heat alone."""
    source = read()
    length = 0 if source is None else sum(map(len, source.lines))
    if source is not None and length <= room[0]:
        room[0] -= length
        known = {**known, "lines": source.lines, "runnable": source.runnable}
    return _json(known)


def _heats(history: History, path: str, begun: int) -> Iterator[dict[str, Any]]:
    """What had changed at some times."""
    for at, heats in history.heats:
        if path in heats:
            lines = {str(number): _heat(*line, begun) for number, line in sorted(heats[path].items())}
            yield {"at": round((at - begun) / NS, 3), "heat": lines}


def _heat(hits: int, lasted: int, own: int, last: int, begun: int) -> list[float]:
    return [hits, round(lasted / NS, 3), round(own / NS, 3), round((last - begun) / NS, 3), 0]


class Numbers:
    """Frames and stacks, of which each is in the document once."""

    def __init__(self) -> None:
        self.frames: dict[tuple[Any, ...], int] = {}
        self.stacks: dict[tuple[int, ...], int] = {}

    def numbered(self, change: dict[str, Any]) -> dict[str, Any]:
        """A snapshot, or a difference, with the numbers of stacks in the place of stacks."""
        if "lanes" not in change:
            return change
        lanes = [{**lane, "stack": self._number(lane["stack"])} if "stack" in lane else lane for lane in change["lanes"]]
        return {**change, "lanes": lanes}

    def _number(self, stack: tuple[tuple[Any, ...], ...]) -> int:
        frames = tuple([self.frames.setdefault(frame, len(self.frames)) for frame in stack])
        return self.stacks.setdefault(frames, len(self.stacks))


def _listed(items: Iterable[Any]) -> Iterator[str]:
    for place, item in enumerate(items):
        yield f"{',' * (place > 0)}{_json(item)}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _read(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
