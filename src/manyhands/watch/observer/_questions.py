"""What the page is told when it asks. Plain data; times are seconds since the run began."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from manyhands.watch.observer import _sources
from manyhands.watch.observer._snapshot import innermost_busy

if TYPE_CHECKING:
    from manyhands.watch.observer._model import Process, Run

NS = 1_000_000_000
_PAUSES = {"pause": True, "resume": False}


def timeline(run: Run, begin: float, end: float, width: int, now: int) -> dict[str, Any]:
    """Tasks between two times."""
    latest = ((now if run.ended is None else run.ended) - run.begun) / NS + 1
    first, last = (run.begun + int(max(0.0, min(at, latest)) * NS) for at in (begin, end))
    lanes = []
    for pid, line in list(run.timelines.items()):
        bars = [
            [(bar.begin - run.begun) / NS, (bar.end - run.begun) / NS, bar.busy / NS, bar.count, bar.function, bar.flags, bar.first]
            for bar in line.bars(first, last, width)
        ]
        lanes.append({"pid": pid, "bars": bars})
    return {"functions": [str(name) for name in run.functions], "lanes": lanes}


def files(run: Run) -> list[dict[str, Any]]:
    """All files, the hottest first."""
    return [
        {
            "id": run.heat.number(file.path),
            "path": file.path,
            "name": os.path.basename(file.path),
            "hits": file.hits,
            "own": file.own / NS,
            "last": (file.last - run.begun) / NS,
        }
        for file in run.heat.by_file()
    ]


def source(sources: _sources.Sources, run: Run, path: str) -> _sources.Source | None:
    """The source of a file of a run; None: nobody has it."""
    if path in run.sources:
        return _sources.of_text(run.sources[path], path)
    return sources.of_file(os.path.join(run.folder, path)) if run.folder or os.path.isabs(path) else None


def heat(run: Run, process: Process | None, path: str, source: _sources.Source | None) -> dict[str, Any]:
    """A file with its heat: that of one process, or of all."""
    lines = (run.heat if process is None else process.heat).files.get(path, {})
    return {
        "path": path,
        "lines": [] if source is None else source.lines,
        "heat": {
            str(number): [line.hits, line.time / NS, line.own / NS, (line.last - run.begun) / NS, round(line.error)]
            for number, line in sorted(lines.items())
        },
        "runnable": [] if source is None else source.runnable,
        "here": _here(run, path),
    }


def _here(run: Run, path: str) -> dict[str, list[int]]:
    """By line, the processes that are in there now."""
    found: dict[str, list[int]] = {}
    for process in run.processes.values():
        if process.gone is None:
            line = next((line for file, line, _ in process.frames(innermost_busy(process)) if file == path), None)
            if line is not None:
                found.setdefault(str(line), []).append(process.pid)
    return found


def order(do: object, process: Process) -> dict[str, Any] | None:
    """What a process is asked for; None: nobody understands that. A worker is replaced by its program."""
    if do == "cancel":
        return {"cancel": process.task.number if process.task else 0}
    if isinstance(do, str) and do in _PAUSES:
        return {"pause": _PAUSES[do]}
    return {"restart": process.pid} if do == "restart" else None
