"""What a function uses besides code: whether it can change where it is, and what it holds."""

from __future__ import annotations

import decimal
import re
import sys
import types
from operator import is_not
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk, _digests, _naming
from manyhands.memory import _packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis), type(NotImplemented)})
_FROZEN = frozenset({"datetime", "_pydatetime", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid", "zoneinfo"})
_CONTAINERS = (dict, types.MappingProxyType, list, tuple, set, frozenset)
_FEW = 100
_MOST_PARTS = 20_000  # that are looked through for code
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


def digest(value: Any) -> bytes:
    """Equal for equal contents. Of what cannot be hashed (a lock, an open file, a logger) the class counts."""
    return _digest(value, {})


def _digest(value: Any, above: dict[int, Any]) -> bytes:
    from manyhands._hashing import digest_of  # noqa: PLC0415 - functions that use nothing but code need none

    if not isinstance(value, types.ModuleType):
        try:
            return digest_of(value)
        except TypeError:  # some part of it cannot be hashed
            pass
    kind = type(value)
    hashed = _digests.new()
    hashed.update(f"{kind.__module__}.{kind.__qualname__}".encode())
    if id(value) not in above and len(above) < sys.getrecursionlimit() // 10:
        above = {**above, id(value): value}
        for part in _parts(value, above):
            hashed.update(part)
    return hashed.digest()


def _parts(value: Any, above: dict[int, Any]) -> Iterable[bytes]:
    if isinstance(value, dict | types.MappingProxyType):
        return sorted(_digest(key, above) + _digest(part, above) for key, part in [*value.items()])
    if isinstance(value, set | frozenset):
        return sorted(_digest(part, above) for part in [*value])
    if isinstance(value, list | tuple):
        return [_digest(part, above) for part in [*value]]
    if _packages.is_own(type(value).__module__) and not isinstance(value, type | types.FunctionType):
        return [name.encode() + _digest(part, above) for name, part in sorted(_code_walk.attributes(value).items())]
    return ()


class Found:
    """What is in a value that a digest of its contents says too little of: code, and the packages that its objects are of."""

    def __init__(self, value: Any) -> None:
        self.code: list[Any] = []
        self.modules: set[str] = set()
        self._seen: dict[int, Any] = {}
        self._left = _MOST_PARTS
        waiting = [value]
        while waiting:
            waiting.extend(self._look_into(waiting.pop()))

    def _look_into(self, value: Any) -> Iterator[Any]:
        kind = type(value)
        if kind in _ATOMS or id(value) in self._seen or self._left <= 0:
            return
        self._seen[id(value)] = value
        if isinstance(value, _CONTAINERS):
            self._left -= len(value)
            yield from [*value]
            if isinstance(value, dict | types.MappingProxyType):
                yield from [*value.values()]
        elif isinstance(value, types.ModuleType):
            self.modules.add(value.__name__)
        elif _code_walk.is_code(value) and not is_data(value):
            if _naming.global_generator(value) is None:
                self.code.append(value)
        else:
            if _packages.is_own(kind.__module__):
                self.code.append(kind)
            self.modules.add(kind.__module__)
            held = _code_walk.attributes(value)
            self._left -= len(held)
            yield from held.values()
