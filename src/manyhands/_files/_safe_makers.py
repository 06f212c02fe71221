"""What data consist of: each name that may be in a file that is loaded as data, and what is made for it here.

What makes something for a name gets the contents of the file and the arguments that the file has, which are data, names of this table, or
what was made by it. It checks them: none of it trusts a file.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import fractions
import pathlib
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._files._reading import Contents

    Maker = Callable[..., Any]

T = TypeVar("T", bound=type)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Name:
    """A name in a file, and what is made for it."""

    module: str
    name: str
    maker: Maker

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        return str(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Constant:
    """What a name stands for, which is data itself."""

    value: object


class Pending:
    """What is made as soon as its state is known. ``numbers``: where it is in the memo."""

    def __init__(self, name: str, finish: Callable[[Any], Any]) -> None:
        self.name = name
        self.finish = finish
        self.numbers: list[int] = []

    def __str__(self) -> str:
        return self.name


_registered: dict[tuple[str, str], type] = {}


def register_data(cls: T) -> T:
    """Let ``load(path, safe=True)`` make objects of a dataclass: to be called, or as a decorator. Their fields are set; neither
    ``__init__`` nor ``__post_init__`` is called, so a class that relies on what these check should not be registered.

    Example:
        >>> from dataclasses import dataclass
        >>> from manyhands.persistence import register_data
        >>> @register_data
        ... @dataclass
        ... class Point:
        ...     x: float
        ...     y: float

    Raises:
        TypeError: it is no dataclass, or has its own way to be pickled.
    """
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        msg = f"{cls!r} is no dataclass; only those hold nothing but their fields"
        raise TypeError(msg)
    if cls.__reduce_ex__ is not object.__reduce_ex__ or cls.__reduce__ is not object.__reduce__:
        msg = f"{cls.__qualname__} has its own __reduce__, which is not followed when data are loaded"
        raise TypeError(msg)
    _registered[cls.__module__, cls.__qualname__] = cls
    return cls


def find(module: str, name: str) -> Maker | Constant | None:
    """What makes something for a name; None: it is not among what data consist of."""
    cls = _registered.get((module, name))
    if cls is not None:
        return _dataclass(cls)
    found: Maker | Constant | None = _MAKERS.get((_OLD.get(module, module), name))
    if found is None and module.partition(".")[0] in {"pandas", "pyarrow"}:
        from manyhands._files import _safe_tables  # noqa: PLC0415 - not without tables

        found = _safe_tables.find(module, name)
    return found


def _plain(make: Callable[..., Any], *kinds: type) -> Maker:
    """What is called with data; ``kinds``: of which. What is small in a file may be large as a list: ``range(10**12)``."""

    def made(_: Contents, *args: Any) -> Any:
        for value in _data(args):
            if kinds and type(value) not in kinds:
                msg = f"{type(value).__name__} among what it is made of"
                raise TypeError(msg)
        return make(*args)

    return made


def _data(args: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in args:
        if isinstance(value, (Name, Pending)):
            msg = f"{value} is in the place of a value"
            raise TypeError(msg)
    return args


def _dataclass(cls: type) -> Maker:
    names = [field.name for field in dataclasses.fields(cls)]

    def make(_: Contents, *args: Any) -> Any:
        if args:
            msg = "it takes none"
            raise TypeError(msg)
        made: Any = object.__new__(cls)

        def finish(state: Any) -> Any:
            if isinstance(state, tuple) and len(state) == 2:  # of a class with slots
                state = {**(state[0] or {}), **(state[1] or {})}
            if isinstance(state, list):  # of one that is frozen as well
                state = dict(zip(names, state, strict=True))
            for name, value in state.items():
                if name not in names:
                    msg = f"it has no field {name!r}"
                    raise TypeError(msg)
                object.__setattr__(made, name, value)
            return made

        return Pending(f"{cls.__module__}.{cls.__qualname__}", finish) if names else made

    return make


def _uuid(_: Contents, *args: Any) -> Pending:
    return Pending("uuid.UUID", lambda state: uuid.UUID(int=state["int"]))


def _default_dict(_: Contents, *args: Any) -> Any:
    default, *rest = args or (None,)
    kinds = {"list": list, "dict": dict, "set": set, "tuple": tuple, "int": int, "float": float, "str": str, "bool": bool}
    if default is not None and not (isinstance(default, Name) and default.module in {"builtins", "__builtin__"} and default.name in kinds):
        msg = f"its values are made by {default}"
        raise TypeError(msg)
    return collections.defaultdict(None if default is None else kinds[default.name], *_data(tuple(rest)))


def _get_attribute(_: Contents, owner: Any, name: Any) -> Name:
    """Zones are made by a method."""
    if not (isinstance(owner, Name) and (owner.module, owner.name) == ("zoneinfo", "ZoneInfo") and name == "_unpickle"):
        msg = f"{name!r} of {owner}"
        raise TypeError(msg)
    return Name("zoneinfo", "ZoneInfo._unpickle", lambda _, key, *rest: zoneinfo.ZoneInfo(key))


# ------------------------------------------------------------ arrays


def _stored_array(contents: Contents, number: Any, dtype: Any, shape: Any, order: Any) -> Any:
    _data((number, dtype, shape, order))
    if dtype.hasobject or contents.rows[number].of_pickle:
        msg = "its buffer holds no array"
        raise TypeError(msg)
    return contents.array(number, dtype, shape, order)


def _view_as(_: Contents, array: Any, kind: Any) -> Any:
    if not isinstance(kind, Name) or kind.name != "matrix":
        msg = f"an array as {kind}"
        raise TypeError(msg)
    import numpy as np  # noqa: PLC0415 - there is one

    return np.asarray(array).view(np.matrix)


def _dtype(_: Contents, code: Any, *rest: Any) -> Pending:
    import numpy as np  # noqa: PLC0415 - as above

    if not isinstance(code, str):
        msg = f"a dtype of {code!r}"
        raise TypeError(msg)

    def finish(state: Any) -> Any:
        _, endian, sub, names, fields, itemsize, _, flags = state[:8]
        if sub is not None:
            return np.dtype((sub[0], sub[1]))
        if names is not None:
            formats = [fields[name][0] for name in names]
            offsets = [fields[name][1] for name in names]
            made = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": itemsize}
            return np.dtype(made, align=bool(flags & _ALIGNED))  # type: ignore[call-overload]
        if code[:1] in {"M", "m"} and len(state) > 8 and state[8] is not None:
            unit, count = state[8][1][:2]
            return np.dtype(f"{endian if endian in '<>' else ''}{code[0]}8[{count}{unit.decode() if isinstance(unit, bytes) else unit}]")
        made_of = np.dtype(code)
        return made_of.newbyteorder(endian) if endian in {"<", ">"} else made_of

    return Pending("numpy.dtype", finish)


_ALIGNED = 0x80  # flag of a dtype of records


def _array(_: Contents, kind: Any, *rest: Any) -> Pending:
    if not isinstance(kind, Name) or kind.name != "ndarray":
        msg = f"an array as {kind}"
        raise TypeError(msg)
    return Pending("numpy.ndarray", _array_of_state)


def _array_of_state(state: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - as above

    _, shape, dtype, is_fortran, data = state
    order: Any = "F" if is_fortran else "C"
    if not dtype.hasobject:
        if type(data) is not bytes:
            msg = "its data are no bytes"
            raise TypeError(msg)
        return np.ndarray(shape, dtype, bytearray(data), order=order)
    if dtype != np.dtype(object) or type(data) is not list:
        msg = "objects within records"
        raise TypeError(msg)
    flat = np.empty(len(data), object)
    for number, value in enumerate(data):
        flat[number] = value
    whole = flat.reshape(shape)  # they are told in C order, whatever the order is in memory
    return np.asfortranarray(whole) if is_fortran else whole


def _masked(_: Contents, kind: Any, base: Any, *rest: Any) -> Pending:
    """An array with a mask: its state is that of an array, the mask in the same way, and what is shown in the place of what is masked."""
    if not isinstance(kind, Name) or kind.name != "MaskedArray" or not isinstance(base, Name) or base.name != "ndarray":
        msg = f"a masked array as {kind} of {base}"
        raise TypeError(msg)

    def finish(state: Any) -> Any:
        import numpy as np  # noqa: PLC0415 - as above

        version, shape, dtype, is_fortran, data, mask, fill = state
        whole = _array_of_state((version, shape, dtype, is_fortran, data))
        masked = _array_of_state((version, shape, np.ma.make_mask_descr(dtype), is_fortran, mask))
        return np.ma.MaskedArray(whole, mask=masked, fill_value=fill)

    return Pending("numpy.ma.MaskedArray", finish)


def _from_buffer(_: Contents, buffer: Any, dtype: Any, shape: Any, order: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - as above

    _data((buffer, dtype, shape, order))
    if dtype.hasobject:
        msg = "objects in a buffer"
        raise TypeError(msg)
    return np.ndarray(shape, dtype, buffer, order=order)


def _scalar(_: Contents, dtype: Any, data: Any = None) -> Any:
    import numpy as np  # noqa: PLC0415 - as above

    if dtype.hasobject or type(data) is not bytes or len(data) != dtype.itemsize:
        msg = "its data are no bytes of that dtype"
        raise TypeError(msg)
    return np.frombuffer(data, dtype)[0] if data else dtype.type()


def _latin(_: Contents, text: Any, encoding: Any) -> bytes:
    """Bytes, in pickles of protocol 2."""
    if type(text) is not str or encoding != "latin1":
        msg = "it is no text"
        raise TypeError(msg)
    return text.encode("latin1")


_OLD = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pathlib._local": "pathlib",
    "numpy.matrixlib.defmatrix": "numpy",
    "numpy.ma.core": "numpy.ma",
}
_PATHS = ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath")


def _only_named(*_: Any) -> Any:
    msg = "it is not called"
    raise TypeError(msg)


_MAKERS: dict[tuple[str, str], Maker] = {
    **{("builtins", name): _only_named for name in ("list", "dict", "tuple", "int", "float", "str", "bool")},
    ("builtins", "complex"): _plain(complex, float, int),
    ("builtins", "range"): _plain(range, int),
    ("builtins", "xrange"): _plain(range, int),
    ("_codecs", "encode"): _latin,
    ("builtins", "slice"): _plain(slice),
    ("builtins", "set"): _plain(set, list),
    ("builtins", "frozenset"): _plain(frozenset, list),
    ("builtins", "bytearray"): _plain(bytearray, bytes, memoryview),
    ("builtins", "getattr"): _get_attribute,
    **{("datetime", kind.__name__): _plain(kind) for kind in (datetime.date, datetime.datetime, datetime.time)},
    **{("datetime", kind.__name__): _plain(kind) for kind in (datetime.timedelta, datetime.timezone)},
    ("zoneinfo", "ZoneInfo"): _only_named,
    ("decimal", "Decimal"): _plain(decimal.Decimal, str),
    ("fractions", "Fraction"): _plain(fractions.Fraction, str, int),
    ("uuid", "UUID"): _uuid,
    **{("pathlib", name): _plain(getattr(pathlib, name), str) for name in _PATHS},
    ("collections", "OrderedDict"): _plain(collections.OrderedDict, dict),
    ("collections", "Counter"): _plain(collections.Counter, dict),
    ("collections", "deque"): _plain(collections.deque, list, tuple, int),
    ("collections", "defaultdict"): _default_dict,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _only_named,
    ("numpy", "matrix"): _only_named,
    ("numpy.ma", "MaskedArray"): _only_named,
    ("numpy.ma", "_mareconstruct"): _masked,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("manyhands._files._pickling", "stored_array"): _stored_array,
    ("manyhands._files._pickling", "view_as"): _view_as,
}
