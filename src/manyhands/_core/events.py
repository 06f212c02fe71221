"""Facts about a run, for whoever watches it.

An observer is a function of one event, called by the thread that drives the pool; it must be quick and must not raise.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker process runs."""

    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker process is gone. ``status``: exit code, or minus a signal; None if unknown."""

    pid: int | None
    status: int | None
    at: float


@dataclass(frozen=True, slots=True)
class TasksDone:
    """Tasks ``first`` to ``first + count - 1`` of a call have returned; ``started`` is when the first of them did."""

    call: int
    function: str
    first: int
    count: int
    pid: int | None
    started: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """An attempt at a task has failed."""

    call: int
    function: str
    index: int
    attempt: int
    error: str
    at: float


Event = WorkerStarted | WorkerEnded | TasksDone | TaskFailed
