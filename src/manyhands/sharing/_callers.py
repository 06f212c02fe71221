"""Who calls: a thread, wherever its call is being run at the moment.

A thread that calls an object of another process waits there for the answer. What the object calls meanwhile, in a third process or back
in the first one, is still on behalf of that thread: it holds the monitors that it holds. So its number goes with each request.

Tasks of an event loop share a thread. One that is in a transaction is a caller of its own, for as long; so is each coroutine that runs in
the owner. The numbers of a thread's tasks end with the bits of its own, by which it is seen that one would wait for another for ever.
"""

from __future__ import annotations

import itertools
import os
import threading
from contextvars import ContextVar

_BITS = 56

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands.sharing._serving import Service


class _Caller(threading.local):
    def __init__(self) -> None:
        self.number = another()
        self.service: Service | None = None  # the connection that this thread serves


def another() -> int:
    """A number that nobody has."""
    return int.from_bytes(os.urandom(_BITS // 8), "little")


here = _Caller()  # .number is that of the thread, or of the one that it serves just now


of_task: ContextVar[int | None] = ContextVar("manyhands_caller", default=None)
_tasks = itertools.count(1)
_have_tasks_numbers = [False]  # in this process


def current() -> int:
    """The number of who calls now."""
    if _have_tasks_numbers[0] and (number := of_task.get()) is not None:
        return number
    return here.number


def new_for_task() -> int:
    """A number for a task of this thread's."""
    _have_tasks_numbers[0] = True
    return (here.number & _MASK) | next(_tasks) << _BITS


def have_numbers() -> None:
    """From now on tasks of this process may have numbers."""
    _have_tasks_numbers[0] = True


_MASK = (1 << _BITS) - 1


def share_a_thread(one: int, other: int) -> bool:
    """Whether two callers can only go on in turn."""
    return not (one ^ other) & _MASK


def _be_another() -> None:
    here.__init__()  # type: ignore[misc] # of the threads of the parent only this one goes on


os.register_at_fork(after_in_child=_be_another)
