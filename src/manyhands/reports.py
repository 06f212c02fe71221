"""What a call has cost, and why: :func:`last_report`."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from manyhands._core import verdict
from manyhands._core.ledger import NEVER, Ledger
from manyhands._core.naming import function_name
from manyhands._core.tasks import NS
from manyhands._engine import _watched
from manyhands._wire._cpus import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from manyhands.backends import TaskStream
    from manyhands.backends._contract import Counts


class Report(NamedTuple):
    """One call of ``map``, ``imap``, ``Parallel`` or ``Pool.map`` that has ended. Times are seconds; ``str()`` gives it as text.

    Attributes:
        function: its name; empty if the call was of several.
        backend: "processes", "threads", and so on.
        workers: how many there might have been at a time.
        tasks, failed: how many ended, and how many of them failed.
        wall: from the call to its end.
        busy: of all workers together, in tasks, with what it took there to read arguments and to pickle results.
        idle: of all workers together, from the first task's start on.
        start: until the first task began; with workers that have to be started, mostly that.
        preparing: pickling the function, reading the inputs, pickling and sending them.
        collecting: reading the results.
        sent: bytes of arguments, of each task; and of the function with what it carries, for each worker that it was new to.
        received: bytes of results.
        chunk: tasks in the largest message.
        ahead: the most tasks that had been dispatched and not ended, at a time.
        per_worker: for each, by process id or name of the thread: how many tasks, and seconds.
        slowest: (seconds, which task with which arguments) of the five that took longest, if they took more than a millisecond.
        verdict: in words, how well it went, and what would make it better.
    """

    function: str
    backend: str
    workers: int
    tasks: int
    failed: int
    wall: float
    busy: float
    idle: float
    start: float
    preparing: float
    collecting: float
    sent: int
    received: int
    chunk: int
    ahead: int
    per_worker: Mapping[object, tuple[int, float]]
    slowest: tuple[tuple[float, str], ...]
    verdict: str

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: Report) -> list[str]:
    duration, size = verdict.duration, verdict.size
    of = f" of {report.function}" if report.function else ""
    failed = f", {report.failed:,} failed" if report.failed else ""
    capacity = max(1e-9, len(report.per_worker) * (report.wall - report.start))
    held = min(report.ahead, report.chunk * report.workers)
    lines = [
        f"{report.tasks:,} tasks{of} on {report.workers} workers ({report.backend}) in {duration(report.wall)}{failed}",
        f"  {report.verdict}",
        f"  busy {duration(report.busy)} ({min(1.0, report.busy / capacity):.0%}), "
        f"idle {duration(report.idle)}, start {duration(report.start)}",
        f"  preparing arguments {duration(report.preparing)}, {size(report.sent)}; "
        f"collecting results {duration(report.collecting)}, {size(report.received)}",
        f"  at most {report.ahead:,} tasks dispatched ahead: {held:,} with the workers, {report.chunk:,} in a message; "
        f"{report.ahead - held:,} waiting",
    ]
    lines += [f"  worker {worker}: {tasks:,} tasks, {duration(seconds)}" for worker, (tasks, seconds) in report.per_worker.items()]
    lines += [f"  slowest: {text}: {duration(seconds)}" for seconds, text in report.slowest]
    return lines


class _Last(threading.local):
    # Gives the report: few ask for it, and making it takes as long as a small call.
    make: Callable[[], Report | None] = staticmethod(lambda: None)


_last = _Last()


def last_report() -> Report | None:
    """What the last call of this thread has cost; None before the first has ended.

    Example:
        >>> import manyhands
        >>> manyhands.map(abs, range(-3, 3), workers=2)
        [3, 2, 1, 0, 1, 2]
        >>> report = manyhands.last_report()
        >>> report.tasks, report.workers
        (6, 2)

    ``print(manyhands.last_report())`` shows all of it; so does ``progress="report"``, on standard error, when a call ends. Calls are
    those of ``map``, ``imap``, ``aimap`` and ``Parallel``, and of ``map`` and ``starmap`` of pools. Of what executors and pools do while
    the program does something else there is none.
    """
    return _last.make()


class Recording:
    """One call that is under way; ``function`` None: of several functions. ``chunk``: as the user has chosen it.

    Attributes:
        function, backend, workers, chunk: as above; ``function`` is the name.
    """

    def __init__(self, function: object, backend: str, workers: int, chunk: int | None) -> None:
        self.function = "" if function is None else function_name(function)  # no more: it may hold much
        self.backend = backend
        self.workers = 1 if backend == "sequential" else workers
        self.chunk = chunk
        self._begin = time.monotonic()
        self._make: Callable[[], Report] | None = None
        self._ended: Callable[[Counts], object] | None = None

    def follow(self, stream: TaskStream, total: int | None) -> None:
        """The call has begun: whoever watches the program may look at its stream from now on."""
        if _watched.follow is not None:
            self._ended = _watched.follow(self, stream.counts, total)

    def finish(self, stream: TaskStream, *, show: bool = False) -> None:
        """It has ended; ``show`` its report."""
        counts = stream.counts()
        if self._ended is not None:
            self._ended(counts)
        self._make = _last.make = partial(self._report, counts, time.monotonic())
        if show and sys.stderr is not None:
            sys.stderr.write(f"{_last.make()}\n")
            sys.stderr.flush()

    def adopt(self) -> None:
        """It has ended in another thread, in the place of this one."""
        if self._make is not None:
            _last.make = self._make

    def _report(self, counts: Counts, now: float) -> Report:
        ledger = counts.ledger or Ledger()
        slowest = ledger.slowest.seconds()
        wall = now - self._begin
        seconds = {worker: (tasks, ns / NS) for worker, (tasks, ns) in counts.work.items()}
        busy = sum(each for _, each in seconds.values())
        start = 0.0 if ledger.first_start == NEVER else max(0.0, ledger.first_start / NS - self._begin)
        figures = verdict.Figures(
            tasks=counts.ended,
            workers=self.workers,
            processors=cpu_count(),
            wall=wall,
            busy=busy,
            longest=max((each for _, each in seconds.values()), default=0.0),
            start=start,
            preparing=ledger.preparing / NS,
            collecting=ledger.collecting / NS,
            away=ledger.away / NS,
            slowest=max((each for each, _ in slowest), default=0.0),
            fixed=self.chunk,
            sent=ledger.sent,
            hired=ledger.hired,
        )
        return Report(
            function=self.function,
            backend=self.backend,
            workers=self.workers,
            tasks=counts.ended,
            failed=counts.failed,
            wall=wall,
            busy=busy,
            idle=max(0.0, len(seconds) * (wall - start) - busy),
            start=start,
            preparing=ledger.preparing / NS,
            collecting=ledger.collecting / NS,
            sent=ledger.sent,
            received=ledger.received,
            chunk=ledger.chunk,
            ahead=ledger.ahead,
            per_worker=seconds,
            slowest=slowest,
            verdict=verdict.verdict(figures),
        )
