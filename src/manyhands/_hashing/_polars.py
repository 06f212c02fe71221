"""Tables and columns of polars: by type and values, however they are divided into chunks, and whatever lies behind missing values."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import polars as pl

from manyhands._hashing import _algorithms, _arrays
from manyhands._hashing._terms import ORDERED, Node, fresh

if TYPE_CHECKING:
    from manyhands._hashing._walk import Made, Walk


def frame(_: Walk, value: Any) -> Made:
    """A DataFrame."""
    return Node(ORDERED, (b"polars frame", *value.shape), (fresh(column) for column in value.iter_columns()))


def series(walk: Walk, value: Any) -> Made:
    """A Series."""
    return Node(ORDERED, (b"polars series", value.name, str(value.dtype), len(value)), _parts(walk, value))


def _parts(walk: Walk, value: Any) -> list[Any]:
    """Which values are missing, and those that are not."""
    if value.dtype == pl.Null:
        return []
    if not value.null_count():
        return [b"", *_values(walk, value)]
    return [_digest(walk, value.is_null()), *_values(walk, value.drop_nulls())]


def _values(walk: Walk, value: Any) -> list[Any]:
    kind = value.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return [*_categories(kind), *_values(walk, value.cast(pl.String))]
    if kind == pl.String:
        value = value.cast(pl.Binary)
    if value.dtype == pl.Binary:
        return [_digest(walk, value.bin.size().cast(pl.Int64)), _joined(walk, value)]
    if isinstance(kind, pl.List):
        sizes = value.list.len()
        return [_digest(walk, sizes.cast(pl.Int64)), *_parts(walk, value.filter(sizes > 0).explode())]
    if isinstance(kind, pl.Array):
        return [list(kind.shape), *_parts(walk, value.reshape((-1,)) if kind.size else value.clear())]
    if isinstance(kind, pl.Struct):
        return [Node(ORDERED, (b"field", field.name), _parts(walk, value.struct.field(field.name))) for field in kind.fields]
    if (kind.is_numeric() and not kind.is_decimal()) or kind.is_temporal() or kind == pl.Boolean:
        return [_digest(walk, value.to_physical())]
    return [fresh(value.to_list())]


def _categories(kind: Any) -> list[Any]:
    return [kind.categories.to_list()] if isinstance(kind, pl.Enum) else []


def _digest(walk: Walk, value: Any) -> bytes:
    chunks = value.get_chunks()
    if len(chunks) == 1:
        return _arrays.data_digest(walk, value.to_numpy())
    pieces = _algorithms.Pieces(walk.algorithm)
    for chunk in chunks:
        pieces.add(memoryview(chunk.to_numpy().view("u1")))
    return pieces.digest()


def _joined(walk: Walk, value: Any) -> bytes:
    pieces = _algorithms.Pieces(walk.algorithm)
    for start in range(0, len(value), _ROWS):
        pieces.add(memoryview(b"".join(itertools.chain(value[start : start + _ROWS].to_list()))))
    return pieces.digest()


_ROWS = 10_000  # whose bytes are joined at a time
