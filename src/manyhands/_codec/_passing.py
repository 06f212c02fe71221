"""Shared objects in a pickle: for how long their owners have to keep them for who reads it.

A shared object goes by reference, so somebody has to have it until the reader has. What a task is sent may be loaded again and again, until
the task has ended: so long the sender itself keeps what it has met in there. What answers somebody is loaded once: it bears a number, by
which the reader tells the owner that it has come. Of any other pickle nobody knows who will read it, or how often.
"""

from __future__ import annotations

import _thread  # workers get along without threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from manyhands._codec._pickling import Encoder

UNKNOWN, TASK, ONCE, NEVER = "unknown", "task", "once", "never"  # by whom a pickle is read

# Whether this process has met any: a look at this is all that pickles without any cost.
seen = [False]
# Of a worker: what is to be done before anything is told that may have its parent let go of what it has sent.
unsettled: list[Callable[[], object]] = []


class _Met(_thread._local):  # noqa: SLF001 - threading.local, by the name that it has there
    def __init__(self) -> None:
        self.things: list[Any] = []


_met = _Met()


class Keeping(list["Any"]):
    """The buffers of a pickle; as long as they are there, so is what is in it by reference."""

    things: Sequence[Any] = ()


def met(thing: Any) -> None:
    """Of what is being pickled in this thread: what is to be kept as long as that is, or to be called when it is done."""
    _met.things.append(thing)
    seen[0] = True


def taken() -> list[Any]:
    """All that has been, since this was asked last."""
    things, _met.things = _met.things, []
    return things


def kept_by(buffers: Sequence[Any]) -> Sequence[Any]:
    """The same buffers, which keep what their pickle has in it by reference."""
    things = taken()
    if not things:
        return buffers
    keeping = Keeping(buffers)
    keeping.things = things
    return keeping


def done() -> None:
    """The pickle is complete, and goes to who reads it once."""
    for promise in taken():
        promise()


def settle() -> None:
    """Do what is to be done before anything is told."""
    waiting = unsettled[:]
    unsettled.clear()
    for each in waiting:
        each()


def shared(encoder: Encoder, proxy: Any) -> Any:
    """The rule for shared objects."""
    return type(proxy).__shared_passage__(proxy, encoder.read_by)
