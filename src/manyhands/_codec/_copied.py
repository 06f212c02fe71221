"""Objects by which parts of one process talk to one another. A worker gets a copy, which talks to nobody here: that is said, once for each
kind. And those that do reach other processes, by way of a server.
"""

from __future__ import annotations

import collections
import functools
import sys
import types
from itertools import islice
from typing import TYPE_CHECKING, Any

from manyhands._codec import _by_value, _mended, _naming, _pickling

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder
    from manyhands._codec._trace import Node

_SECONDS = 0.2  # that looking for the name of one may take
_LOOKS = 20  # for each kind
_looks: collections.Counter[str] = collections.Counter()


def warn(encoder: Encoder, value: object, what: str) -> None:
    """Say ``what`` of an object that is being pickled, and where it is, unless it has been said; or the object is part of another whose
    author is not the user: a lock of ``functools.cached_property``, a queue of a logging handler.
    """
    if encoder.is_dry or encoder.has_told or _mended.is_noted(what) or _looks[what] >= _LOOKS:
        return
    from manyhands._codec import _steps, _trace  # noqa: PLC0415 - a few times for each kind

    _looks[what] += 1
    found = _trace.find(encoder.root, value, _SECONDS)
    if found is not None and not _is_the_users(found):
        return
    where = "" if found is None or found.parent is None else _steps.read((_steps.root_name(encoder.root), found.way()))
    _mended.warn_once(what, f" (this one is {where})" if where else "")


def _is_the_users(node: Node) -> bool:
    """Whether what holds an object, containers apart, is of the program or the project, and not of a package."""
    for holder in islice(node.up(), 1, None):
        kind = type(holder.value)
        if kind not in _CONTAINERS:
            module = getattr(holder.value if kind in _CODE else kind, "__module__", None)
            return module == "__main__" or _naming.is_project(module) or kind in _INNER
    return True


_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_CODE = frozenset({types.FunctionType, type})
_INNER = frozenset({types.CellType, types.MethodType, functools.partial})


def told(what: str) -> Callable[[Encoder, Any], Any]:
    """A rule for what is pickled as it is, locks in it and all; only that it is a copy is to be said."""

    def rule(encoder: Encoder, value: Any) -> Any:
        warn(encoder, value, what)
        encoder.has_told = True  # what it consists of is not worth a word
        return NotImplemented

    return rule


def semaphore(encoder: Encoder, value: Any) -> Any:
    """A semaphore of which nobody has taken anything, as far as that can be told."""
    if value._value < getattr(value, "_initial_value", 1):  # noqa: SLF001 - it has no other way to ask
        raise _mended.Refused("somebody has taken it, and would not give back its copy", _RELEASE)
    warn(encoder, value, "a threading.Semaphore travels as a copy: each process counts for itself")
    encoder.has_told = True
    return NotImplemented


def of_a_loop(encoder: Encoder, value: Any) -> Any:
    """A lock or semaphore of asyncio that is free."""
    if value.locked():
        raise _mended.Refused("somebody holds it, and would not release its copy", _RELEASE)
    warn(encoder, value, f"an asyncio.{type(value).__qualname__} travels as a copy: it does not exclude what runs in another process")
    encoder.has_told = True
    return NotImplemented


_RELEASE = "release it first; or make it inside the task, or keep it out with __getstate__"


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
    key = vars(value).get("_authkey")
    if key is None:  # one of ours
        return NotImplemented
    rebuild, (make, token, serializer, options) = value.__reduce__()
    return rebuild, (make, token, serializer, {**options, "authkey": bytes(key)})  # it is left out of pickles
