"""Tables of pandas: column by column, however they are kept together; missing values as such, whatever lies behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from manyhands._hashing import _instances
from manyhands._hashing._terms import ORDERED, Node, fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._hashing._walk import Made, Walk


def frame(walk: Walk, value: Any) -> Made:
    """A DataFrame."""
    return Node(ORDERED, (b"DataFrame", *walk.codes.of_class(type(value)), *value.shape), _of_frame(value))


def _of_frame(value: Any) -> Iterator[Any]:
    yield from (fresh(value.columns), fresh(value.index))
    yield from _noted(value)
    yield from map(fresh, _columns(value))


def _columns(value: Any) -> Iterator[Any]:
    """As pandas keeps them: ``iloc`` makes a Series of each, which takes ten times as long as the digest."""
    arrays = getattr(value, "_iter_column_arrays", None)
    if arrays is not None:
        yield from arrays()
        return
    for number in range(value.shape[1]):
        array = value.iloc[:, number].array
        yield array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array


def series(walk: Walk, value: Any) -> Made:
    """A Series."""
    header = b"Series", *walk.codes.of_class(type(value)), len(value)
    return Node(ORDERED, header, (value.name, fresh(value.index), fresh(value.array), *_noted(value)))


def _noted(value: Any) -> Iterator[Any]:
    """What else frames and series have, and what subclasses add to it."""
    yield fresh(value.attrs)
    yield value.flags.allows_duplicate_labels
    own = {name: getattr(value, name, None) for name in value._metadata if name not in ("name", "_name")}  # noqa: SLF001 - for subclasses
    yield fresh(own)


def index(walk: Walk, value: Any) -> Made:
    """An Index that is neither of the two below."""
    parts = fresh(list(value.names)), getattr(value, "freqstr", None), fresh(value.array)
    return Node(ORDERED, (b"Index", *walk.codes.of_class(type(value))), parts)


def range_index(_: Walk, value: Any) -> Made:
    """A RangeIndex."""
    return Node(ORDERED, (b"RangeIndex",), (value.name, int(value.start), int(value.stop), int(value.step)))


def multi_index(walk: Walk, value: Any) -> Made:
    """A MultiIndex. Its levels may hold labels that none of its rows has, in any order: here they are as the rows come to them."""
    header = b"MultiIndex", *walk.codes.of_class(type(value)), value.nlevels
    parts = [part for level, codes in zip(value.levels, value.codes, strict=True) for part in _level(level, codes)]
    return Node(ORDERED, header, (fresh(list(value.names)), *map(fresh, parts)))


def _level(level: Any, codes: Any) -> tuple[Any, ...]:
    """Which label each row has, by number; the number for none; the labels."""
    numbers, found = pd.factorize(codes)  # codes are numbers: -1, which stands for none, is one of them
    none = [number for number, code in enumerate(found) if code < 0]
    return numbers.astype("int64"), none, level.array.take(found[found >= 0])


def column(walk: Walk, value: Any) -> Made:
    """An array that pandas, or a library for it, has a class for."""
    parts = _parts(value)
    if parts is None:
        return _instances.by_reduce(value)
    return Node(ORDERED, (b"column", *walk.codes.of_class(type(value)), str(value.dtype), repr(value.dtype)), map(fresh, parts))


def _parts(value: Any) -> tuple[Any, ...] | None:
    if hasattr(value, "_pa_array"):
        return (value.__arrow_array__(),)
    if isinstance(value, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray | pd.arrays.PeriodArray):
        return (value.asi8,)
    if isinstance(value, pd.Categorical):
        return value.codes, value.categories, bool(value.ordered)
    if isinstance(value, pd.arrays.IntervalArray):
        return value.left, value.right, value.closed
    if isinstance(value, pd.arrays.SparseArray):
        return value.sp_values, value.sp_index.indices, value.fill_value, len(value)
    if isinstance(value, pd.arrays.IntegerArray | pd.arrays.FloatingArray | pd.arrays.BooleanArray):
        kind: Any = value.dtype
        return value.isna(), value.to_numpy(dtype=kind.numpy_dtype, na_value=kind.numpy_dtype.type(0))
    if isinstance(value, pd.arrays.NumpyExtensionArray):
        return (value.to_numpy(),)
    return None
