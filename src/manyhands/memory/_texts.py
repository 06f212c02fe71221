"""Values in few characters, for what is known of a stored result: none of the user's code is asked, and nothing large is formatted."""

from __future__ import annotations

import types
from itertools import islice
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60  # of text and bytes; two thirds of it are the beginning
_MOST_BITS = 200
_MOST_PARTS = 4
_MOST_FIELDS = 8
_LEVELS = 3
_MOST = 200  # characters in all

_ATOMS = frozenset({type(None), bool, float, complex, type(Ellipsis), type(NotImplemented), range, slice})
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("frozenset({", "})")}
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
# Modules whose classes show themselves in few characters, and packages whose tables tell their shape.
_BRIEF = frozenset({"datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local"})
_WITH_SHAPE = frozenset({"numpy", "pandas", "polars", "pyarrow", "scipy", "torch"})


def noted(value: object) -> str:
    """A value as it is written; of what is not a number, text, a container of these or a record, the class and the shape."""
    try:
        text = " ".join(_text(value, _LEVELS).split())
    except Exception:  # noqa: BLE001 - changed by another thread meanwhile, say
        return f"<{type(value).__qualname__}>"
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."


def _text(value: Any, levels: int) -> str:
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return _cut(value)
    if kind is int:
        return repr(value) if value.bit_length() <= _MOST_BITS else f"<int of {value.bit_length()} bits>"
    if kind in _ATOMS:
        return repr(value)
    if kind in _BRACKETS or kind is dict:
        return _of_container(value, levels)
    if isinstance(value, _CODE):
        return str(value.__qualname__)
    return _of_object(value, kind, levels)


def _cut(value: Any) -> str:
    if len(value) <= _LONGEST:
        return repr(value)
    tail = _LONGEST // 3
    return f"{value[: _LONGEST - tail]!r}...{value[-tail:]!r}"


def _of_container(value: Any, levels: int) -> str:
    opening, closing = _BRACKETS.get(type(value), ("{", "}"))
    if not value:
        return repr(value)
    if not levels:
        return f"{opening}...{closing}"
    if type(value) is dict:
        parts = [f"{_text(key, levels - 1)}: {_text(part, levels - 1)}" for key, part in islice(value.items(), _MOST_PARTS)]
    else:
        parts = [_text(part, levels - 1) for part in islice(value, _MOST_PARTS)]
    more = ", ..." if len(value) > _MOST_PARTS else "," if type(value) is tuple and len(value) == 1 else ""
    return f"{opening}{', '.join(parts)}{more}{closing}"


def _of_object(value: Any, kind: type, levels: int) -> str:
    module = str(kind.__module__)
    if module in _BRIEF:
        return repr(value)
    if module.partition(".")[0] in _WITH_SHAPE:
        return _of_array(value, kind)
    if _code_walk.is_enum(kind):
        return f"{kind.__qualname__}.{value._name_}"
    if isinstance(value, tuple) and isinstance(fields := getattr(kind, "_fields", None), tuple):
        return _record(kind, zip(fields, tuple.__iter__(value), strict=False), levels)
    if "__dataclass_fields__" in vars(kind):
        held = _code_walk.attributes(value)
        return _record(kind, ((name, held[name]) for name in vars(kind)["__dataclass_fields__"] if name in held), levels)
    return f"<{kind.__qualname__}>"


def _record(kind: type, fields: Iterable[tuple[str, Any]], levels: int) -> str:
    if not levels:
        return f"{kind.__qualname__}(...)"
    shown = list(islice(fields, _MOST_FIELDS + 1))
    parts = [f"{name}={_text(part, levels - 1)}" for name, part in shown[:_MOST_FIELDS]]
    return f"{kind.__qualname__}({', '.join([*parts, *(['...'] if len(shown) > _MOST_FIELDS else [])])})"


def _of_array(value: Any, kind: type) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if not isinstance(shape, tuple):
        return f"<{kind.__qualname__}>"
    if not shape and kind.__module__ == "numpy" and hasattr(value, "item"):
        return f"{kind.__qualname__}({_text(value.item(), 1)})"
    return f"{kind.__qualname__}(shape={tuple(shape)}" + (")" if dtype is None else f", dtype={dtype})")
