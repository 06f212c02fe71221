"""Tables of pandas and pyarrow among data: from what these pickle of themselves, made anew by public constructors, which check it."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from manyhands._files._safe_makers import Constant, Name, Pending

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[..., Any]


def find(module: str, name: str) -> Maker | Constant | None:
    """What makes something for a name of pandas or pyarrow, wherever in it a version has that."""
    if name == "NA":
        return Constant(_pandas().NA)
    return (_OF_ARROW if module.partition(".")[0] == "pyarrow" else _OF_PANDAS).get(name)


class _Block(NamedTuple):
    values: Any
    places: Any
    dimensions: int


class _Manager(NamedTuple):
    blocks: tuple[Any, ...]
    axes: list[Any]


def _pandas() -> Any:
    return importlib.import_module("pandas")  # there is a table of it


def _arrow() -> Any:
    return importlib.import_module("pyarrow")


def _only_named(*_: Any) -> Any:
    msg = "it is not called"
    raise TypeError(msg)


def _wanted(what: str) -> TypeError:
    return TypeError(f"{what} is not there, or is another thing")


_moment: Any = np.datetime64
_span: Any = np.timedelta64
_UNITS = {7: "s", 8: "ms", 9: "us", 10: "ns"}


# ------------------------------------------------------------ frames


def _manager(_: Any, *args: Any) -> _Manager | Pending:
    if not args:  # of a series
        return Pending("pandas.SingleBlockManager", _manager_of_state)
    return _checked_manager(*args[:2])


def _manager_of_state(state: Any) -> _Manager:
    described = state[3]["0.14.1"]
    blocks = tuple([_Block(block["values"], block["mgr_locs"], 1) for block in described["blocks"]])
    return _checked_manager(blocks, described["axes"])


def _checked_manager(blocks: Any, axes: Any) -> _Manager:
    if type(blocks) is not tuple or type(axes) is not list or not all(isinstance(block, _Block) for block in blocks):
        raise _wanted("a tuple of blocks")
    if not all(isinstance(axis, _pandas().Index) for axis in axes):
        raise _wanted("an index")
    return _Manager(blocks, axes)


def _columns(manager: _Manager) -> list[Any]:
    """The values of each."""
    count = len(manager.axes[0])
    found: dict[int, Any] = {}
    for block in manager.blocks:
        places = range(count)[block.places] if isinstance(block.places, slice) else [int(place) for place in block.places]
        values = [block.values] if block.values.ndim == 1 else [block.values[number] for number in range(len(block.values))]
        found.update(zip(places, values, strict=True))
    if sorted(found) != list(range(count)):
        raise _wanted("a column")
    return [found[place] for place in range(count)]


def _frame(_: Any, *args: Any) -> Pending:
    def finish(state: Any) -> Any:
        pd, manager = _pandas(), state["_mgr"]
        if not isinstance(manager, _Manager) or len(manager.axes) != 2:
            raise _wanted("its manager")
        columns, index = manager.axes
        whole = manager.blocks[0].values if len(manager.blocks) == 1 else None
        if type(whole) is np.ndarray and whole.ndim == 2 and manager.blocks[0].places == slice(0, len(columns), 1):
            frame = pd.DataFrame(whole.T, index, columns, dtype=whole.dtype, copy=False)
        else:
            values = {place: pd.Series(value, index, value.dtype, copy=False) for place, value in enumerate(_columns(manager))}
            frame = pd.DataFrame(values, index, copy=False)
            frame.columns = columns
        return _finished(frame, state)

    return Pending("pandas.DataFrame", finish)


def _series(_: Any, *args: Any) -> Pending:
    def finish(state: Any) -> Any:
        manager = state["_mgr"]
        if not isinstance(manager, _Manager) or len(manager.axes) != 1 or len(manager.blocks) != 1:
            raise _wanted("its manager")
        values = manager.blocks[0].values
        series = _pandas().Series(values, manager.axes[0], values.dtype, state.get("_name", state.get("name")), copy=False)
        return _finished(series, state)

    return Pending("pandas.Series", finish)


def _finished(made: Any, state: dict[str, Any]) -> Any:
    made.attrs.update(state.get("attrs") or {})
    if state.get("_flags", {}).get("allows_duplicate_labels") is False:
        made.flags.allows_duplicate_labels = False
    return made


# ------------------------------------------------------------ indices


def _index(_: Any, kind: Any, state: Any) -> Any:
    pd, name = _pandas(), state.get("name")
    if not isinstance(kind, Name):
        raise _wanted("its class")
    if kind.name == "RangeIndex":
        return pd.RangeIndex(state["start"], state["stop"], state["step"], name=name)
    if kind.name == "MultiIndex":
        return pd.MultiIndex(state["levels"], state["codes"], sortorder=state.get("sortorder"), names=state["names"])
    if kind.name not in _INDICES:
        raise _wanted("a class of index that is known")
    data = state["data"]
    made = pd.Index(data, dtype=data.dtype, name=name, copy=False)
    if isinstance(state.get("freq"), pd.offsets.BaseOffset):
        made.freq = state["freq"]  # which checks it
    return made


_INDICES = frozenset({"Index", "DatetimeIndex", "TimedeltaIndex", "PeriodIndex", "CategoricalIndex"})


# ------------------------------------------------------------ arrays


def _backed(_: Any, kind: Any, *rest: Any) -> Pending:
    """Arrays that are numbers with a meaning: their state is the dtype, the numbers, and more."""
    if not isinstance(kind, Name) or kind.name not in {"Categorical", "DatetimeArray", "TimedeltaArray", "StringArray"}:
        raise _wanted("a class of array that is known")

    def finish(state: Any) -> Any:
        parts = state[:2] if isinstance(state, tuple) else ()
        numbers: Any = next((part for part in parts if isinstance(part, np.ndarray)), None)
        dtype: Any = next((part for part in parts if not isinstance(part, np.ndarray)), None)
        if numbers is None or dtype is None:
            raise _wanted("its numbers")
        pd = _pandas()
        if kind.name == "Categorical":
            return pd.Categorical.from_codes(numbers, dtype=dtype)
        if kind.name == "StringArray":
            return pd.array(numbers.reshape(-1), dtype=dtype)
        if isinstance(dtype, pd.DatetimeTZDtype):
            return pd.DatetimeIndex(numbers.reshape(-1)).tz_localize("UTC").tz_convert(dtype.tz).array
        return numbers

    return Pending(str(kind), finish)


def _masked(_: Any, *args: Any) -> Pending:
    def finish(state: Any) -> Any:
        values, mask = state["_data"], state["_mask"]
        pd = _pandas()
        if values.dtype.kind == "b":
            return pd.arrays.BooleanArray(values, mask)
        return (pd.arrays.FloatingArray if values.dtype.kind == "f" else pd.arrays.IntegerArray)(values, mask)

    return Pending("pandas.arrays", finish)


_MASKED = (*[f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)], "Float32", "Float64")


def _masked_dtype(*_: Any) -> Pending:
    return Pending("pandas.Int64Dtype", lambda _: None)


def _string_array(_: Any, *args: Any) -> Pending:
    def finish(state: Any) -> Any:
        dtype = state["_dtype"]
        return _pandas().array(state["_pa_array"], dtype=dtype)

    return Pending("pandas.arrays.ArrowStringArray", finish)


def _string_dtype(_: Any, storage: Any = None, missing: Any = None) -> Any:
    pd = _pandas()
    is_nan = isinstance(missing, float) and math.isnan(missing)
    if storage not in {"python", "pyarrow", None} or not (missing is None or missing is pd.NA or is_nan):
        raise _wanted("its storage")
    if missing is None or missing is pd.NA:
        return pd.StringDtype(storage)
    return pd.StringDtype(storage, na_value=np.nan)


def _category_dtype(_: Any, *args: Any) -> Pending:
    return Pending("pandas.CategoricalDtype", lambda state: _pandas().CategoricalDtype(state["categories"], state["ordered"]))


def _zone_dtype(_: Any, *args: Any) -> Pending:
    return Pending("pandas.DatetimeTZDtype", lambda state: _pandas().DatetimeTZDtype(state.get("unit", state.get("_unit")), _zone(state)))


def _zone(state: dict[str, Any]) -> Any:
    zone = state.get("tz", state.get("_tz"))
    if isinstance(zone, (Name, Pending)):
        raise _wanted("its zone")
    return zone


_OFFSETS = ("Day", "Hour", "Minute", "Second", "Milli", "Micro", "Nano", "BusinessDay", "MonthBegin", "MonthEnd", "YearBegin", "YearEnd")


def _offset(name: str) -> Maker:
    """Steps between dates, of so many units."""

    def make(_: Any, count: Any = 1, normalize: Any = False, *rest: Any) -> Any:
        if type(count) is not int or type(normalize) is not bool:
            raise _wanted("their number")
        return getattr(_pandas().offsets, name)(count, normalize)

    return make


_OF_PANDAS: dict[str, Maker] = {
    **dict.fromkeys((*_INDICES, "RangeIndex", "MultiIndex", "Categorical", "DatetimeArray", "TimedeltaArray", "StringArray"), _only_named),
    "DataFrame": _frame,
    "Series": _series,
    "BlockManager": _manager,
    "SingleBlockManager": _manager,
    "_unpickle_block": lambda _, values, places, dimensions: _Block(values, places, dimensions),
    "_new_Index": _index,
    "_new_DatetimeIndex": _index,
    "__pyx_unpickle_NDArrayBacked": _backed,
    # What is pickled of these, besides their name, is what they have noted of themselves: it is left out with the array's.
    **{f"{name}Dtype": _masked_dtype for name in (*_MASKED, "Boolean")},
    **dict.fromkeys(("IntegerArray", "FloatingArray", "BooleanArray"), _masked),
    "ArrowStringArray": _string_array,
    "StringDtype": _string_dtype,
    "CategoricalDtype": _category_dtype,
    "DatetimeTZDtype": _zone_dtype,
    "_unpickle_timestamp": lambda _, value, freq, zone, *unit: _timestamp(value, zone, *unit),
    "_timedelta_unpickle": lambda _, value, *unit: _pandas().Timedelta(_span(value, _UNITS[unit[0] if unit else 10])),
    "_nat_unpickle": lambda *_: _pandas().NaT,
    **{name: _offset(name) for name in _OFFSETS},
}


def _timestamp(value: Any, zone: Any, unit: Any = 10) -> Any:
    if isinstance(zone, (Name, Pending)):
        raise _wanted("its zone")
    found = _pandas().Timestamp(_moment(value, _UNITS[unit]))
    return found if zone is None else found.tz_localize("UTC").tz_convert(zone)


# ------------------------------------------------------------ arrow


def _arrow_array(_: Any, parts: Any) -> Any:
    """Checked in full, since the buffers are anybody's."""
    made = _arrow_of(parts)
    made.validate(full=True)
    return made


def _arrow_of(parts: Any) -> Any:
    """From type, length, number of nulls, offset, buffers, children, dictionary."""
    pa = _arrow()
    kind, length, nulls, offset, buffers, children, dictionary = parts
    if not isinstance(kind, pa.DataType) or not all(buffer is None or isinstance(buffer, pa.Buffer) for buffer in buffers):
        raise _wanted("its type, or a buffer")
    if pa.types.is_dictionary(kind):
        numbers = pa.Array.from_buffers(kind.index_type, length, buffers, nulls, offset)
        numbers.validate(full=True)
        return pa.DictionaryArray.from_arrays(numbers, _arrow_array(None, dictionary), ordered=kind.ordered)
    if dictionary is not None:
        raise _wanted("a type with a dictionary")
    return pa.Array.from_buffers(kind, length, buffers, nulls, offset, [_arrow_of(child) for child in children])


def _arrow_type(_: Any, name: Any) -> Any:
    if type(name) is not str:
        raise _wanted("the name of a type")
    return _arrow().type_for_alias(name)


def _arrow_chunks(_: Any, chunks: Any, kind: Any = None) -> Any:
    return _arrow().chunked_array(chunks, type=kind)


def _arrow_schema(_: Any, fields: Any, metadata: Any = None) -> Any:
    return _arrow().schema(_fields(fields), metadata)


def _fields(fields: Any) -> Any:
    if type(fields) is not list or not all(isinstance(field, _arrow().Field) for field in fields):
        raise _wanted("a list of fields")
    return fields


def _arrow_by(name: str) -> Maker:
    """A function of pyarrow that checks what it is given: numbers, text, types and fields."""

    def make(_: Any, *args: Any) -> Any:
        pa = _arrow()
        for value in args:
            if not isinstance(value, (int, str, dict, pa.DataType, pa.Field, type(None))):
                raise _wanted("a number, text, type or field")
        return getattr(pa, name)(*args)

    return make


def _arrow_struct(_: Any, fields: Any) -> Any:
    return _arrow().struct(_fields(fields))


def _arrow_table(kind: str) -> Maker:
    def make(_: Any, columns: Any, schema: Any) -> Any:
        pa = _arrow()
        if type(columns) is not list or not isinstance(schema, pa.Schema):
            raise _wanted("its columns, or its schema")
        made = getattr(pa, kind).from_arrays(columns, schema=schema)
        made.validate(full=True)
        return made

    return make


_TYPES = ("timestamp", "binary", "decimal128", "decimal256", "list_", "large_list", "dictionary", "map_", "field")
_OF_ARROW: dict[str, Maker] = {
    "_restore_array": _arrow_array,
    "_reconstruct_table": _arrow_table("Table"),
    "_reconstruct_record_batch": _arrow_table("RecordBatch"),
    "type_for_alias": _arrow_type,
    "py_buffer": lambda _, buffer: _arrow().py_buffer(buffer),
    "chunked_array": _arrow_chunks,
    "schema": _arrow_schema,
    "struct": _arrow_struct,
    **{name: _arrow_by(name) for name in _TYPES},
}
