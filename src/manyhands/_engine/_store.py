"""Arrays that have been sent and still exist, so that one that goes to many tasks is stored once.

Nobody is served an old value: what was stored is used again if the array has not been changed since. Within a call over inputs that exist
beforehand nothing of the user's runs between two tasks, so that it is the same array is enough. Elsewhere all of its content is compared:
a few bytes of each part first, which most changes are found by; then all of them with what is stored; and when it has come once more, by a
hash (xxh3, some 20 GB/s), which reads only one of the two. What nobody can write to (``_codec/_sealed.py``) is not looked at.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from manyhands._codec import _sealed

if TYPE_CHECKING:
    from manyhands._engine._parcels import Placed


class _Entry:
    __slots__ = ("call", "digest", "owner", "placed", "sealed")

    def __init__(self, owner: weakref.ref[Any], placed: Placed, call: object, *, sealed: bool) -> None:
        self.owner = owner
        self.placed = placed
        self.call = call
        self.sealed = sealed  # nobody could write to it when it was stored, or compared
        self.digest: bytes | None = None

    def holds(self, view: memoryview) -> bool:
        """Whether what is stored is what ``view`` shows now."""
        try:
            stored = self.placed.lease.shown()[: self.placed.length]
        except OSError:  # there is no descriptor, or no memory, to look at it
            return False
        if not _agree_here_and_there(view, stored):
            return False
        if self.digest is not None:
            return _hash(view) == self.digest
        if not _equal(view, stored):
            return False
        self.digest = _hash(view)
        return True


class Store:
    """For any thread. ``kept``: bytes that may be stored of arrays that no call is sending just now."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._entries: OrderedDict[tuple[int, int], _Entry] = OrderedDict()  # by address and length

    def find(self, view: memoryview, call: object) -> Placed | None:
        """Where the memory that ``view`` shows is stored as it is now, if it is.

        ``call``: in which nothing changes; None if that is not known.
        """
        key = _key(view)
        entry = None if key is None else self._entries.get(key)
        if entry is None or entry.owner() is not _owner(view):
            return None
        sealed = _sealed.seal(view.obj)
        if not (sealed and entry.sealed) and (call is None or entry.call is not call):
            if not entry.holds(view):
                self._entries.pop(key, None)  # type: ignore[arg-type] # so that its segment can be used for what is there now
                return None
            entry.call, entry.sealed = call, sealed
        with contextlib.suppress(KeyError):  # another thread has evicted it meanwhile
            self._entries.move_to_end(key)  # type: ignore[arg-type]
        return entry.placed

    def keep(self, view: memoryview, placed: Placed, call: object, *, sealed: bool = False) -> None:
        """Remember where it is stored, as long as it exists. ``sealed``: nobody could write to it before it was stored."""
        key = _key(view)
        if key is None:
            return

        def forget(gone: object) -> None:
            entry = self._entries.get(key)
            if entry is not None and entry.owner is gone:
                self._entries.pop(key, None)

        try:
            owner = weakref.ref(_owner(view), forget)
        except TypeError:  # there is no telling when it goes, and another takes its place
            return
        self._entries[key] = _Entry(owner, placed, call, sealed=sealed)
        self._evict()

    def _evict(self) -> None:
        size = sum(length for _, length in list(self._entries))
        while size > self._kept and len(self._entries) > 1:
            try:
                (_, length), _ = self._entries.popitem(last=False)
            except KeyError:  # another thread was faster
                return
            size -= length

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


def _owner(view: memoryview) -> Any:
    """Whose memory it is: as long as that lives, no other array is at its address."""
    owner = view.obj
    if hasattr(owner, "keeper"):  # it has been made to show what somebody else holds
        return owner.keeper
    while isinstance(base := getattr(owner, "base", None), type(owner)):
        owner = base
    return owner


def _key(view: memoryview) -> tuple[int, int] | None:
    numpy = sys.modules.get("numpy")  # which another thread may be loading just now
    return (_address(view), view.nbytes) if hasattr(numpy, "frombuffer") else None


def _address(view: memoryview) -> int:
    return sys.modules["numpy"].frombuffer(view, "u1").__array_interface__["data"][0]  # type: ignore[no-any-return]


def _hash(data: Any) -> bytes:
    import xxhash  # noqa: PLC0415 - only for large arrays that are sent more than once

    return xxhash.xxh3_128_digest(data)


_PLACES, _WIDTH = 16, 64


def _agree_here_and_there(one: memoryview, other: memoryview) -> bool:
    """Whether some bytes are the same. If they are not, nothing more need be read."""
    last = len(one) - _WIDTH
    places = range(0, last + 1, max(1, last // (_PLACES - 1)))
    return all(one[place : place + _WIDTH] == other[place : place + _WIDTH] for place in places)


def _equal(one: memoryview, other: memoryview) -> bool:
    """Whether all bytes are the same. Comparing memoryviews does it byte by byte before Python 3.14."""
    import ctypes  # noqa: PLC0415 - as above

    compare = ctypes.CDLL(None).memcmp
    compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return bool(compare(_address(one), _address(other), len(one)) == 0)
