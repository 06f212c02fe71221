"""What is asked of a shared object, done in the process that has it."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Protocol

from manyhands import errors
from manyhands.sharing import _exposing, _iterating, _kinds, _values
from manyhands.sharing._asked import (
    CALL,
    CANCEL,
    CLOSE,
    DELETE,
    FIND,
    GET,
    GREET,
    ITERATE,
    KEEP,
    LOCK,
    MANY,
    MORE,
    NEW,
    RUN,
    SET,
    SNAPSHOT,
    UNLOCK,
    WATCHED,
)
from manyhands.sharing._operators import OPERATIONS
from manyhands.sharing._table import here, is_waited_for
from manyhands.sharing._values import ATOMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._kinds import Kind
    from manyhands.sharing._monitors import Monitor
    from manyhands.sharing._table import Entry


_COPYING = frozenset({"__array__", "__copy__", "__bytes__", "__dir__"})
_READING = frozenset({"__getitem__", "__next__"})
_OF_CLASSES = frozenset({types.FunctionType, types.MethodDescriptorType, types.MethodType, types.BuiltinMethodType})
_METHODS = (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
IS_COROUTINE = 0x80  # among the flags of code: inspect.CO_COROUTINE


class Teller(Protocol):
    """How results get to the caller: as bytes to another process, or as they are to a thread of this one."""

    @property
    def atom(self) -> Callable[[Any], Any]:
        """A number or a text."""

    is_far: bool  # whether that is another process
    copies_views: bool  # whether views of dicts go there by value
    method: Any  # what is said of a name that is a method's
    async_method: Any  # the same, where what it returns is to be awaited

    def value(self, value: Any) -> Any:
        """A value. NotSerializable: it cannot be sent."""

    def error(self, error: BaseException) -> Any:
        """What has been raised, as a part of a value: see ``Reference.raised``."""

    def copy(self, value: Any) -> Any:
        """A value that is one of the caller's own from then on."""

    def mention(self, obj: Any, root: Entry | None, kind: Kind | None = None) -> Any:
        """Something by reference, as a part of a value."""

    def hold_again(self, numbers: list[int]) -> None:
        """Who is told has proxies of these objects."""

    def taken(self, monitor: Monitor) -> None:
        """A transaction has begun."""

    def given(self, monitor: Monitor) -> None:
        """A transaction has ended."""

    def cancel(self, stream: int, request: int, running: bool) -> bool:
        """Cancel a request that was not waited for, if it can be."""


def perform(teller: Teller, caller: int, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what is asked. Raises what the object raises.

    Raises:
        NotShared: the object is not shared any more.
        NotExposed: the name may not be used.
    """
    entry = here.table.entries.get(number)
    if entry is None:
        if operation in _WITHOUT_OBJECT:
            return _WITHOUT_OBJECT[operation](teller, name, args, kwargs)
        raise errors.NotShared(number)
    if entry.exposed is not None and teller.is_far:
        _exposing.check(entry, operation, name, args)
    return DOING[operation](teller, caller, entry, name, args, kwargs)


def _call(teller: Teller, caller: int, entry: Entry, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if entry.free and (name in entry.free or "*" in entry.free):
        return reply_with(teller, entry, name, result_of(entry.obj, name, args, kwargs))
    monitor = entry.monitor
    monitor.enter(caller)
    try:
        result = result_of(entry.obj, name, args, kwargs)
        if type(result) in ATOMS:
            return teller.atom(result)
        return reply_with(teller, entry, name, result)
    finally:
        monitor.leave()


def result_of(obj: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a method returns, by its name."""
    if name[:2] != "__":
        return getattr(obj, name)(*args, **kwargs)
    if name in OPERATIONS:
        return OPERATIONS[name](obj, *args, **kwargs)
    if name.endswith("__"):
        return getattr(type(obj), name)(obj, *args, **kwargs)
    return getattr(obj, name)(*args, **kwargs)


def reply_with(teller: Teller, entry: Entry, name: str, result: Any) -> Any:
    """What a call has returned: by value or by reference."""
    if type(result) in ATOMS:
        return teller.atom(result)
    if here.referred:
        from manyhands.sharing import _arrivals  # noqa: PLC0415 - few methods return by share.ref()

        _arrivals.adopted(result, entry)
    if name in _COPYING:
        return teller.value(result)
    if result is entry.obj and entry.kind.is_box:  # that may have got another kind of value
        entry.kind = _kinds.Kind(*result.__kind__())
    by_reference = id(result) in here.table.by_id or _values.is_part(entry.obj, name, result)
    if name in _READING and not is_waited_for(type(entry.obj)):
        by_reference = by_reference or not type(entry.obj) is list is type(result)  # a slice of a list is a copy
    return _told(teller, entry, result, by_reference=by_reference)


def _told(teller: Teller, entry: Entry, value: Any, *, by_reference: bool) -> Any:
    if _values.is_immutable(value):
        return teller.value(value)
    if by_reference or _values.stays(value):
        return teller.value(teller.mention(value, entry))
    try:
        return teller.value(_seen(teller, entry, value))
    except errors.NotSerializable:  # as a generator, or an object that has a lock
        return teller.value(teller.mention(value, entry))


def _seen(teller: Teller, entry: Entry, value: Any) -> Any:
    if type(value) in _values.VIEWS and teller.copies_views:
        return _values.seen_from_afar(value, lambda part: teller.mention(part, entry))
    return value


# ---------------------------------------------------------------- attributes


def _get(teller: Teller, caller: int, entry: Entry, name: str, _: Any, __: Any) -> Any:
    obj = entry.obj
    if name not in getattr(obj, "__dict__", ()):
        member = getattr(type(obj), name, None)
        if type(member) is types.FunctionType:  # nobody need be waited for
            return teller.async_method if member.__code__.co_flags & IS_COROUTINE else teller.method
    monitor = entry.monitor
    monitor.enter(caller)
    try:
        value = getattr(obj, name)
        if type(value) in ATOMS:
            return teller.atom(value)
        if isinstance(value, _METHODS) and _is_own_method(obj, value) and name not in getattr(obj, "__dict__", ()):
            return teller.method  # which it remains: what is an attribute of the object alone can be another thing the next time
        return _told(teller, entry, value, by_reference=True)
    finally:
        monitor.leave()


def _is_own_method(obj: Any, method: Any) -> bool:
    owner = method.__self__
    return owner is obj or owner is type(obj) or owner is _in_box(obj)


def _in_box(obj: Any) -> Any:
    """What is in a box; of anything else, itself."""
    from manyhands.sharing._boxes import Box  # noqa: PLC0415 - what is no box needs none

    return obj.value if type(obj) is Box else obj


def _set(teller: Teller, caller: int, entry: Entry, name: str, args: tuple[Any, ...], _: Any) -> Any:
    entry.monitor.enter(caller)
    try:
        setattr(entry.obj, name, args[0])
        if type(getattr(type(entry.obj), name, None)) in _OF_CLASSES:
            entry.kind = _kinds.shadowing(entry.kind)
    finally:
        entry.monitor.leave()
    return teller.atom(None)


def _delete(teller: Teller, caller: int, entry: Entry, name: str, _: Any, __: Any) -> Any:
    entry.monitor.enter(caller)
    try:
        delattr(entry.obj, name)
    finally:
        entry.monitor.leave()
    return teller.atom(None)


# ---------------------------------------------------------------- more at once


def _snapshot(teller: Teller, caller: int, entry: Entry, _: str, __: Any, ___: Any) -> Any:
    entry.monitor.enter(caller)
    try:
        return teller.copy(_in_box(entry.obj))
    finally:
        entry.monitor.leave()


def _run(teller: Teller, caller: int, entry: Entry, _: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``args[0](object, *args[1:], **kwargs)``, alone with it."""
    entry.monitor.enter(caller)
    try:
        return reply_with(teller, entry, "", args[0](entry.obj, *args[1:], **kwargs))
    finally:
        entry.monitor.leave()


def _many(teller: Teller, caller: int, entry: Entry, _: str, args: tuple[Any, ...], __: Any) -> Any:
    """Calls one after the other, nobody else in between: a list of their results. The first that raises ends it."""
    entry.monitor.enter(caller)
    results: list[Any] = []
    try:
        for name, inner, keywords in args[0]:
            result = result_of(entry.obj, name, inner, keywords or {})
            results.append(result if type(result) in ATOMS or _values.is_immutable(result) else _part(teller, entry, name, result))
    except BaseException as error:  # noqa: BLE001 - the caller's, with what was done before it
        return teller.value((results, teller.error(error)))
    finally:
        entry.monitor.leave()
    return teller.atom((results, None)) if ATOMS.issuperset(map(type, results)) else teller.value((results, None))


def _part(teller: Teller, entry: Entry, name: str, result: Any) -> Any:
    is_live = name in _READING or id(result) in here.table.by_id or _values.stays(result) or _values.is_part(entry.obj, name, result)
    return teller.mention(result, entry) if is_live else _seen(teller, entry, result)


# ---------------------------------------------------------------- new ones


def _new(teller: Teller, _: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``args[0](*args[1:], **kwargs)``, which is shared from now on."""
    made = args[0](*args[1:], **kwargs)
    if _values.is_immutable(made) and not isinstance(made, type | types.ModuleType):
        from manyhands.sharing import _boxes  # noqa: PLC0415 - as above

        return teller.value(teller.mention(_boxes.Box(made), None, _boxes.kind_of_box(made)))
    return teller.value(teller.mention(made, None))


def _find(teller: Teller, name: str, _: tuple[Any, ...], __: dict[str, Any]) -> Any:
    """What is shared under a name."""
    entry = here.table.names.get(name)
    if entry is None:
        raise errors.NotShared(0)
    return teller.value(teller.mention(entry.obj, entry))


def _cancel(teller: Teller, _: str, args: tuple[Any, ...], __: dict[str, Any]) -> Any:
    """Keep a call that was asked for by ``later()`` from running. Whether that was possible."""
    return teller.atom(teller.cancel(*args))


def _greet(teller: Teller, _: str, args: tuple[Any, ...], __: dict[str, Any]) -> Any:
    """The caller has got proxies by other ways."""
    teller.hold_again(*args)
    return teller.atom(None)


_WITHOUT_OBJECT: dict[int, Callable[..., Any]] = {NEW: _new, FIND: _find, CANCEL: _cancel, GREET: _greet}


def _keep(teller: Teller, _: int, entry: Entry, __: str, args: tuple[Any, ...], ___: Any) -> Any:
    """Keep it until it is closed, under the name ``args[0]`` if that is not None."""
    (name,) = args
    if name is not None and here.table.names.get(name) is not entry:
        from manyhands.sharing import _names  # noqa: PLC0415 - most objects have none

        _names.claim(name)
        here.table.names[name] = entry
    here.table.keep(entry)
    return teller.atom(None)


# ---------------------------------------------------------------- transactions


def _lock(teller: Teller, caller: int, entry: Entry, _: str, args: tuple[Any, ...], __: Any) -> Any:
    """Whether the monitor was free within ``args[0]`` seconds, and whether its last holder has died."""
    (timeout,) = args
    if not entry.monitor.enter(caller, -1 if timeout is None else max(0.0, timeout)):
        return teller.value((False, False))
    teller.taken(entry.monitor)
    abandoned, entry.monitor.abandoned = entry.monitor.abandoned, False
    return teller.value((True, abandoned))


def _unlock(teller: Teller, _: int, entry: Entry, __: str, ___: Any, ____: Any) -> Any:
    teller.given(entry.monitor)
    return teller.atom(None)


def _close(teller: Teller, _: int, entry: Entry, __: str, ___: Any, ____: Any) -> Any:
    for name in [name for name, named in here.table.names.items() if named is entry]:
        from manyhands.sharing import _names  # noqa: PLC0415 - as above

        del here.table.names[name]
        _names.give_back(name)
    here.table.close(entry)
    return teller.atom(None)


def _watched(*asked: Any) -> Any:
    from manyhands.sharing import _watching  # noqa: PLC0415 - only where lost updates are looked for

    return _watching.watched(*asked)


DOING: dict[int, Callable[..., Any]] = {
    CALL: _call,
    GET: _get,
    SET: _set,
    DELETE: _delete,
    ITERATE: _iterating.iterate,
    MORE: _iterating.more,
    SNAPSHOT: _snapshot,
    RUN: _run,
    MANY: _many,
    LOCK: _lock,
    UNLOCK: _unlock,
    CLOSE: _close,
    KEEP: _keep,
    WATCHED: _watched,
}
