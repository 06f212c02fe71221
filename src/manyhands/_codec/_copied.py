"""Objects by which parts of one process talk to one another. A worker gets a copy, which talks to nobody here: that is said, once for each
kind. And those that do reach other processes, by way of a server.
"""

from __future__ import annotations

import collections
import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _by_value, _mended, _pickling

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder

_SECONDS = 0.2  # that looking for the name of one may take


def warn(encoder: Encoder, value: object, what: str) -> None:
    """Say ``what`` of an object that is being pickled, and where it is, unless it has been said."""
    if encoder.is_dry or encoder.has_told or _mended.is_noted(what):
        return
    from manyhands._codec import _steps, _trace  # noqa: PLC0415 - once for each kind

    found = _trace.find(encoder.root, value, _SECONDS)
    where = "" if found is None or found.parent is None else _steps.read((_steps.root_name(encoder.root), found.way()))
    _mended.warn_once(what, f" (this one is {where})" if where else "")


def told(what: str) -> Callable[[Encoder, Any], Any]:
    """A rule for what is pickled as it is, locks in it and all; only that it is a copy is to be said."""

    def rule(encoder: Encoder, value: Any) -> Any:
        warn(encoder, value, what)
        encoder.has_told = True  # what it consists of is not worth a word
        return NotImplemented

    return rule


def condition(encoder: Encoder, value: Any) -> Any:
    """A condition for which nobody waits: who waits for this one is in this process."""
    warn(encoder, value, "a threading.Condition travels as a copy: notify() in one process wakes nobody in another")
    encoder.has_told = True
    make, args, state, *rest = value.__reduce_ex__(_pickling.PROTOCOL)
    if isinstance(state, dict) and "_waiters" in state:
        state = {**state, "_waiters": collections.deque()}
    return make, args, state, *rest


def module(encoder: Encoder, value: Any) -> Any:
    """A module. That of the program is another one in a worker, which is to be said."""
    if value is sys.modules["__main__"]:
        warn(
            encoder,
            value,
            "the module __main__ is that of the worker there, with no more than what is sent: name what you need of it instead",
        )
    return _by_value.module(encoder, value)


def proxy(_: Encoder, value: Any) -> Any:
    """A proxy of an object of a manager, with the key to the manager: only processes of this program get to see it."""
    rebuild, (make, token, serializer, options) = value.__reduce__()
    return rebuild, (make, token, serializer, {**options, "authkey": bytes(value._authkey)})  # noqa: SLF001 - it is left out of pickles
