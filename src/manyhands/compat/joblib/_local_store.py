"""Our store, with the methods of joblib's: what programs do with ``memory.store_backend``."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands.memory import _limits, _metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands.memory._store import Store


class CacheItemInfo(NamedTuple):
    """One stored result: its file, how many bytes it takes, and when it was last used."""

    path: str
    size: int
    last_access: datetime.datetime


class LocalStore:
    """Results by ``[func_id, args_id]``; ``location`` is the folder that has nothing else in it.

    Our own store is ``.store``: its format, and the names of its files, are not joblib's.
    """

    def __init__(self, store: Store, mmap_mode: str | None = None, compress: Any = False) -> None:
        self.store = store
        self.location = store.folder.path
        self.mmap_mode = mmap_mode
        self.compress = compress

    def get_items(self) -> list[CacheItemInfo]:
        """All that is stored."""
        return [
            CacheItemInfo(self.store.folder.entry(info.key), info.size + info.large, datetime.datetime.fromtimestamp(info.used))
            for info in self.store.entries()
        ]

    def enforce_store_limits(
        self, bytes_limit: int | str | None, items_limit: int | None = None, age_limit: datetime.timedelta | None = None
    ) -> None:
        """Remove results until the rest fits: see :meth:`Memory.reduce_size`."""
        size = None if bytes_limit is None else _limits.in_bytes("bytes_limit", bytes_limit, self.location)
        self.store.evict(size, items_limit, None if age_limit is None else _limits.in_seconds("age_limit", age_limit))

    def clear(self) -> None:
        """Remove everything."""
        self.store.clear()

    def clear_path(self, call_id: Sequence[str]) -> None:
        """Remove what is stored of one function, ``[func_id]``, or of one call."""
        if len(call_id) == 1:
            self.store.clear(call_id[0])
        else:
            self.clear_item(call_id)

    def clear_item(self, call_id: Sequence[str]) -> None:
        """Remove what is stored of one call."""
        self.store.delete(_key(call_id))

    def contains_item(self, call_id: Sequence[str]) -> bool:
        """Whether it is there."""
        return self.store.has(_key(call_id))

    def load_item(self, call_id: Sequence[str], verbose: int = 1, timestamp: float | None = None, metadata: Any = None) -> Any:
        """What was stored.

        Raises:
            KeyError: it is not there.
        """
        hit = self.store.get(_key(call_id), self.mmap_mode)
        if hit is None:
            msg = f"the result {'/'.join(call_id)} is not in {self.location}"
            raise KeyError(msg)
        return hit.value

    def get_metadata(self, call_id: Sequence[str]) -> dict[str, Any]:
        """What is known of it; empty: it is not there."""
        meta = self.store.meta(_key(call_id))
        return {} if meta is None else _metadata.as_joblib_has_it(meta)

    def get_item_info(self, call_id: Sequence[str]) -> dict[str, str]:
        """Where it is."""
        return {"location": self.store.folder.entry(_key(call_id))}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.location}")'


def _key(call_id: Sequence[str]) -> bytes:
    return bytes.fromhex(call_id[-1])
