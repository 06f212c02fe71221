"""All stores of this process: what happens to them when it ends, or forks."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING, Literal, Protocol

from manyhands.memory import _signing

if TYPE_CHECKING:
    from manyhands.memory._store import Store


class _Ends(Protocol):
    """A store, on disk or beyond."""

    def close(self) -> None: ...

    def forked(self) -> None: ...


_stores: weakref.WeakSet[_Ends] = weakref.WeakSet()
_known: weakref.WeakValueDictionary[tuple[object, ...], Store] = weakref.WeakValueDictionary()  # one for all who have the same options
_come: set[Store] = set()  # those that have come with tasks: the next one brings it again
_registered = False


def remember(store: _Ends) -> None:
    """It is there."""
    _stores.add(store)


def known(location: str, size_limit: int | None, codec: str | None, level: int | None, key: bytes | None) -> Store:
    """The store of this process with these options."""
    from manyhands.memory._store import Store  # noqa: PLC0415 - a circle

    options = location, size_limit, codec, level, key
    found = _known.get(options)
    if found is None:
        found = _known[options] = Store(location, size_limit=size_limit, codec=codec, level=level, key=key)
    return found


def come(location: str, size_limit: int | None, codec: str | None, level: int | None, key: bytes | Literal[True] | None) -> Store:
    """The same: what one is unpickled as.

    Raises:
        StoreRefused: its key was left out, and this process has not been given it.
    """
    found = known(location, size_limit, codec, level, _signing.given(location) if key is _signing.LEFT_OUT else key)
    _come.add(found)
    return found


def at_end() -> None:
    """Have the stores closed when this process ends. To be called when there is something to be written then, not before: what has been
    registered in a program is forgotten in workers forked from it."""
    global _registered  # noqa: PLW0603 - once per process
    if not _registered:
        _registered = True
        atexit.register(_close_all)


def _close_all() -> None:
    for store in list(_stores):
        store.close()


def _forked() -> None:
    global _registered  # noqa: PLW0603 - as above
    _registered = False
    for store in list(_stores):
        store.forked()


os.register_at_fork(after_in_child=_forked)
