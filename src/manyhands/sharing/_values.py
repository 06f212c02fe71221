"""What goes to another process by value, and what by reference.

Reading gives immutable values as they are, and anything else as a proxy, so that ``obj.items.append(1)`` changes the original. What a
method returns is a value: a copy, unless it is the object itself, something shared, a live part of the object, or what only makes sense
where it is: an iterator, a file, a lock.
"""

from __future__ import annotations

import collections
import decimal
import enum
import functools
import gc
import io
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands.sharing._table import is_waited_for

if TYPE_CHECKING:
    from collections.abc import Callable

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_FIXED = frozenset({type(Ellipsis), type(NotImplemented), range, decimal.Decimal, types.ModuleType})
_FIXED_MODULES = frozenset({"datetime", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid", "zoneinfo", "re"})
_LOOKED_AT = 10_000
# The reference count of a result that nobody but its caller and the functions in between holds.
_FRESH = 4
_PLACES = ("threading", "_thread", "queue", "_queue", "socket", "ssl", "select", "selectors", "sqlite3", "subprocess")
_CONTAINERS = frozenset({list, dict, collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter})
_GIVE_PARTS = frozenset({"get", "setdefault", "__getitem__"})
_TAKE_OUT = frozenset({"pop", "popitem", "popleft"})
_ITEMS: frozenset[Any] = frozenset({type({}.items()), type(collections.OrderedDict().items())})
VIEWS: frozenset[Any] = _ITEMS | {type({}.values()), type(collections.OrderedDict().values())}


def is_immutable(value: Any) -> bool:
    """Whether neither a value nor anything in it can be changed; or it is a proxy already, of whatever object."""
    kind = type(value)
    if kind in ATOMS or kind in _FIXED or kind.__module__ in _FIXED_MODULES or hasattr(kind, "_manyhands_"):
        return True
    if isinstance(value, type | enum.Enum):
        return True
    if kind is tuple or kind is frozenset or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return all(map(is_immutable, value))
    if kind is types.BuiltinFunctionType:
        return isinstance(value.__self__, types.ModuleType)
    numpy = sys.modules.get("numpy")
    return (numpy is not None and isinstance(value, numpy.generic | numpy.dtype)) or is_in_memory(value)


def is_in_memory(obj: object) -> bool:
    """Whether it lies in memory that all processes have: by value or by reference is the same."""
    return hasattr(type(obj), "__manyhands_reference__")


def is_array(obj: Any) -> bool:
    """Whether it is an array of numpy that can lie there."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(obj) is numpy.ndarray and not obj.dtype.hasobject


def stays(value: Any) -> bool:
    """Whether a value makes sense only in the process that has it."""
    kind = type(value)
    if hasattr(kind, "__next__") or isinstance(value, io.IOBase | types.FunctionType | types.MethodType | functools.partial):
        return True
    return is_waited_for(kind) or (kind.__module__.partition(".")[0] in _PLACES and not issubclass(kind, BaseException))


def is_part(obj: Any, name: str, result: Any) -> bool:
    """Whether what method ``name`` has returned is a live part of the object: to change it there would change the object."""
    if sys.getrefcount(result) <= _FRESH or is_waited_for(type(obj)):  # it was made for the caller, or has been waited for by him
        return False
    if type(obj) in _CONTAINERS and (name in _GIVE_PARTS or name in _TAKE_OUT):
        return name in _GIVE_PARTS
    return _is_reached(obj, result)


def seen_from_afar(view: Any, mention: Callable[[Any], Any]) -> Any:
    """The values or items of a dict as they are now; what can be changed in them by reference, as where they are read one by one."""
    pairs = view if type(view) in _ITEMS else enumerate(view)
    seen = {key: value if is_immutable(value) else mention(value) for key, value in pairs}
    return seen.items() if type(view) in _ITEMS else seen.values()


def _is_reached(obj: Any, wanted: Any) -> bool:
    layer: list[Any] = [obj]
    seen = {id(obj)}
    while layer and len(seen) < _LOOKED_AT:
        parts = gc.get_referents(*layer)
        if any(part is wanted for part in parts):
            return True
        layer = []
        for part in parts:
            if id(part) not in seen and not isinstance(part, type | types.ModuleType | types.FunctionType | types.FrameType):
                seen.add(id(part))
                layer.append(part)
    return bool(layer)  # of an object with more parts than that, whatever it holds on to is taken for one
