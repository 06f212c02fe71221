"""Facts about a run, for whoever watches it.

An observer is a function of one event, called by the thread that drives the pool; it must be quick and must not raise.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from typing import NamedTuple


class WorkerStarted(NamedTuple):
    """A worker process runs."""

    pid: int
    at: float


class WorkerEnded(NamedTuple):
    """A worker process is gone. ``status``: exit code, or minus a signal; None if unknown."""

    pid: int | None
    status: int | None
    at: float


class TasksDone(NamedTuple):
    """Tasks ``first`` to ``first + count - 1`` of a call have returned; ``started`` is when the first of them did."""

    call: int
    function: str
    first: int
    count: int  # type: ignore[assignment] # the field, not the method of tuples
    pid: int | None
    started: float
    seconds: float


class TaskFailed(NamedTuple):
    """An attempt at a task has failed."""

    call: int
    function: str
    index: int  # type: ignore[assignment] # as above
    attempt: int
    error: str
    at: float


Event = WorkerStarted | WorkerEnded | TasksDone | TaskFailed
