"""What the page is told when it asks. Plain data; times are seconds since the run began."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from manyhands.watch.observer import _sources
from manyhands.watch.observer._history import charts
from manyhands.watch.observer._timeline import CACHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from manyhands.watch.observer._model import Run
    from manyhands.watch.observer._process import Process
    from manyhands.watch.observer._timeline import Bar

NS = 1_000_000_000
_QUICK = 0.2  # of the time that a result took to compute: what took less was loaded


def timeline(run: Run, begin: float, end: float, width: int, now: int) -> dict[str, Any]:
    """Tasks between two times, by worker, in as much detail as a picture of so many pixels can show.

    Tasks of cached functions that took a small part of what it takes to compute a result have come from the store, and say so.
    """
    first, last = (_within(run, at, now) for at in (begin, end))
    names, by_name = _names(run)
    most = _quickest(run)
    timelines = list(run.timelines.items())
    lanes = [{"pid": worker, "bars": _bars(run, worker, tasks.bars(first, last, width), by_name, most)} for worker, tasks in timelines]
    return {"functions": names, "lanes": lanes}


def whole_timeline(run: Run, width: int, now: int) -> Iterator[dict[str, Any]]:
    """The same for all of the run, in parts: the names of functions, and one part for each worker."""
    names, by_name = _names(run)
    most = _quickest(run)
    yield {"functions": names}
    for worker, tasks in list(run.timelines.items()):
        yield {"pid": worker, "bars": _bars(run, worker, tasks.bars(run.begun, _within(run, float("inf"), now), width), by_name, most)}


def _within(run: Run, at: float, now: int) -> int:
    """Seconds of a run as nanoseconds; when it has not ended yet, until now."""
    latest = ((now if run.ended is None else run.ended) - run.begun) / NS + 1
    return run.begun + int(max(0.0, min(at, latest)) * NS)


def _names(run: Run) -> tuple[list[str], list[int]]:
    """Names of functions, each once; and by the number of a function, which of them is its."""
    numbers: dict[str, int] = {}
    by_number = [numbers.setdefault(str(name), len(numbers)) for name in run.functions]
    return list(numbers), by_number


def _quickest(run: Run) -> list[float]:
    """By the number of a function: nanoseconds below which a task of it was loaded, not computed."""
    stored = {_short(name): known.saved / known.hits * _QUICK for name, known in run.cache.items() if known.hits}
    return [stored.get(_short(str(name)), 0.0) for name in run.functions]


def _bars(run: Run, worker: int, bars: Iterable[Bar], by_name: list[int], most: list[float]) -> list[list[float | str]]:
    """Of a worker; with the arguments of single tasks where they are known."""
    found: list[list[float | str]] = []
    begun, functions, known = run.begun, len(by_name), run.arguments
    for bar in bars:
        begin, end, busy, count, function, flags, first = bar
        if function >= functions:  # of a task that has ended since
            continue
        flags |= CACHED if busy < most[function] * count else 0
        times = round((begin - begun) / NS, 6), round((end - begun) / NS, 6), round(busy / NS, 9)
        found.append([*times, count, by_name[function], flags, first])
        if known and (worker, first) in known and (given := run.arguments_of(worker, bar)):
            found[-1].append(given)
    return found


def is_cached(run: Run) -> Callable[[Bar], bool]:
    """Tells of tasks whether their results have come from a store, as far as that can be told."""
    most = _quickest(run)
    return lambda bar: bar.function < len(most) and bar.busy < most[bar.function] * bar.count


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def history(run: Run) -> dict[str, list[float]]:
    """How its figures have been, for the small charts."""
    return charts(run.history)


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
            "counts": file.counts,
        }
        for file in run.heat.by_file()
    ]


class Origin(Protocol):
    """What has to be known of a run to find its sources: texts that are in no file, and the folder that it was started in."""

    sources: dict[str, str]
    folder: str


def source(sources: _sources.Sources, run: Origin, path: str) -> _sources.Source | None:
    """The source of a file of a run; None: nobody has it."""
    if path in run.sources:
        return _sources.of_text(run.sources[path], path)
    return sources.of_file(os.path.join(run.folder, path)) if run.folder or os.path.isabs(path) else None


def heat(run: Run, process: Process | None, path: str, source: _sources.Source | None) -> dict[str, Any]:
    """A file with its heat: that of one process, or of all."""
    known = run.heat if process is None else process.heat
    lines = known.files.get(path, {})
    return {
        "path": path,
        "counts": known.counts(path),
        "lines": [] if source is None else source.lines,
        "heat": {
            str(number): [line.hits, line.time / NS, line.own / NS, (line.last - run.begun) / NS, round(line.error)]
            for number, line in sorted(lines.items())
        },
        "runnable": [] if source is None else source.runnable,
        "counted": any(line.runs for line in lines.values()),
        "here": _here(run, path),
    }


def _here(run: Run, path: str) -> dict[str, list[int]]:
    """By line, the processes that are in there now."""
    found: dict[str, list[int]] = {}
    for process in run.processes.values():
        if process.gone is None:
            line = next((line for file, line, _ in process.frames(process.stack_now()) if file == path), None)
            if line is not None:
                found.setdefault(str(line), []).append(process.pid)
    return found
