"""What of an object is not in its pickle: arrays and buffers, as bytes that are taken from where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._files import _format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pickle import PickleBuffer

    Array = Any  # numpy's, which is imported by whoever has one


class Piece:
    """Contiguous memory. ``of_pickle``: pickle itself asks for it when it is loaded; ``element``: the size of the numbers in it, 0 if
    they are none; ``is_shared``: whether other processes may write to it.
    """

    __slots__ = ("element", "is_shared", "length", "of_pickle", "view")

    def __init__(self, view: memoryview, *, of_pickle: bool, element: int = 0, is_shared: bool = False) -> None:
        self.view = view
        self.is_shared = is_shared
        self.length = view.nbytes
        self.of_pickle = of_pickle
        self.element = element

    def blocks(self, size: int = _format.BLOCK) -> Iterator[Any]:
        """Its bytes, a block at a time."""
        for start, stop in _format.blocks(self.length, size):
            yield self.view[start:stop]


class Scattered:
    """An array with gaps, or of another order than both C's and Fortran's; a block of it at a time is copied."""

    __slots__ = ("array", "element", "is_shared", "length", "of_pickle")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.length = array.nbytes
        self.of_pickle = False
        self.is_shared = False  # it is copied anyway
        self.element = _element(array.dtype)

    def blocks(self, size: int = _format.BLOCK) -> Iterator[Any]:
        """Its bytes in C order, a block at a time, whatever the size of an element."""
        import numpy as np  # noqa: PLC0415 - there is an array of it

        step = max(_STEP // self.array.itemsize, 1)
        rest = bytearray()
        for start in range(0, self.array.size, step):
            rest += self.array.flat[start : start + step].view(np.uint8).data
            while len(rest) >= size:
                yield bytes(memoryview(rest)[:size])
                del rest[:size]
        if rest:
            yield rest


_STEP = 1 << 20  # bytes, of what is copied at a time


def of_buffer(buffer: PickleBuffer) -> Piece:
    """For ``buffer_callback``."""
    return Piece(buffer.raw(), of_pickle=True)


def of_array(array: Array) -> tuple[Piece | Scattered, str]:
    """An array without objects, and the order in which it is stored."""
    import numpy as np  # noqa: PLC0415 - as above

    flags = array.flags
    if flags.c_contiguous:
        order, flat = "C", array
    elif flags.f_contiguous:
        order, flat = "F", array.T
    else:
        return Scattered(array), "C"
    plain: Any = np.asarray(flat).reshape(-1).view(np.uint8)
    return Piece(memoryview(plain), of_pickle=False, element=_element(array.dtype), is_shared=_is_shared(array)), order


def _is_shared(array: Array) -> bool:
    """Whether its memory is from elsewhere: a map of a file, shared memory."""
    import numpy as np  # noqa: PLC0415 - as above

    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is not None and type(array.base) is not bytes


def _element(dtype: Any) -> int:
    """The size of numbers and dates; 0 for text, records, and what has one byte."""
    return dtype.itemsize if dtype.kind in "iufcmM" and dtype.itemsize > 1 else 0
