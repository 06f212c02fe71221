"""Facts about a run, for whoever watches it.

An observer is a function of one event, called by the thread that drives the pool; it must be quick and must not raise.
Times are nanoseconds, on the monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class WorkerStarted(NamedTuple):
    """A worker process runs."""

    pid: int
    at: int


class WorkerEnded(NamedTuple):
    """A worker process is gone. ``how``: in words, if it did not leave of its own accord; ``meant``: it left, or its pool ended it."""

    pid: int | None
    how: str
    meant: bool
    at: int


class WorkerPaused(NamedTuple):
    """A worker stands still from now on, or goes on."""

    pid: int
    is_paused: bool
    at: int


class TasksDone(NamedTuple):
    """Tasks ``first`` to ``first + count - 1`` of a call have returned; ``started`` is when the first of them did.

    Not told of all: tasks that took less than a millisecond together are only counted, in the accounts of their calls. Of the first
    task of a call it is told, and of all that took longer.
    """

    call: int
    function: str
    first: int
    count: int  # type: ignore[assignment] # the field, not the method of tuples
    pid: int | None
    started: int
    lasted: int


class TaskFailed(NamedTuple):
    """An attempt at a task has failed. ``again``: another follows. ``ran``: its worker, when it began there, and how long it took.

    ``describe()`` gives the task with its arguments, as errors of manyhands name it.
    """

    call: int
    function: str
    index: int  # type: ignore[assignment] # as above
    attempt: int
    error: BaseException
    again: bool
    ran: tuple[int | None, int, int] | None
    at: int
    describe: Callable[[], str]


Event = WorkerStarted | WorkerEnded | WorkerPaused | TasksDone | TaskFailed
