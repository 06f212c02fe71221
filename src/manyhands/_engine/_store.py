"""Arrays that have been sent and still exist, so that one that goes to many tasks is stored once.

Nobody is served an old value: what was stored is used again if the array has not been changed since. Within a call over inputs that exist
beforehand nothing of the user's runs between two tasks, so that it is the same array is enough. Elsewhere its content is compared, by a
hash of all of it (xxh3, some 25 GB/s); a sample would be faster, and wrong where one element changes.
"""

from __future__ import annotations

import sys
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyhands._engine._parcels import Placed


class _Entry:
    __slots__ = ("call", "digest", "owner", "placed")

    def __init__(self, owner: weakref.ref[Any], placed: Placed, call: object, digest: bytes | None) -> None:
        self.owner = owner
        self.placed = placed
        self.call = call
        self.digest = digest


class Store:
    """For any thread. ``kept``: bytes that may be stored of arrays that no call is sending just now."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._entries: OrderedDict[tuple[int, int], _Entry] = OrderedDict()  # by address and length

    def find(self, view: memoryview, call: object) -> tuple[Placed | None, bytes | None]:
        """Where the memory that ``view`` shows is stored as it is now, if it is; and its hash, if that had to be known.

        ``call``: in which nothing changes; None if that is not known.
        """
        key = _key(view)
        entry = None if key is None else self._entries.get(key)
        if entry is None or entry.owner() is not _owner(view):
            return None, None
        digest = None
        if call is None or entry.call is not call:
            if entry.digest is None:
                try:
                    entry.digest = _hash(entry.placed.lease.shown()[: entry.placed.length])
                except OSError:  # there is no descriptor, or no memory, to look at it
                    return None, None
            digest = _hash(view)
            if digest != entry.digest:
                self._entries.pop(key, None)  # type: ignore[arg-type] # so that its segment can be used for what is there now
                return None, digest
            entry.call = call
        self._entries.move_to_end(key)  # type: ignore[arg-type]
        return entry.placed, digest

    def keep(self, view: memoryview, placed: Placed, call: object, digest: bytes | None) -> None:
        """Remember where it is stored, as long as it exists."""
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
        self._entries[key] = _Entry(owner, placed, call, digest)
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
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    return numpy.frombuffer(view, "u1").__array_interface__["data"][0], view.nbytes


def _hash(data: Any) -> bytes:
    import xxhash  # noqa: PLC0415 - only for large arrays that are sent more than once

    return xxhash.xxh3_128_digest(data)
