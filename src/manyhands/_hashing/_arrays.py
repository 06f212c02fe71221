"""Arrays, numbers and types of numpy: by type, shape and elements, wherever and in whichever order they lie in memory.

Elements are digested in C order. Of an array that lies otherwise, a block at a time is copied, never all of it.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from manyhands._hashing import _algorithms
from manyhands._hashing._terms import ORDERED, Node, fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._hashing._walk import Made, Walk

    Array = np.ndarray[Any, Any]

_SIMPLE = frozenset("biufcmMSU")  # kinds of types of which the letter, the size and the unit say all
# x86 keeps a number of 80 bits in 16 bytes, and anything in the rest.
_USED_OF_LONG = 10 if np.finfo(np.longdouble).nmant == 63 else 0
_WITH_FUNCTIONS = ("numpy", "scipy.special")  # where a ufunc is looked for
# What scipy notes about a sparse matrix when it is first asked.
_NOTED = frozenset({"_has_sorted_indices", "_has_canonical_format"})


def array(walk: Walk, value: Array) -> Made:
    """An array. Subclasses count with their class and attributes, but for those that only say where the memory is from."""
    kind = type(value)
    layout = value.strides if walk.layout and not walk.is_fresh else None
    if kind is np.ndarray or (not walk.maps and kind is np.memmap) or kind.__module__ == "manyhands.sharing._arrays":
        return _elements(walk, b"array", value, layout)
    if kind is np.memmap:
        return Node(ORDERED, (b"memmap",), (fresh(value.view(np.ndarray)),))
    if kind.__reduce__ is not np.ndarray.__reduce__ or kind.__reduce_ex__ is not np.ndarray.__reduce_ex__:
        from manyhands._hashing import _instances  # noqa: PLC0415 - it knows this module

        return _instances.by_reduce(value)
    return Node(
        ORDERED, (b"array of", *walk.codes.of_class(kind)), (fresh(value.view(np.ndarray)), fresh(getattr(value, "__dict__", None)))
    )


def masked_array(walk: Walk, value: Any) -> Made:
    """An array with a mask. What is behind the mask is no part of its value."""
    if value is np.ma.masked:
        return Node(ORDERED, (b"masked",), ())
    mask = np.ma.getmaskarray(value)
    data = value.data.view(np.ndarray)
    if mask.any() if mask.dtype.names is None else mask.size:
        data = data.copy()
        _blank(data, mask)
    parts = fresh(data), fresh(mask), value.fill_value, bool(value.hardmask)
    return Node(ORDERED, (b"masked array", *walk.codes.of_class(type(value))), parts)


def _blank(data: Array, mask: Array) -> None:
    """Put zeros where the mask is."""
    for name in mask.dtype.names or ():
        _blank(data[name], mask[name])
    if mask.dtype.names is None:
        data[mask] = np.zeros((), data.dtype)


def scalar(walk: Walk, value: Any) -> Made:
    """One element of an array."""
    return _elements(walk, b"scalar", np.asarray(value))


def sparse(walk: Walk, value: Any) -> Made:
    """A sparse matrix of scipy."""
    state = {name: part for name, part in vars(value).items() if name not in _NOTED}
    return Node(ORDERED, (b"sparse", *walk.codes.of_class(type(value))), (fresh(state),))


def ufunc(_: Walk, value: Any) -> Made:
    """A function over arrays."""
    own = value.__name__
    for module in _WITH_FUNCTIONS:
        if getattr(sys.modules.get(module), own, None) is value:
            return Node(ORDERED, (b"ufunc", module, own), ())
    return Node(ORDERED, (b"ufunc", own, value.signature), (value.types, value.__doc__))


def dtype(_: Walk, value: Any) -> Made:
    """The type of elements."""
    if value.names is not None:
        header = b"struct", value.itemsize, value.isalignedstruct, value.type.__qualname__
        return Node(ORDERED, header, [part for name in value.names for part in (name, *_field(value.fields[name]))])
    if value.subdtype is not None:
        return Node(ORDERED, (b"subarray",), value.subdtype)
    if value.kind in _SIMPLE:
        return Node(ORDERED, (b"dtype", value.str), ())
    if value.kind == "T":  # text of any length
        return Node(ORDERED, (b"text", value.coerce), (hasattr(value, "na_object"), getattr(value, "na_object", None)))
    element = value.type
    return Node(ORDERED, (b"dtype", value.str, value.name, element.__module__, element.__qualname__), ())


def _field(field: Any) -> tuple[Any, ...]:
    kind, offset, *title = field
    return kind, offset, title[0] if title else None


def _elements(walk: Walk, tag: bytes, value: Array, layout: tuple[int, ...] | None = None) -> Made:
    value = value.view(np.ndarray)
    kind = value.dtype
    order: Any = () if layout is None else (layout,)
    if kind.kind in _SIMPLE:
        header = tag, kind.str, len(value.shape), *value.shape, data_digest(walk, value)
        return Node(ORDERED, header, order) if order else walk.flat(ORDERED, header, [])
    shape = value.shape
    if kind.hasobject and kind.names is None:
        return Node(ORDERED, (b"objects of", tag), (kind, shape, *order, fresh(value.reshape(-1).tolist())))
    if kind.names is not None and not _is_packed(kind):
        return Node(ORDERED, (b"fields of", tag), (kind, shape, *order, *(fresh(value[name]) for name in kind.names)))
    return Node(ORDERED, (tag, data_digest(walk, value)), (kind, shape, *order))


def _is_packed(kind: Any) -> bool:
    """Whether each byte belongs to one field, and says something."""
    if kind.hasobject or kind.char in "gG":
        return False
    if kind.subdtype is not None:
        return _is_packed(kind.subdtype[0])
    if kind.names is None:
        return True
    fields = [kind.fields[name] for name in kind.names]
    ends = sorted((offset, offset + part.itemsize) for part, offset, *_ in fields)
    together = all(end == start for (_, end), (start, _) in pairwise(ends))
    return together and sum(part.itemsize for part, *_ in fields) == kind.itemsize and all(_is_packed(part) for part, *_ in fields)


def data_digest(walk: Walk, value: Array) -> bytes:
    """The digest of the elements, in C order."""
    algorithm = walk.algorithm
    if value.dtype.itemsize == 0 or value.size == 0:
        return algorithm.once(b"")
    is_long = _USED_OF_LONG and value.dtype.char in "gG"
    if value.flags.c_contiguous and not is_long:
        return _algorithms.of_data(algorithm, value.reshape(-1).view(np.uint8).data)
    pieces = _algorithms.Pieces(algorithm)
    for piece in _pieces(value):
        data = piece.reshape(-1).view(np.uint8)
        pieces.add(memoryview(data.reshape(-1, 16)[:, :_USED_OF_LONG].tobytes()) if is_long else data.data)
    return pieces.digest()


def _pieces(value: Array) -> Iterator[Array]:
    """The elements in C order, in pieces that lie together."""
    if value.nbytes <= _algorithms.BLOCK or value.ndim == 0:
        yield np.ascontiguousarray(value)
        return
    rows = _algorithms.BLOCK * len(value) // value.nbytes
    if rows == 0:
        for part in value:
            yield from _pieces(part)
        return
    for start in range(0, len(value), rows):
        yield np.ascontiguousarray(value[start : start + rows])
