"""What cached functions want of a store: of ``_store.py`` on disk, ``_remote_store.py`` that others share, joblib's in ``compat``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.memory._entry import Meta
    from manyhands.memory._index import Index


class Found(Protocol):
    """A result that was there, and what was stored beside it."""

    @property
    def value(self) -> Any:
        """What the function returned."""

    @property
    def meta(self) -> Any:
        """What is known of it."""


class LockFolder(Protocol):
    """Where those who compute a key are known from (``_flight.py``)."""

    locks: str

    def make(self) -> None:
        """See to it that the folder is there; OSError: there are no locks."""


class ResultStore(Protocol):
    """Results by key. For any thread. What it has here is had at once; what is elsewhere is brought here first (``fetch``)."""

    location: str
    has_remote: bool  # whether there is an elsewhere

    @property
    def folder(self) -> LockFolder:
        """For the locks."""

    def get(self, key: bytes, mmap_mode: str | None = None) -> Found | None:
        """What is here; None: nothing that can be used."""

    def put(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store a result: all of it, or an error."""

    def has(self, key: bytes) -> bool:
        """Whether something is here."""

    def is_whole(self, key: bytes) -> bool:
        """Whether something is here, and can be loaded as it was stored. It takes a look at all of it."""

    def meta(self, key: bytes) -> Any:
        """What is known of what is here, which is not loaded; None: nothing is."""

    def fetch(self, key: bytes) -> bool:
        """Bring a result here that others have stored elsewhere. False: there is none. May take as long as a network does."""

    def reject(self, key: bytes) -> None:
        """What is here is too old for its user: remove it here. Another machine may have a younger one, that can be fetched."""

    def delete(self, key: bytes) -> object:
        """Remove a result, wherever it is."""

    def clear(self, function: str | None = None, is_meant: Callable[[Meta], bool] | None = None) -> None:
        """Remove all results, or those of one function, wherever they are; of these, ``is_meant``: those of which this is true."""

    def expects_imports(self, code: bytes) -> bool:
        """Whether results of a function, by the digest of its code, have been imported from joblib."""

    def index(self) -> Index:
        """What is known of all that is here."""

    def close(self) -> None:
        """End what is under way, and close what is open. It can be used afterwards."""
