"""Results that stay where they are until somebody asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from manyhands.memory import _metadata

if TYPE_CHECKING:
    from manyhands.memory._contract import ResultStore

T = TypeVar("T")


class MemorizedResult(Generic[T]):
    """A result in the store; small, and can be sent to other processes.

    Example:
        >>> import tempfile
        >>> from manyhands import Memory
        >>> square = Memory(tempfile.mkdtemp()).cache(lambda x: x * x)
        >>> result = square.call_and_shelve(3)
        >>> result.get()
        9

    ``duration`` is how many seconds it took to compute; ``metadata`` what else is known of it.
    """

    def __init__(self, store: ResultStore, function: str, key: bytes, mmap_mode: str | None = None) -> None:
        self._store = store
        self._key = key
        self.func = self.func_id = function
        self.mmap_mode = mmap_mode

    @property
    def args_id(self) -> str:
        """What tells this call from others."""
        return self._key.hex()

    @property
    def metadata(self) -> dict[str, Any]:
        """``duration`` in seconds, ``time`` since 1970, ``input_args`` as texts. Empty if the result is gone."""
        meta = self._store.meta(self._key)
        if meta is None and self._store.fetch(self._key):
            meta = self._store.meta(self._key)
        return {} if meta is None else _metadata.as_joblib_has_it(meta)

    @property
    def duration(self) -> float | None:
        """Seconds that it took to compute; None if the result is gone."""
        return self.metadata.get("duration")

    def get(self) -> T:
        """The result.

        Raises:
            KeyError: it is not there any more.
        """
        hit = self._store.get(self._key, self.mmap_mode)
        if hit is None and self._store.fetch(self._key):
            hit = self._store.get(self._key, self.mmap_mode)
        if hit is None:
            msg = f"the result {self.args_id} of {self.func} is not in {self._store.location} any more: it was cleared, or it was damaged"
            raise KeyError(msg)
        return hit.value  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Remove it from the store."""
        self._store.delete(self._key)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self._store.location}", func="{self.func}", args_id="{self.args_id}")'


class NotMemorizedResult(Generic[T]):
    """The same where nothing is stored: it has the value itself."""

    __slots__ = ("valid", "value")

    def __init__(self, value: T) -> None:
        self.value: T | None = value
        self.valid = True

    def get(self) -> T:
        """The value.

        Raises:
            KeyError: it was cleared.
        """
        if not self.valid:
            msg = "No value stored."
            raise KeyError(msg)
        return self.value  # type: ignore[return-value] # it is valid

    def clear(self) -> None:
        """Drop the value."""
        self.valid, self.value = False, None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})" if self.valid else f"{type(self).__name__} with no value"
