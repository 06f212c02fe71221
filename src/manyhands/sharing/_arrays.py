"""The class of arrays in shared memory. Loaded by who makes one, or is sent one; it needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manyhands.sharing._in_memory import InMemory
from manyhands.sharing._pieces import SharedLock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands.sharing._pieces import Piece


class SharedArray(np.ndarray[Any, Any]):
    """An array that all processes to which it is sent see and write to: what one writes, the others read at once.

    :func:`manyhands.shared_array` and :func:`manyhands.share_array` make one. It is sent as an argument, in a function that uses it, or
    as a result, and arrives as itself; so do its parts (``a[10:20]``, ``a.T``). What is computed from it (``a + 1``, ``a[[3, 5]]``,
    ``a.copy()``) is an array of its own, not shared: the rules are those of ``numpy.memmap``.

    Nothing keeps two processes from writing to one element: ``a[0] += 1`` reads, adds and writes, and loses what another writes in
    between. Either each task writes to a part that is its own, or all of them hold ``a.lock``.
    """

    _piece: Piece | None = None
    _manyhands_local: Any = None

    def __array_finalize__(self, source: Any) -> None:
        piece = getattr(source, "_piece", None)
        if piece is not None and np.may_share_memory(self, source):
            self._piece = piece

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        if array is self:
            return array
        return array[()] if return_scalar or array.shape == () else array.view(np.ndarray)

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found.view(np.ndarray) if type(found) is SharedArray and found._piece is None else found  # noqa: SLF001 - its own class

    def copy(self, order: Any = "C") -> np.ndarray[Any, Any]:  # type: ignore[override]
        """An array of this process alone, with what is in this one now."""
        return np.array(self, order=order, copy=True, subok=False)

    def __deepcopy__(self, memo: Any) -> np.ndarray[Any, Any]:  # type: ignore[override]
        return self.copy()

    @property
    def lock(self) -> SharedLock:
        """Excludes all threads of all processes that have this array, or a part of it: ``with a.lock: a[0] += 1``.

        The thread that holds it may take it again; it is released when its holder dies. Some 3 µs where nobody else wants it.

        Raises:
            ValueError: this array has been computed from a shared one, and is not shared itself.
        """
        return SharedLock(self._shared_piece())

    def _shared_piece(self) -> Piece:
        if self._piece is None:
            msg = "this array was computed from a shared one, and is not shared itself; share_array() makes a shared copy of it"
            raise ValueError(msg)
        return self._piece

    def __manyhands_reference__(self) -> InMemory:
        return InMemory(self, self._shared_piece())

    def __manyhands_snapshot__(self) -> np.ndarray[Any, Any]:
        return self.copy()

    def __shared_identity__(self) -> str:
        """What tells that it is the same here and there: see ``manyhands._codec._identity.shared``."""
        return "" if self._piece is None else f"{self._piece.identity} {self._told(self._piece)}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._piece is None:
            return np.asarray(self).__reduce_ex__(protocol)
        return _arrived, (self._piece, *self._told(self._piece))

    def _told(self, piece: Piece) -> tuple[Any, ...]:
        """What part of the memory it is."""
        first = np.frombuffer(piece.words, "u1").__array_interface__["data"][0]
        offset = self.__array_interface__["data"][0] - first
        return offset, self.shape, self.strides, self.dtype, self.flags.writeable


class ReadOnlyPart(np.ndarray[Any, Any]):
    """What :func:`manyhands.readonly` makes of an array with gaps: pickle makes a new one of it, which would be writable."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar or array.shape == () else array.view(np.ndarray)

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = np.array(self, subok=False)
        plain.flags.writeable = self.flags.writeable
        return plain.__reduce_ex__(protocol)


def over(piece: Piece, shape: Sequence[int], dtype: Any, offset: int = 0, strides: Sequence[int] | None = None) -> SharedArray:
    """An array over a piece of memory, or a part of it."""
    made: SharedArray = np.ndarray.__new__(SharedArray, shape, dtype, piece.words, offset, strides)
    made._piece = piece  # noqa: SLF001 - its own class
    return made


def _arrived(piece: Piece, offset: int, shape: Sequence[int], strides: Sequence[int], dtype: Any, writeable: bool) -> SharedArray:
    array = over(piece, shape, dtype, offset, strides)
    array.flags.writeable = writeable
    return array
