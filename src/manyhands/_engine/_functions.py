"""The functions that a pool knows: each is encoded as it is now, and sent to a worker once."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from manyhands._codec import _naming, _passing, _pickling
from manyhands._core.naming import function_name
from manyhands._engine import _parcels
from manyhands._engine._calls import Function, parameters, place

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from manyhands._engine._parcels import Placed
    from manyhands._wire._frames import Bytes

    Encoded = tuple[Bytes | Placed, Sequence[Bytes | Placed]]

# What is kept of functions, here and in each worker.
_MOST = 1000
_MOST_BYTES = 64 << 20
_MOST_SHARING = 16  # of those that hold shared memory, which lives as long as they do
# Bytes of a function from which on its user is told.
_WEIGHTY = 10_000_000


class _Plain:
    """A function that travels by its name."""

    __slots__ = ("_code", "_fn", "_on_stale", "function")

    def __init__(self, fn: Callable[..., object], on_stale: str, function: Function) -> None:
        self._fn = fn
        self._on_stale = on_stale
        self.function = function
        self._code = _pickling.code_of_project(fn)

    def holds(self, fn: Callable[..., object], on_stale: str) -> bool:
        """Whether it is this function, the name still leads to it, and its code is what it was."""
        same = fn is self._fn and on_stale == self._on_stale and _naming.found_by_name(fn)
        return same and (self._code is None or not self._code.changed())


class Functions:
    """For any thread. ``let_go(function)`` is called for one that is kept no longer: those by value may be large, and new at each call.

    ``place(payload, buffers)`` puts into segments what is large, for each process that is sent it.
    """

    def __init__(self, let_go: Callable[[Function], object], place: Callable[[Bytes, Sequence[memoryview]], Encoded]) -> None:
        self._let_go = let_go
        self._place = place
        self._known: OrderedDict[object, Function] = OrderedDict()  # by all their bytes, or the hash of them
        self._plain: dict[int, _Plain] = {}  # those that travel by name, by id
        self._bytes = 0
        self.own: frozenset[str] = frozenset()  # globals of the script that its workers have set themselves
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def get(self, fn: Callable[..., object], on_stale: str = "send") -> Function:
        """The function as it is now. ``on_stale``: what is to happen where a worker has other code for it, ``"send"`` it, or ``"raise"``.

        Raises:
            NotSerializable: it cannot be sent.
        """
        plain = self._plain.get(id(fn))
        if plain is not None and plain.holds(fn, on_stale):
            return plain.function
        payload, views = _pickling.encode_views(fn, on_stale, own=self.own)
        things = _passing.taken() if _passing.seen[0] else None
        key = payload if not views and len(payload) < _parcels.SHARED else _key(payload, views)
        known = self._known.get(key)
        if known is None:
            with self._lock:
                known = self._known.get(key)
                if known is None:
                    placed = (payload, ()) if key is payload else self._place(payload, views)
                    by_name = _pickling.is_plain(fn, payload)
                    known = self._known[key] = Function(
                        next(self._numbers), *placed, function_name(fn), by_name=by_name, parameters=parameters(fn), place=place(fn)
                    )
                    self._bytes += known.size
                    self._forget_old(sharing=any(map(_parcels.is_of_shared, known.buffers)))
            if known.size > _WEIGHTY:
                from manyhands._codec import _weights  # noqa: PLC0415 - few functions are

                _weights.warn_of_weight(fn, known.name, known.size)
        if known.by_name and not _pickling.is_made(payload):
            self._plain[id(fn)] = _Plain(fn, on_stale, known)
        return known.keeping(things) if things else known

    def clear(self) -> None:
        """Forget all, when there are no workers any more: what is large in them lies in memory."""
        with self._lock:
            self._known.clear()
            self._plain.clear()
            self._bytes = 0

    def _forget_old(self, *, sharing: bool) -> None:
        if sharing:
            holders = [key for key, known in self._known.items() if any(map(_parcels.is_of_shared, known.buffers))]
            for key in holders[:-_MOST_SHARING]:
                self._forget(self._known.pop(key))
        while len(self._known) > _MOST or (self._bytes > _MOST_BYTES and len(self._known) > 1):
            self._forget(self._known.popitem(last=False)[1])

    def _forget(self, old: Function) -> None:
        self._bytes -= old.size
        self._plain.clear()
        self._let_go(old)


def _key(payload: bytes, views: Sequence[memoryview]) -> Hashable:
    """The same for the same bytes: those of large pieces as a hash, those of shared memory as their place."""
    return tuple(map(_digest, (payload, *views)))


def _digest(piece: Any) -> Hashable:
    if _parcels.is_shared(piece):
        return id(piece.obj)  # the function that is known by it keeps it
    if len(piece) < _parcels.SHARED:
        return bytes(piece)
    import xxhash  # noqa: PLC0415 - few functions hold that much

    return len(piece), xxhash.xxh3_128_digest(piece)
