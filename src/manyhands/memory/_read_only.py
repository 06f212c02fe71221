"""Loads a result so that nobody can write to its arrays, however small: for ``mmap_mode="r"``."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Bytes = bytes | bytearray | memoryview

_MAKERS = frozenset({"_frombuffer", "_reconstruct", "_mareconstruct"})  # what numpy's pickles call for an array


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, buffers: Iterable[Bytes]) -> None:
        super().__init__(file, buffers=buffers)
        self.arrays: list[Any] = []

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return self._noting(found) if name in _MAKERS and module.startswith("numpy.") else found

    def _noting(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            array = make(*args)
            self.arrays.append(array)
            return array

        return noted


def loads(data: Bytes, buffers: Iterable[Bytes] = ()) -> Any:
    """Like ``pickle.loads``."""
    unpickler = _Unpickler(io.BytesIO(data), buffers)
    value = unpickler.load()
    for array in unpickler.arrays:  # only now: some get their content after they have been made
        array.flags.writeable = False
    return value
