"""joblib's contract for stores of others, and the names that they are known under."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from manyhands._core.user_line import stacklevel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BACKENDS: dict[str, type[StoreBackendBase]] = {}
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


class CacheWarning(Warning):
    """A result was not stored."""


class StoreBackendBase(ABC):
    """What a store of joblib's has to have: files by name, somewhere. ``location`` is set by :meth:`configure`."""

    location: Any = None

    @abstractmethod
    def _open_item(self, f: str, mode: str) -> Any:
        """A file object for a name."""

    @abstractmethod
    def _item_exists(self, location: str) -> bool:
        """Whether there is something under a name."""

    @abstractmethod
    def _move_item(self, src: str, dst: str) -> object:
        """Give something another name."""

    @abstractmethod
    def create_location(self, location: str) -> object:
        """Make a folder."""

    @abstractmethod
    def clear_location(self, location: str) -> object:
        """Remove a folder, and what is in it."""

    @abstractmethod
    def get_items(self) -> Sequence[Any]:
        """All that is stored: objects with ``path``, ``size`` and ``last_access``."""

    @abstractmethod
    def configure(self, location: str, verbose: int = 0, backend_options: Mapping[str, Any] | None = None) -> object:
        """Begin to work in a place."""


class StoreBackendMixin:
    """What can be done with a store by way of its contract alone."""

    location: Any
    compress: Any = False
    mmap_mode: Any = None

    def load_item(self, call_id: Sequence[str], verbose: int = 1, timestamp: float | None = None, metadata: Any = None) -> Any:
        """What was stored.

        Raises:
            KeyError: it is not there.
        """
        from manyhands.compat.joblib.numpy_pickle import load  # noqa: PLC0415

        name = self._output(call_id)
        if not self._item_exists(name):  # type: ignore[attr-defined] # of the contract
            msg = f"Non-existing item (may have been cleared).\nFile {name} does not exist"
            raise KeyError(msg)
        if self.mmap_mode is not None:
            return load(name, mmap_mode=self.mmap_mode)
        with self._open_item(name, "rb") as file:  # type: ignore[attr-defined]
            return load(file)

    def dump_item(self, call_id: Sequence[str], item: Any, verbose: int = 1) -> None:
        """Store something; a warning if that fails."""
        from manyhands.compat.joblib.numpy_pickle import dump  # noqa: PLC0415

        def write(name: str) -> None:
            with self._open_item(name, "wb") as file:  # type: ignore[attr-defined]
                dump(item, file, compress=self.compress)

        try:
            self._write(call_id, "output.pkl", write)
        except Exception as error:  # noqa: BLE001 - whatever the store, or __reduce__, raises
            warnings.warn(f"Unable to cache to disk: {error}.", CacheWarning, stacklevel=stacklevel())

    def clear_item(self, call_id: Sequence[str]) -> None:
        """Remove what is stored for one call."""
        self.clear_path(call_id)

    def contains_item(self, call_id: Sequence[str]) -> bool:
        """Whether it is there."""
        return self._item_exists(self._output(call_id))  # type: ignore[attr-defined,no-any-return]

    def get_item_info(self, call_id: Sequence[str]) -> dict[str, str]:
        """Where it is."""
        return {"location": self._path(call_id)}

    def get_metadata(self, call_id: Sequence[str]) -> dict[str, Any]:
        """What is known of it; empty: nothing."""
        try:
            with self._open_item(os.path.join(self._path(call_id), "metadata.json"), "rb") as file:  # type: ignore[attr-defined]
                return dict(json.loads(file.read()))
        except Exception:  # noqa: BLE001 - of a store of others
            return {}

    def store_metadata(self, call_id: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Keep what is known of it."""

        def write(name: str) -> None:
            with self._open_item(name, "wb") as file:  # type: ignore[attr-defined]
                file.write(json.dumps(metadata).encode())

        with contextlib.suppress(Exception):
            self._write(call_id, "metadata.json", write)

    def clear_path(self, call_id: Sequence[str]) -> None:
        """Remove all that is stored under a name."""
        path = self._path(call_id)
        if self._item_exists(path):  # type: ignore[attr-defined]
            self.clear_location(path)  # type: ignore[attr-defined]

    def clear(self) -> None:
        """Remove everything."""
        self.clear_location(self.location)  # type: ignore[attr-defined]

    def enforce_store_limits(
        self, bytes_limit: int | str | None, items_limit: int | None = None, age_limit: datetime.timedelta | None = None
    ) -> None:
        """Remove what was used longest ago, until the rest fits.

        Raises:
            ValueError: a limit is not allowed.
        """
        for item in too_many(list(self.get_items()), bytes_limit, items_limit, age_limit):  # type: ignore[attr-defined]
            with contextlib.suppress(OSError):
                self.clear_location(item.path)  # type: ignore[attr-defined]

    def _write(self, call_id: Sequence[str], name: str, write: Any) -> None:
        self.create_location(self._path(call_id))  # type: ignore[attr-defined]
        target = os.path.join(self._path(call_id), name)
        own = f"{target}.{os.getpid()}-{os.urandom(8).hex()}"
        write(own)
        self._move_item(own, target)  # type: ignore[attr-defined]

    def _path(self, call_id: Sequence[str]) -> str:
        return os.path.join(str(self.location), *call_id)

    def _output(self, call_id: Sequence[str]) -> str:
        return os.path.join(self._path(call_id), "output.pkl")

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.location}")'


def too_many(items: list[Any], bytes_limit: int | str | None, items_limit: int | None, age_limit: datetime.timedelta | None) -> list[Any]:
    """Which items have to go, those that were used longest ago first.

    Raises:
        ValueError: a limit is not allowed.
    """
    if age_limit is not None and age_limit.total_seconds() < 0:
        msg = "age_limit has to be a positive timedelta"
        raise ValueError(msg)
    size = sum(item.size for item in items)
    excess = 0 if bytes_limit is None else size - _in_bytes(bytes_limit)
    surplus = 0 if items_limit is None else len(items) - items_limit
    oldest = None if age_limit is None else datetime.datetime.now() - age_limit
    going: list[Any] = []
    for item in sorted(items, key=lambda item: item.last_access):
        if excess <= 0 and len(going) >= surplus and (oldest is None or item.last_access > oldest):
            break
        going.append(item)
        excess -= item.size
    return going


def _in_bytes(limit: int | str) -> int:
    if not isinstance(limit, str):
        return int(limit)
    try:
        return int(_UNITS[limit[-1]] * float(limit[:-1]))
    except (KeyError, ValueError, IndexError):
        msg = f"Invalid literal for size give: {limit} (type {type(limit)}) should be alike '10G', '500M', '50K'."
        raise ValueError(msg) from None


def register_store_backend(backend_name: str, backend: type[StoreBackendBase]) -> None:
    """Have ``Memory(backend=backend_name)`` keep its results in such a store.

    Args:
        backend_name: how it is called.
        backend: a subclass of :class:`StoreBackendBase`, or of joblib's.

    Raises:
        ValueError: they are something else.
    """
    if not isinstance(backend_name, str):
        msg = f"Store backend name should be a string, '{backend_name}' given."
        raise ValueError(msg)  # noqa: TRY004 - joblib's
    if not isinstance(backend, type) or not is_store(backend):
        msg = f"Store backend should inherit StoreBackendBase, '{backend}' given."
        raise ValueError(msg)
    _BACKENDS[backend_name] = backend


def is_store(backend: type) -> bool:
    """Whether it is of our contract, or of joblib's."""
    return issubclass(backend, StoreBackendBase) or any(cls.__name__ == "StoreBackendBase" for cls in backend.__mro__)


def find_backend(name: str) -> type[StoreBackendBase]:
    """What was registered under a name, with us or with joblib itself.

    Raises:
        TypeError: nothing was.
    """
    from manyhands.compat import installing  # noqa: PLC0415 - few have such stores

    theirs: dict[str, type[StoreBackendBase]] = getattr(installing.loaded("joblib.memory"), "_STORE_BACKENDS", {})
    try:
        return {**theirs, **_BACKENDS}[name]
    except (KeyError, TypeError):
        msg = f"Unknown location or backend {name!r}; registered are: {', '.join({'local': 0, **theirs, **_BACKENDS})}"
        raise TypeError(msg) from None
