"""What files of a run have in common: who ran tasks, and which. Times are nanoseconds, as in the model."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from manyhands.watch.observer import _questions
from manyhands.watch.observer._timeline import FAILED, Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from manyhands.watch.observer._model import Run

NS = 1_000_000_000
_OPEN = 64  # bars that a later one may enclose
_THREAD = 22  # bits of the process id, in the number of a thread that runs tasks


class Track(NamedTuple):
    """One who runs tasks, or a process that runs none.

    Attributes:
        worker: its number in timelines.
        pid: of its process.
        thread: 0 for the process itself, else the number of a thread in it.
    """

    worker: int
    pid: int
    thread: int
    name: str


def tracks(run: Run) -> list[Track]:
    """All of them: processes first, as they came."""
    found = [Track(process.pid, process.pid, 0, process.name) for process in run.processes.values()]
    threads = run.thread_workers.items()
    found += [Track(number, worker.process.pid, number >> _THREAD, str(worker.name)) for number, worker in threads]
    known = {track.worker for track in found}
    return found + [Track(worker, worker, 0, f"worker {worker}") for worker in run.timelines if worker not in known]


class States:
    """What became of tasks, and by which errors they failed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._is_cached: Callable[[Bar], bool] = _questions.is_cached(run)
        self._errors = {(failed.worker, failed.number, failed.at): failed.error for failed in run.failures}

    def of(self, bar: Bar) -> str:
        """In a word."""
        return "failed" if bar.flags & FAILED else "cached" if self._is_cached(bar) else "done"

    def error(self, worker: int, bar: Bar) -> str:
        """What the error of a single task is known by; empty if there is none."""
        return self._errors.get((worker, bar.first, bar.end), "") if bar.flags & FAILED else ""

    def arguments(self, worker: int, bar: Bar) -> str:
        """Those of a single task, where they may be shown and are known."""
        return self._run.arguments_of(worker, bar)


def nested(bars: Iterable[Bar]) -> Iterator[Bar]:
    """The same in the order of their ends, so that of two bars one is inside the other, or after it.

    What is told of together with others may seem to have begun before they ended: it begins a little later then.
    """
    within: deque[tuple[int, int]] = deque(maxlen=_OPEN)  # begin and end of what a later one may enclose
    closed = 0  # when the last ended that none may enclose any more
    for bar in bars:
        begin = max(bar.begin, closed)
        while within and within[-1][0] > begin:
            within.pop()
        if within and within[-1][1] > begin:
            begin = within[-1][1]
        if len(within) == _OPEN:
            closed = max(closed, within[0][1])
        within.append((begin, bar.end))
        yield bar if begin == bar.begin else bar._replace(begin=begin)
