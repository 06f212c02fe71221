"""A store of joblib's contract in the place of ours."""

from __future__ import annotations

import datetime
import errno
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands.memory import _metadata
from manyhands.memory._eviction import Evicted
from manyhands.memory._index import Index

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.memory._entry import Meta


class _Found(NamedTuple):
    value: Any
    meta: Any


class _NoLocks:
    """There are no locks in such a store: of the threads of a process one computes, and every process does."""

    def __init__(self, location: str) -> None:
        self.locks = f"{location}/no locks here"

    def make(self) -> None:
        """
        Raises:
            OSError: always.
        """
        raise OSError(errno.ENOTSUP, "a store of others has no locks", self.locks)


class ForeignStore:
    """For each function a folder, and in it one for each call, as joblib has it: ``function/<key>``.

    ``function``: whose results are meant; without it, it is of use for all of them together.
    """

    has_remote = False

    def __init__(self, backend: Any, function: str = "") -> None:
        self.backend = backend
        self.function = function
        self.location = str(backend.location)
        self.folder = _NoLocks(self.location)

    def of(self, function: str) -> ForeignStore:
        """The part for a function."""
        return ForeignStore(self.backend, function)

    def get(self, key: bytes, mmap_mode: str | None = None) -> _Found | None:
        """What is stored; None: nothing, or nothing that can be read."""
        if not self.has(key):
            return None
        try:
            return _Found(self.backend.load_item(self._call_id(key), verbose=0), self.meta(key))
        except Exception:  # noqa: BLE001 - damaged, or removed just now
            return None

    def put(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store something."""
        self.backend.dump_item(self._call_id(key), value, verbose=0)
        self.backend.store_metadata(self._call_id(key), _metadata.as_joblib_has_it(meta))

    def has(self, key: bytes) -> bool:
        """Whether something is stored."""
        return bool(self.backend.contains_item(self._call_id(key)))

    def is_whole(self, key: bytes) -> bool:
        """The same: what is in it cannot be told without loading it."""
        return self.has(key)

    def meta(self, key: bytes) -> dict[str, Any] | None:
        """What is known of it."""
        return self.backend.get_metadata(self._call_id(key)) or None

    def fetch(self, key: bytes) -> bool:
        """There is nowhere else to look."""
        return False

    def reject(self, key: bytes) -> None:
        """Remove what is too old for its user."""
        self.delete(key)

    def delete(self, key: bytes) -> None:
        """Remove it."""
        self.backend.clear_item(self._call_id(key))

    def clear(self, function: str | None = None, is_meant: Callable[[Meta], bool] | None = None) -> None:
        """Remove everything, or what is of one function: it does not know more of it."""
        if function is None:
            self.backend.clear()
        else:
            self.backend.clear_path([function])

    def index(self) -> Index:
        """It does not know what is in it."""
        return Index()

    def evict(
        self,
        bytes_limit: int | None,
        items_limit: int | None,
        age_limit: float | None,
        *,
        function: str | None = None,
        dry_run: bool = False,
    ) -> Evicted:
        """Remove what was used longest ago; ``age_limit`` in seconds. It does not say how much that was.

        Raises:
            NotImplementedError: ``function`` or ``dry_run`` is given.
        """
        if function is not None or dry_run:
            msg = "function= and dry_run= are not to be had with a store of joblib's contract: it removes what was used longest ago"
            raise NotImplementedError(msg)
        self.backend.enforce_store_limits(bytes_limit, items_limit, None if age_limit is None else datetime.timedelta(seconds=age_limit))
        return Evicted(0, 0)

    def expects_imports(self, code: bytes) -> bool:
        """Nothing is imported into it."""
        return False

    def expect_imports(self, code: bytes) -> None:
        """
        Raises:
            NotImplementedError: always.
        """
        msg = "results are imported into a store of manyhands, not into one of joblib's contract"
        raise NotImplementedError(msg)

    def close(self) -> None:
        """Nothing is open."""

    def _call_id(self, key: bytes) -> list[str]:
        return [self.function, key.hex()]
