"""Digests of what variables hold: all of it that has a value, for a variable is no argument, which could be refused.

Besides what the digest of an argument has, it counts in which order a dict is; what objects of the user's own classes really have, whatever
their ``__reduce__`` and ``__getstate__`` say; context variables and weak references by what they lead to. What has no value (a lock, an
open file) counts by its class, and leaves the rest of what holds it as it is.

Code counts as far as it tells one function from another here; the walk notes it, and the modules that objects are of, for who looks
into it.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import types
import typing
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk, _naming
from manyhands._hashing import _algorithms, _code, _instances, _own_code, _plain
from manyhands._hashing._terms import LIST, ORDERED, SET, SMALL, Node, fresh
from manyhands._hashing._walk import TooDeep, Walk
from manyhands.memory import _contents, _packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from manyhands._hashing._walk import Handler, Made

_NO_VALUE = (b"no value",)
_OURS = "manyhands.memory"
# Classes that are nothing but what they hold, in modules of which others are states of a process: a pool, a connection.
_HOLDING = frozenset({"argparse", "builtins", "collections", "types"})


class _Shallow(_code.Codes):
    """A function is its code here: whoever looks into it finds what it carries."""

    def of_function(self, function: types.FunctionType) -> tuple[tuple[Any, ...], list[Any]]:
        header, _ = super().of_function(function)
        return header, []


class _Names(_code.Codes):
    """Functions and classes are their names."""

    def counts(self, _module: object) -> bool:
        return False

    def of_function(self, function: types.FunctionType) -> tuple[tuple[Any, ...], list[Any]]:
        return (b"function", str(function.__module__), function.__qualname__), []


class HeldWalk(Walk):
    """One digest, and what it has met: ``code``, in order; ``modules``, by their names."""

    codes: _code.Codes = _Shallow(_own_code.bare_code_of)
    handlers: Mapping[int, Handler] = {}  # all are given out by handler()
    ordered = True
    smalls = SMALL - {id(dict)}

    def __init__(self) -> None:
        super().__init__(_algorithms.XXH3)
        self.code: list[Any] = []
        self.modules: set[str] = set()
        self._lenient: dict[int, tuple[type, Handler]] = {}

    def handler(self, obj: Any, kind: type) -> Handler:
        """What takes objects of a class apart."""
        found = self._lenient.get(id(kind))
        if found is None:
            found = self._lenient[id(kind)] = kind, self._handler_of(obj, kind)
        return found[1]

    def _handler_of(self, obj: Any, kind: type) -> Handler:
        if issubclass(kind, types.FunctionType | type):
            return _code_itself
        if issubclass(kind, types.ModuleType):
            return _module
        if issubclass(kind, types.BuiltinFunctionType):
            return _builtin
        if special := _SPECIAL.get(id(kind)):
            return special
        module = str(kind.__module__)
        if module.startswith(_OURS) and callable(obj):  # a cached function: where its results are does not count
            return _code_by_class
        if not _packages.is_own(module):
            self.modules.add(module)
            return _leniently if id(kind) in _plain.HANDLERS and not callable(obj) else _of_package
        self.code.append(kind)
        return _of_package if _code_walk.is_enum(kind) else _own_handler(obj, kind)

    def strict(self, value: Any) -> Made:
        """As an argument would be taken.

        Raises:
            Exception: it has no value.
        """
        kind = type(value)
        return (_plain.HANDLERS.get(id(kind)) or Walk.handler(self, value, kind))(self, value)

    def by_class(self, value: Any) -> Made:
        """What has no value."""
        kind = type(value)
        return self.flat(ORDERED, (*_NO_VALUE, str(kind.__module__), kind.__qualname__), [])


class HintWalk(HeldWalk):
    """The same for annotations: classes in them are names."""

    codes = _Names(_own_code.bare_code_of)


# ------------------------------------------------------------ code


def _code_itself(walk: Any, value: Any) -> Made:
    walk.code.append(value)
    return walk.strict(value)  # type: ignore[no-any-return]


def _code_by_class(walk: Any, value: Any) -> Made:
    walk.code.append(value)
    return walk.by_class(value)  # type: ignore[no-any-return]


def _builtin(walk: Any, value: Any) -> Made:
    if isinstance(value.__self__, types.ModuleType):
        walk.code.append(value)
    return _of_package(walk, value)


def _module(walk: Any, value: Any) -> Made:
    if _packages.is_own(value.__name__):
        walk.code.append(value)
    else:
        walk.modules.add(value.__name__)
    return walk.strict(value)  # type: ignore[no-any-return]


# ------------------------------------------------------------ objects


def _of_package(walk: Any, value: Any) -> Made:
    """Objects of Python and of packages; what those have wrapped is looked into, and the rest of the wrapper is its own affair."""
    if callable(value) and "__wrapped__" in _code_walk.attributes(value):
        return _code_by_class(walk, value)
    if _naming.global_generator(value) is not None:
        return walk.by_class(value)  # type: ignore[no-any-return]
    return _leniently(walk, value)


def _leniently(walk: Any, value: Any) -> Made:
    try:
        return walk.strict(value)  # type: ignore[no-any-return]
    except TooDeep:
        raise
    except Exception:  # noqa: BLE001 - user code runs in there; it has no value itself
        return _where_it_is(walk, value) if hasattr(value, "__next__") else _what_it_holds(value)


def _where_it_is(walk: Any, value: Any) -> Made:
    """Iterators of Python's containers tell what they are going to give; those of itertools do no longer."""
    if type(value).__module__ == "builtins":
        with contextlib.suppress(TypeError):  # a generator
            return _instances.by_reduce(value)
    return walk.by_class(value)  # type: ignore[no-any-return]


def _what_it_holds(value: Any) -> Made:
    kind = type(value)
    parts = _items(value)
    if parts is None and kind.__module__.partition(".")[0] not in _HOLDING:
        held: Any = _contents.settings_of(value)
    else:
        held = _attributes(value)
    header = (b"holds", str(kind.__module__), kind.__qualname__)
    return Node(ORDERED, header, (fresh(held), fresh(parts)))


def _own_handler(obj: Any, kind: type) -> Handler:
    """What an object of the user's has, and what it says of itself if there is more to it."""
    try:
        is_all = _instances.consists_of_attributes(obj, kind)
    except Exception:  # noqa: BLE001 - as above
        is_all = False

    def handler(walk: Any, value: Any) -> Made:
        parts = [fresh(_attributes(value))]
        if not is_all:
            try:
                parts.append(_plain.inner(walk.strict(value)))
            except TooDeep:
                raise
            except Exception:  # noqa: BLE001 - as above
                parts.append(fresh(_items(value)))
        return Node(ORDERED, (b"own", *walk.codes.of_class(kind)), parts)

    return handler


def _attributes(value: Any) -> dict[str, Any]:
    """In the order of their names; without those that are the address of the object itself, or follow from the others."""
    address = id(value)
    text = f"{address:x}"
    held = sorted(_code_walk.attributes(value).items())
    return {
        name: part
        for name, part in held
        if not (part == address if type(part) is int else type(part) is str and text in part) and not _contents.is_computed(value, name)
    }


def _items(value: Any) -> Any:
    """What is in a container, by the methods of Python's own classes; None: it is none."""
    if isinstance(value, dict):
        return list(dict.items(value))
    if isinstance(value, collections.ChainMap):
        return list(value.maps)
    if isinstance(value, set | frozenset):
        return _Set(set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value))
    for base in (list, tuple, collections.deque):
        if isinstance(value, base):
            return list(base.__iter__(value))  # type: ignore[arg-type]
    return _array_items(value)


def _array_items(value: Any) -> Any:
    """What is in an array of objects."""
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__qualname__ == "ndarray":
        return [value.shape, value.ravel().tolist()]
    return None


class _Set:
    """Members, in no order."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[Any]) -> None:
        self.members = list(members)


# ------------------------------------------------------------ what leads elsewhere


def _context_variable(_: Any, value: contextvars.ContextVar[Any]) -> Made:
    return Node(ORDERED, (b"context variable", value.name), list(_now(value)))


def _now(variable: contextvars.ContextVar[Any]) -> Iterator[Any]:
    try:
        yield variable.get()
    except LookupError:  # it is not set, and has no default
        return


def _reference(_: Any, value: Any) -> Made:
    return Node(ORDERED, (b"weak reference",), (value(),))


def _weak_table(_: Any, value: Any) -> Made:
    return Node(ORDERED, (b"weak table", type(value).__qualname__), (fresh(list(value.items())),))


def _weak_set(_: Any, value: Any) -> Made:
    return Node(SET, (b"weak set",), list(value))


def _forward(_: Any, value: Any) -> Made:
    return Node(LIST, (), [value.__forward_arg__])


_SPECIAL: dict[int, Handler] = {  # by the id of the class
    id(kind): handler
    for kind, handler in (
        (contextvars.ContextVar, _context_variable),
        (weakref.ref, _reference),
        (weakref.KeyedRef, _reference),
        (weakref.WeakValueDictionary, _weak_table),
        (weakref.WeakKeyDictionary, _weak_table),
        (weakref.WeakSet, _weak_set),
        (typing.ForwardRef, _forward),
        (_Set, lambda _, value: Node(SET, (b"members",), value.members)),
    )
}
