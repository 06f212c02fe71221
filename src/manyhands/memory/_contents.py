"""What a function uses besides code: whether it can change where it is, and what it holds."""

from __future__ import annotations

import decimal
import functools
import re
import types
from operator import is_not
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk, _digests
from manyhands.errors import NotHashable
from manyhands.memory import _packages

if TYPE_CHECKING:
    from manyhands.memory._held_walk import HeldWalk

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis), type(NotImplemented)})
_FROZEN = frozenset({"datetime", "_pydatetime", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid", "zoneinfo"})
_CONTAINERS = frozenset({list, tuple, set, frozenset})
_FEW = 100
_LEVELS = 10  # of containers that are settings
_CALLABLE_CODE = frozenset({"builtins", "functools", "types"})  # whose objects that can be called are made of code, and of nothing else


def is_fixed(value: Any) -> bool:
    """Whether an object cannot change: to see whether it has is to see whether another has taken its place."""
    kind = type(value)
    if kind in _ATOMS or kind is decimal.Decimal or kind is re.Pattern or kind.__module__ in _FROZEN:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_fixed, value))
    return _code_walk.is_enum(kind)


def is_data(value: Any) -> bool:
    """Whether an object that can be called is one of a package that says what it is by what it holds: a polynomial, a layer."""
    kind = type(value)
    if isinstance(value, type | types.FunctionType) or not callable(value):
        return False
    if kind.__module__ in _CALLABLE_CODE or _packages.is_own(kind.__module__):
        return False
    return "__wrapped__" not in _code_walk.attributes(value)


def fixed_parts(value: Any) -> tuple[Any, ...] | None:
    """What a list or dict holds, if it is little and none of it can change: then looking whether it is still there is enough."""
    kind = type(value)
    if kind is dict and len(value) <= _FEW:
        parts = (*value, *value.values())
    elif kind is list and len(value) <= _FEW:
        parts = (*value,)
    else:
        return None
    return parts if all(map(is_fixed, parts)) else None


def are_parts(value: Any, parts: tuple[Any, ...]) -> bool:
    """Whether a list or dict still holds these very parts."""
    now = (*value, *value.values()) if type(value) is dict else value
    return len(now) == len(parts) and not any(map(is_not, now, parts))


def is_setting(value: Any, levels: int = _LEVELS) -> bool:
    """Whether a value is one that programs are set up with: text, numbers and their like, and lists and tables of them."""
    if is_fixed(value):
        return True
    if not levels:
        return False
    kind = type(value)
    if kind is dict or kind is types.MappingProxyType:
        return all(is_setting(part, levels - 1) for part in [*value.values()])
    return kind in _CONTAINERS and all(is_setting(part, levels - 1) for part in [*value])


def settings_of(obj: Any) -> dict[str, Any]:
    """What an object of a package has been set up with, as far as that can be told from the rest of its state."""
    return {name: value for name, value in sorted(_code_walk.attributes(obj).items()) if is_setting(value)}


def is_computed(obj: Any, name: str) -> bool:
    """Whether an attribute has been computed from the others, and is kept: it says nothing that they do not."""
    return isinstance(getattr(type(obj), name, None), functools.cached_property)


def digest_of_hints(value: Any) -> bytes:
    """Of annotations, in which classes count by their names."""
    from manyhands.memory._held_walk import HintWalk  # noqa: PLC0415 - as below

    return _look(HintWalk(), value)


def digest(value: Any) -> bytes:
    """Equal for equal contents. Of what has no value (a lock, an open file) the class counts."""
    return look(value)[0]


def look(value: Any) -> tuple[bytes, list[Any], set[str]]:
    """The digest of what a variable holds; the code in it; the modules that its objects are of."""
    from manyhands.memory._held_walk import HeldWalk  # noqa: PLC0415 - functions that use nothing but code need none

    walk = HeldWalk()
    return _look(walk, value), walk.code, walk.modules


def _look(walk: HeldWalk, value: Any) -> bytes:
    try:
        return walk.digest(value, "value")
    except NotHashable:
        kind = type(value)
        return _digests.of(f"{kind.__module__}.{kind.__qualname__}".encode())
