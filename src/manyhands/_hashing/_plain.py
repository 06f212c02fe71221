"""The classes of Python itself, each by what its objects consist of.

A handler gets the walk and the object, and returns a node whose parts are walked through, or a term where there are none but atoms.
"""

from __future__ import annotations

import collections
import functools
import types
from itertools import chain
from typing import TYPE_CHECKING, Any

from manyhands._codec import _naming
from manyhands._hashing import _algorithms
from manyhands._hashing._terms import DICT, LIST, MAPPING, ORDERED, SET, TUPLE, Node, are_atoms, fresh, in_order

if TYPE_CHECKING:
    from collections.abc import Collection

    from manyhands._hashing._walk import Handler, Made, Walk

# ------------------------------------------------------------ containers


def _tuple(walk: Walk, value: tuple[Any, ...]) -> Made:
    return walk.flat(TUPLE, (), value) if are_atoms(value) else Node(TUPLE, (), value)  # type: ignore[arg-type] # it is made a tuple


def _list(walk: Walk, value: list[Any]) -> Made:
    if are_atoms(value):
        return walk.flat(LIST, (), value)
    return Node(LIST, (), list(value))


def _dict(walk: Walk, value: dict[Any, Any]) -> Made:
    return items(walk, DICT, value)


def items(walk: Walk, header: tuple[Any, ...], value: dict[Any, Any]) -> Made:
    """A table, whatever its order, unless the walk is one to which that counts."""
    keys = list(value) if walk.ordered else in_order(value)
    if keys is None:
        return Node(MAPPING, header, list(chain.from_iterable(value.items())))
    parts = [part for key in keys for part in (key, value[key])]
    return walk.flat(ORDERED, header, parts) if are_atoms(value.values()) else Node(ORDERED, header, parts)


def _set(walk: Walk, value: set[Any]) -> Made:
    return members(walk, (b"set",), value)


def _frozenset(walk: Walk, value: frozenset[Any]) -> Made:
    return members(walk, (b"frozenset",), value)


def members(walk: Walk, header: tuple[Any, ...], value: Collection[Any]) -> Made:
    """The members of a set."""
    ordered = in_order(value)
    if ordered is not None:
        return walk.flat(ORDERED, header, ordered)
    parts = list(value)
    return walk.flat(SET, header, parts) if are_atoms(parts) else Node(SET, header, parts)


def _ordered_dict(_: Walk, value: collections.OrderedDict[Any, Any]) -> Made:
    return Node(ORDERED, (b"OrderedDict", len(value)), [*chain.from_iterable(value.items()), fresh(vars(value))])


def _default_dict(walk: Walk, value: collections.defaultdict[Any, Any]) -> Made:
    return Node(ORDERED, (b"defaultdict",), (value.default_factory, inner(items(walk, DICT, value))))


def inner(made: Made) -> Any:
    """A part of which the whole has been made: what the walk takes as a child."""
    return made if type(made) is Node else Node(ORDERED, (b"digest", made[0]), ())  # type: ignore[index]


def _counter(walk: Walk, value: collections.Counter[Any]) -> Made:
    return Node(ORDERED, (b"Counter",), (inner(items(walk, DICT, value)), fresh(vars(value))))


def _deque(_: Walk, value: collections.deque[Any]) -> Made:
    return Node(ORDERED, (b"deque", value.maxlen), list(value))


def _namespace(walk: Walk, value: types.SimpleNamespace) -> Made:
    return items(walk, (b"SimpleNamespace",), vars(value))


def _proxy(walk: Walk, value: types.MappingProxyType[Any, Any]) -> Made:
    return items(walk, (b"mappingproxy",), dict(value))


def _view(value_type: bytes) -> Handler:
    def handler(_: Walk, value: Any) -> Made:
        return Node(ORDERED, (value_type,), list(value))

    return handler


# ------------------------------------------------------------ bytes


def _bytes(walk: Walk, value: bytes | bytearray) -> Made:
    tag = b"bytes" if type(value) is bytes else b"bytearray"
    return walk.flat(ORDERED, (tag, len(value), _algorithms.of_data(walk.algorithm, memoryview(value))), [])


def _memoryview(walk: Walk, value: memoryview) -> Made:
    data = value.tobytes()
    digest = _algorithms.of_data(walk.algorithm, memoryview(data))
    return walk.flat(ORDERED, (b"memoryview", value.format, len(data), digest), [*(value.shape or ())])


def attributes(tag: bytes, *names: str) -> Handler:
    """What some attributes say all of."""

    def handler(_: Walk, value: Any) -> Made:
        return Node(ORDERED, (tag,), [getattr(value, name) for name in names])

    return handler


# ------------------------------------------------------------ code


def _function(walk: Walk, value: types.FunctionType) -> Made:
    header, parts = walk.codes.of_function(value)
    return Node(ORDERED, header, parts)


def _class(walk: Walk, value: type) -> Made:
    return walk.flat(ORDERED, (b"class", *walk.codes.of_class(value)), [])


def _method(_: Walk, value: types.MethodType) -> Made:
    generator = _naming.global_generator(value.__self__)
    if generator is not None:  # random.random: who calls it draws from the generator of its process
        return Node(ORDERED, (b"draws", *generator, value.__name__), ())
    return Node(ORDERED, (b"method",), (value.__self__, value.__func__))


def _builtin(_: Walk, value: types.BuiltinFunctionType) -> Made:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return Node(ORDERED, (b"builtin", value.__module__, value.__qualname__), ())
    generator = _naming.global_generator(owner)
    if generator is not None:
        return Node(ORDERED, (b"draws", *generator, value.__name__), ())
    return Node(ORDERED, (b"builtin method", value.__name__), (owner,))


def _descriptor(_: Walk, value: Any) -> Made:
    return Node(ORDERED, (b"descriptor", value.__name__), (value.__objclass__,))


def _partial(_: Walk, value: functools.partial[Any]) -> Made:
    return Node(ORDERED, (b"partial", len(value.args)), (value.func, *value.args, value.keywords, fresh(vars(value))))


def _cached(_: Walk, value: Any) -> Made:
    return Node(ORDERED, (b"cached",), (value.__wrapped__,))


def _module(walk: Walk, value: types.ModuleType) -> Made:
    return walk.flat(ORDERED, (b"module", *walk.codes.of_module(value)), [])


HANDLERS: dict[int, Handler] = {  # by the id of the class
    id(kind): handler
    for kind, handler in (
        (tuple, _tuple),
        (list, _list),
        (dict, _dict),
        (set, _set),
        (frozenset, _frozenset),
        (collections.OrderedDict, _ordered_dict),
        (collections.defaultdict, _default_dict),
        (collections.Counter, _counter),
        (collections.deque, _deque),
        (types.SimpleNamespace, _namespace),
        (types.MappingProxyType, _proxy),
        (type({}.keys()), _view(b"keys")),
        (type({}.values()), _view(b"values")),
        (type({}.items()), _view(b"items")),
        (bytes, _bytes),
        (bytearray, _bytes),
        (memoryview, _memoryview),
        (type(NotImplemented), attributes(b"NotImplemented")),
        (range, attributes(b"range", "start", "stop", "step")),
        (slice, attributes(b"slice", "start", "stop", "step")),
        (types.FunctionType, _function),
        (type, _class),
        (types.MethodType, _method),
        (types.BuiltinFunctionType, _builtin),
        (types.MethodDescriptorType, _descriptor),
        (types.ClassMethodDescriptorType, _descriptor),
        (types.WrapperDescriptorType, _descriptor),
        (types.GetSetDescriptorType, _descriptor),
        (types.MemberDescriptorType, _descriptor),
        (types.MethodWrapperType, lambda _, value: Node(ORDERED, (b"method wrapper", value.__name__), (value.__self__,))),
        (functools.partial, _partial),
        (type(functools.lru_cache(int)), _cached),
        (types.ModuleType, _module),
    )
}
