"""Proxies: what stands in a process for an object that is in another one.

A proxy has no public name of its own: whatever is looked up in it is asked of the object. What manyhands does with proxies it does by
functions (``lock(proxy)``), which find what they need under one private name. Its class is made for the kind of the object, so that Python
finds the special methods that it has, and ``isinstance(proxy, Counter)`` is true.
"""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import importlib
import os
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from manyhands import errors
from manyhands._codec import _passing
from manyhands._engine._on_import import when_imported
from manyhands.sharing import _asked as ops
from manyhands.sharing import _coding, _iterating
from manyhands.sharing._kinds import Kind, shadowing
from manyhands.sharing._values import ATOMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Reference(Protocol):
    """How to reach an object: in another process, or in this one."""

    number: int
    kind: Kind
    local: types.SimpleNamespace | None

    @property
    def address(self) -> str:
        """Of the process that has the object."""

    def request(self, operation: int, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = {}) -> Any:  # noqa: B006
        """Ask something of the object."""

    def raised(self, error: Any) -> BaseException:
        """What the object has raised, by what a reply says of it."""

    def told(self) -> tuple[Any, ...]:
        """What a pickle of the proxy says. It is kept for whoever reads that, for some time."""

    def named(self) -> tuple[Any, ...]:
        """The same, where it is kept for the reader anyway."""

    def promised(self) -> tuple[tuple[Any, ...], Callable[[], object]]:
        """The same for a pickle that is read once; and what is to be called when that is complete, and before it is sent."""


# Of this process, by the address of the owner and the number of the object.
known: weakref.WeakValueDictionary[tuple[str, int], Proxy] = weakref.WeakValueDictionary()


# What these tell of is memory of the process that has the object.
_BY_ADDRESS = frozenset(
    {f"__{name}__" for name in ("array_interface", "array_struct", "cuda_array_interface", "dlpack", "dlpack_device", "buffer")}
    | {f"__arrow_c_{name}__" for name in ("array", "stream", "schema", "device_array", "device_stream")}
)


class _Fields:
    """What :mod:`dataclasses` looks for in the class of an object."""

    def __get__(self, _: Proxy | None, cls: type[Proxy]) -> Any:
        return getattr(class_of(cls.__shared_kind__), "__dataclass_fields__")  # noqa: B009 - there is none where the class has none


class _Doc:
    """What the class of the object says of itself."""

    def __get__(self, proxy: Proxy | None, cls: type[Proxy]) -> str | None:
        made = class_of(cls.__shared_kind__)
        if made is None and proxy is not None:
            raise AttributeError  # then the object is asked
        return None if made is None else made.__doc__


class Proxy:
    """Stands for an object of another process. See :mod:`manyhands.sharing._proxies`."""

    __slots__ = ("__weakref__", "_manyhands_")
    if TYPE_CHECKING:  # else they would be taken for annotations of the object's class
        _manyhands_: Reference
        __shared_kind__: ClassVar[Kind]
    __dataclass_fields__ = _Fields()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """``type(obj)(items)``, as libraries write it where they rebuild containers, makes one of the object's class."""
        made = class_of(cls.__shared_kind__)
        if made is None:
            raise TypeError(f"the class {cls.__shared_kind__.name} is not there, in this process")
        return made(*args, **kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the object, as far as it is known here: what ``isinstance`` asks, after that of the proxy."""
        return class_of(_reference(self).kind) or type(self)

    def __getattr__(self, name: str) -> Any:
        if name in _BY_ADDRESS:
            raise AttributeError(name)
        value = _reference(self).request(ops.GET, name)
        if value is not _coding.IS_METHOD and value is not _coding.IS_ASYNC_METHOD:
            return value
        method = _method(name) if value is _coding.IS_METHOD else _async_method(name)
        if not (name.startswith("__") and name.endswith("__")) and _reference(self).kind.has_fixed_methods:
            setattr(type(self), name, method)  # from now on it is called at once
        return types.MethodType(method, self)

    def __setattr__(self, name: str, value: Any) -> None:
        _reference(self).request(ops.SET, name, (value,))
        if name in vars(type(self)):  # it has been a method, and need not be one any more
            be_of_kind(self, shadowing(_reference(self).kind))

    def __delattr__(self, name: str) -> None:
        _reference(self).request(ops.DELETE, name)

    def __repr__(self) -> str:
        return str(_reference(self).request(ops.CALL, "__repr__"))

    def __str__(self) -> str:
        return str(_reference(self).request(ops.CALL, "__str__"))

    def __format__(self, spec: str) -> str:
        return str(_reference(self).request(ops.CALL, "__format__", (spec,)))

    def __dir__(self) -> list[str]:
        return list(_reference(self).request(ops.CALL, "__dir__"))

    def __eq__(self, other: object) -> Any:
        return self is other if isinstance(other, Proxy) else NotImplemented

    def __hash__(self) -> int:
        reference = _reference(self)
        return hash((reference.address, reference.number))

    def __copy__(self) -> Any:
        return _reference(self).request(ops.SNAPSHOT, "")

    def __deepcopy__(self, _: Any) -> Any:
        return _reference(self).request(ops.SNAPSHOT, "")

    def __reduce_ex__(self, _: Any) -> Any:
        return _reference(self).told()

    def __init_subclass__(cls, **_: Any) -> None:
        """The classes of proxies are made here."""

    @staticmethod
    def __shared_passage__(proxy: Proxy, read_by: str) -> Any:
        """What a pickle of manyhands' own says."""
        reference = _reference(proxy)
        if read_by == _passing.UNKNOWN:
            return reference.told()
        if read_by == _passing.ONCE:
            said, promise = reference.promised()
            _passing.met(promise)
            return said
        if read_by == _passing.TASK:
            _passing.met(proxy)
        return reference.named()

    @staticmethod
    def __shared_identity__(proxy: Proxy) -> str:
        reference = _reference(proxy)
        return f"{reference.address} {reference.number}"


class _Sequence(Proxy):
    """Of what ``match`` takes for a sequence."""

    __slots__ = ()


class _Mapping(Proxy):
    """Of what ``match`` takes for a mapping."""

    __slots__ = ()

    def get(self, /, *args: Any, **kwargs: Any) -> Any:
        """As the mapping's own; but a default is the caller's object, and no copy of it: by that ``match`` tells that there is none."""
        if len(args) != 2 or type(args[1]) in ATOMS or not (type(args[1]) is object or _gives_default(_reference(self).kind)):
            return _reference(self).request(0, "get", args, kwargs)
        found = _reference(self).request(0, "get", (args[0], _NOTHING), kwargs)
        return args[1] if type(found) is str and found == _NOTHING else found


_NOTHING = os.urandom(16).hex()  # in the place of such a default


def _gives_default(kind: Kind) -> bool:
    """Whether what is given to ``get`` is a default: a class's own method may take it for anything, and use it."""
    cls = class_of(kind)
    return next((vars(base)["get"] for base in getattr(cls, "__mro__", ()) if "get" in vars(base)), None) in _GETTING


_GETTING = (dict.get, collections.abc.Mapping.get, types.MappingProxyType.get)


collections.abc.Sequence.register(_Sequence)  # which marks them, and their subclasses
collections.abc.Mapping.register(_Mapping)

_slot: Any = vars(Proxy)["_manyhands_"]
_reference: Callable[[Proxy], Reference] = _slot.__get__
_bind: Callable[[Proxy, Reference], None] = _slot.__set__


def reference_of(proxy: Any) -> Reference | None:
    """How a proxy reaches its object; None if it is no proxy."""
    return _reference(proxy) if issubclass(type(proxy), Proxy) else None


def proxy_of(reference: Reference) -> Any:
    """The proxy for an object: in a process there is one."""
    key = reference.address, reference.number
    proxy = known.get(key)
    if proxy is None:
        made: Proxy = object.__new__(_class_for(reference.kind))
        _bind(made, reference)
        proxy = known.setdefault(key, made)
    return proxy


def rebind(proxy: Proxy, reference: Reference) -> None:
    """Have a proxy reach its object by another way."""
    _bind(proxy, reference)


_class_slot: Any = vars(object)["__class__"]  # the class of a proxy, which says that it is another


def be_of_kind(proxy: Proxy, kind: Kind) -> None:
    """The object is found to be of another kind than it was."""
    reference = _reference(proxy)
    if reference.kind != kind:
        reference.kind = kind
        _class_slot.__set__(proxy, _class_for(kind))


# ---------------------------------------------------------------- classes of proxies


_classes: dict[Kind, type[Proxy]] = {}
_OURS = f"{__package__}."


def _class_for(kind: Kind) -> type[Proxy]:
    cls = _classes.get(kind)
    if cls is None:
        own: dict[str, Any] = {"__slots__": (), "__module__": kind.module, "__doc__": _Doc(), "__shared_kind__": kind}
        own.update((name, _SPECIAL.get(name) or _method(name)) for name in kind.special_names())
        own.update(_running_here(kind))
        if kind.is_box:
            own["__class__"] = property(_class_in_box)
        if kind.is_unhashable:
            own["__hash__"] = None
        elif "__hash__" not in own:
            own["__hash__"] = Proxy.__hash__
        base = _Mapping if kind.is_mapping else _Sequence if kind.is_sequence else Proxy
        cls = _classes[kind] = type(f"Shared[{kind.name}]", (base,), own)
        when_imported("multiprocessing.reduction", functools.partial(_travel_once, cls))
    return cls


def _travel_once(cls: type[Proxy], reduction: Any) -> None:
    """What queues, pipes, pools and processes of ``multiprocessing`` send is read once."""
    reduction.ForkingPickler.register(cls, _promised)


def _promised(proxy: Proxy) -> Any:
    said, promise = _reference(proxy).promised()
    promise()
    return said


def _running_here(kind: Kind) -> dict[str, Any]:
    """The methods of classes of ours that run where they are called, with the proxy for ``self``."""
    if not kind.module.startswith(_OURS):
        return {}
    cls = getattr(importlib.import_module(kind.module), kind.name, object)
    names = {name for base in cls.__mro__ for name in vars(base) if getattr(vars(base)[name], "__manyhands_runs_here__", False)}
    return {name: getattr(cls, name) for name in names}


def _method(name: str) -> Any:
    def method(self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
        return _reference(self).request(0, name, args, kwargs)

    method.__name__ = method.__qualname__ = name
    return method


def _async_method(name: str) -> Any:
    async def method(self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
        from manyhands.sharing import _asking  # noqa: PLC0415 - most objects have none

        return await _asking.outcome(_reference(self), name, args, kwargs)

    method.__name__ = method.__qualname__ = name
    return method


def class_of(kind: Kind) -> type | None:
    """The class that a kind is of; None if it is not there, in this process."""
    if kind.token:
        from manyhands._codec import _identity  # noqa: PLC0415 - most classes are found by name

        found: Any = _identity.known(kind.token)
        if found is not None:
            return found if isinstance(found, type) else None
    found = sys.modules.get("__mp_main__" if kind.module == "__main__" and "__mp_main__" in sys.modules else kind.module)
    for step in kind.name.split("."):
        found = getattr(found, step, None)
    return found if isinstance(found, type) else None


def _class_in_box(self: Proxy) -> type:
    kind = _reference(self).kind
    with contextlib.suppress(ConnectionError, errors.NotShared, errors.NotExposed):  # then it is what it was
        kind = Kind(*_reference(self).request(ops.CALL, "__kind__"))
        be_of_kind(self, kind)
    return class_of(kind) or type(self)


# ---------------------------------------------------------------- special methods that need more than to be passed on


def _iter(self: Proxy) -> Iterator[Any]:
    if hasattr(type(self), "__next__"):
        return self
    return _iteration(self)


def _iteration(proxy: Proxy) -> Iterator[Any]:
    reference = _reference(proxy)
    cursor: Any = None

    def ask(count: int) -> Any:
        nonlocal cursor
        if cursor is not None:
            return _reference(cursor).request(ops.MORE, "")
        items, cursor, follows = reference.request(ops.ITERATE, "", (count,) if count else ())
        return items, cursor, follows

    is_here = hasattr(reference, "entry")  # then it takes next to no time to change it
    kind = reference.kind
    if kind.module == "builtins" and kind.name in _iterating.LATE and not kind.is_box:
        return _iterating.chunks(ask, None, is_here=is_here)
    first = ask(0)
    return iter(cursor) if hasattr(type(cursor), "__next__") else _iterating.chunks(ask, first, is_here=is_here)


def _await(self: Proxy) -> Any:
    from manyhands.sharing import _asking  # noqa: PLC0415 - as above

    return _asking.outcome(_reference(self), "__await__").__await__()


def _exit(self: Proxy, kind: Any = None, error: Any = None, trace: Any = None) -> Any:
    return _reference(self).request(ops.CALL, "__exit__", _end_of_block(self, kind, error, trace))


async def _aexit(self: Proxy, kind: Any = None, error: Any = None, trace: Any = None) -> Any:
    from manyhands.sharing import _asking  # noqa: PLC0415 - as above

    return await _asking.outcome(_reference(self), "__aexit__", _end_of_block(self, kind, error, trace), {})


def _end_of_block(self: Proxy, kind: Any, error: Any, trace: Any) -> tuple[Any, Any, Any]:
    """What the end of a ``with`` block is told. A traceback cannot be sent; and of an error that cannot another one tells."""
    if error is None or hasattr(_reference(self), "entry"):  # it is in this process
        return kind, error, trace
    if not _coding.can_be_sent(error):
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return type(error), error, None


_SPECIAL: dict[str, Any] = {
    "__iter__": _iter,
    "__exit__": _exit,
    "__await__": _await,
    "__aexit__": _aexit,
    **{name: _async_method(name) for name in ("__anext__", "__aenter__")},
}
