"""What a proxy has to know of the class of the object that it stands for, to be taken for it.

Python looks special methods up in the class, never in the instance. So a proxy's class has those that the object's class has, and no
others: a proxy of what cannot be called is not callable. Which ones goes with each proxy, as the bits of a number.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any, NamedTuple

_BINARY = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and", "xor", "or")
_OTHERS = (
    *("lt", "le", "eq", "ne", "gt", "ge", "hash"),
    *("neg", "pos", "abs", "invert", "int", "float", "complex", "index", "bool", "round", "trunc", "floor", "ceil"),
    *("len", "length_hint", "getitem", "setitem", "delitem", "contains", "iter", "reversed", "next", "missing"),
    *("call", "enter", "exit", "await", "aiter", "anext", "aenter", "aexit"),
    *("fspath", "bytes", "array", "dataframe", "get", "set", "delete"),
    *("instancecheck", "subclasscheck", "mro_entries"),
)
# The order is part of what travels.
SPECIAL: tuple[str, ...] = tuple(
    f"__{name}__" for name in (*_BINARY, *(f"r{name}" for name in _BINARY), *(f"i{name}" for name in _BINARY), *_OTHERS)
)
_BIT = {name: 1 << index for index, name in enumerate(SPECIAL)}
# Every class has these; they are told only of one that has its own.
_OF_OBJECT = {name: getattr(object, name) for name in SPECIAL if hasattr(object, name)}
_UNHASHABLE, _BOXED, _SHADOWING, _SEQUENCE, _MAPPING = (1 << len(SPECIAL) + index for index in range(5))
_FLAGS = {1 << 5: _SEQUENCE, 1 << 6: _MAPPING}  # of a class: what `match` takes for a sequence, and for a mapping
_METHODS = (types.FunctionType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.BuiltinMethodType, classmethod)
# What the proxies of all boxes have, since there may be another value in one by now than is known here: what all kinds of numbers have, and
# no container, for which a number is not to be taken; but what will follow on None nobody knows.
_OF_VALUES = sum(1 << index for index in range(SPECIAL.index("__len__")))
_OF_CONTAINERS = sum(_BIT[f"__{name}__"] for name in ("len", "getitem", "contains", "iter", "reversed"))


class Kind(NamedTuple):
    """A class, as far as proxies have to know it.

    Attributes:
        module, name: where the class is found; ``name`` is its ``__qualname__``.
        mask: which special methods it has.
        token: of a class that travels by value, what it is known by; else empty.
    """

    module: str
    name: str
    mask: int
    token: bytes

    def special_names(self) -> list[str]:
        """The special methods that it has."""
        return [name for name, bit in _BIT.items() if self.mask & bit]

    @property
    def is_box(self) -> bool:
        """Whether it is that of a box, in which there may be a value of another class by now."""
        return bool(self.mask & _BOXED)

    @property
    def is_sequence(self) -> bool:
        """Whether ``case [first, *_]`` is for its objects."""
        return bool(self.mask & _SEQUENCE)

    @property
    def is_mapping(self) -> bool:
        """Whether ``case {"key": value}`` is for its objects."""
        return bool(self.mask & _MAPPING)

    @property
    def has_fixed_methods(self) -> bool:
        """Whether what has once been a method of the object is one from then on, as far as is known."""
        return not self.mask & (_BOXED | _SHADOWING)

    @property
    def is_unhashable(self) -> bool:
        """Whether its instances have no hash, because they can be changed."""
        return bool(self.mask & _UNHASHABLE)


_kinds: dict[type, Kind] = {}
_MOST = 4000


def kind_of(cls: type) -> Kind:
    """The kind of a class of this process."""
    kind = _kinds.get(cls)
    if kind is None:
        if len(_kinds) >= _MOST:
            _kinds.clear()
        kind = _kinds[cls] = _looked_at(cls)
    return kind


def kind_of_object(obj: object) -> Kind:
    """The kind of an object of this process."""
    cls = type(obj)
    kind = kind_of(cls)
    names = _shadowed.get(cls)
    if names is None:
        names = _shadowed[cls] = _names_of_methods(cls)
    if names and not names.isdisjoint(object.__getattribute__(obj, "__dict__")):
        return shadowing(kind)
    return kind


def shadowing(kind: Kind) -> Kind:
    """The same, of an object that has attributes by the names of its class's methods."""
    return kind._replace(mask=kind.mask | _SHADOWING)


_shadowed: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def _names_of_methods(cls: type) -> frozenset[str]:
    """Those that an object may have something else by; none, if it has no attributes of its own."""
    if not cls.__dictoffset__ or issubclass(cls, type):
        return frozenset()
    members = {name: member for base in cls.__mro__[-2::-1] for name, member in vars(base).items()}
    return frozenset({name for name, member in members.items() if isinstance(member, _METHODS) and name[:2] != "__"})


def _looked_at(cls: type) -> Kind:
    mask = _UNHASHABLE if cls.__hash__ is None else 0
    mask |= sum(bit for flag, bit in _FLAGS.items() if cls.__flags__ & flag)
    for name, bit in _BIT.items():
        member: Any = _member(cls, name)
        if member is not None and member is not _OF_OBJECT.get(name):
            mask |= bit
    if mask & _BIT["__add__"]:
        mask |= _BIT["__radd__"]  # `[0] + shared`: a list adds lists alone, so the proxy is asked, and both are added where the real one is
    return Kind(cls.__module__, cls.__qualname__, mask, _token(cls))


def _member(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name] if base is not object else _OF_OBJECT.get(name)
    return None


def _token(cls: type) -> bytes:
    from manyhands._codec import _identity, _naming  # noqa: PLC0415 - built-in classes need neither

    return b"" if cls.__module__ == "builtins" or _naming.found_by_name(cls) else _identity.token_of(cls)


@functools.cache
def boxed(kind: Kind) -> Kind:
    """That of a box with a value of this kind."""
    of_any = _OF_VALUES | _OF_CONTAINERS if kind.name == "NoneType" else _OF_VALUES
    return kind._replace(mask=kind.mask | _BOXED | of_any)
