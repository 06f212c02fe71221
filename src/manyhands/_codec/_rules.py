"""How objects of which class are pickled, where ``pickle`` itself cannot, or would do it wrongly: one table, which users can add to."""

from __future__ import annotations

import contextvars
import functools
import io
import sys
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._codec import _by_value, _classes, _copied, _exceptions, _inherited, _mended, _naming, _passing, _pickling
from manyhands._codec._pickling import by_name_or_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder

    Rule = Callable[[Encoder, Any], Any]


def rule_for(kind: type) -> Rule | None:
    """The rule for objects of this very class; None: they are left to pickle."""
    users = registered(kind)
    if users is not None:
        return _users[users]
    if issubclass(kind, type):
        return by_name_or_value
    if kind in _RULES:
        return _RULES[kind]
    for cls in kind.__mro__:
        name = (cls.__module__, cls.__qualname__)
        if name in _OF_FAMILIES:
            return _OF_FAMILIES[name]
    if any("__class__" in vars(cls) for cls in kind.__mro__[:-1]):
        return _classes.disguised
    if issubclass(kind, BaseException):
        return _exceptions.exception
    return _RULES_BY_NAME.get((kind.__module__, kind.__qualname__))


def add_rule(cls: type, reduce: Callable[[Any], Any]) -> None:
    """Objects of ``cls`` and of its subclasses are pickled as ``reduce(obj)`` says."""
    _users[cls] = lambda _, obj: reduce(obj)
    _pickling.forget_rules()


def set_array_rule(rule: Rule) -> None:
    """Arrays of numpy are pickled as this says, which is asked about each. Without it they are left to pickle."""
    if _RULES_BY_NAME.get(("numpy", "ndarray")) is not rule:
        _RULES_BY_NAME["numpy", "ndarray"] = rule
        _pickling.forget_rules()


_users: dict[type, Rule] = {}


def registered(kind: type) -> type | None:
    """The class, of those of its objects, for which the user has said how they are pickled."""
    return next((cls for cls in kind.__mro__ if cls in _users), None)


_NOBODY: Any = None  # who asks is no encoder; what users say does not depend on it


def users_reducer(kind: type) -> Callable[[Any], Any] | None:
    """What the user has said how objects of a class are pickled."""
    cls = registered(kind)
    return None if cls is None else functools.partial(_users[cls], _NOBODY)


def _property(_: Encoder, value: property) -> Any:
    return property, (value.fget, value.fset, value.fdel, value.__doc__)


def _wrapped(_: Encoder, value: Any) -> Any:
    return type(value), (value.__func__,)


def _mapping_proxy(_: Encoder, value: types.MappingProxyType[Any, Any]) -> Any:
    return types.MappingProxyType, (dict(value),)


def _keys(_: Encoder, value: Any) -> Any:
    return _keys_of, (list(value),)


def _values(_: Encoder, value: Any) -> Any:
    return _values_of, (list(value),)


def _items(_: Encoder, value: Any) -> Any:
    return _items_of, (dict(value),)


def _keys_of(keys: list[Any]) -> Any:
    return dict.fromkeys(keys).keys()


def _values_of(values: list[Any]) -> Any:
    return dict(enumerate(values)).values()


def _items_of(items: dict[Any, Any]) -> Any:
    return items.items()


def _constant(_: Encoder, value: Any) -> Any:
    """One of the objects that are compared by identity, which their module keeps under a name."""
    module = sys.modules[type(value).__module__]
    for name, held in vars(module).items():
        if held is value:
            return getattr, (module, name)
    return NotImplemented


def _generator(_: Encoder, value: Any) -> Any:
    """A generator of random numbers: the receiver's own for the one that a module draws from, else a copy."""
    place = _naming.global_generator(value)
    return NotImplemented if place is None else (getattr, (sys.modules[place[0]], place[1]))


_RULES: dict[type, Rule] = {
    types.FunctionType: by_name_or_value,
    types.MethodType: _by_value.method,
    types.CodeType: _by_value.code,
    types.CellType: _by_value.cell,
    types.ModuleType: _copied.module,
    _by_value.Namespace: _by_value.namespace,
    _by_value.ModuleOver: _by_value.module_over,
    property: _property,
    classmethod: _wrapped,
    staticmethod: _wrapped,
    types.MappingProxyType: _mapping_proxy,
    memoryview: _mended.view,
    type(threading.Lock()): _mended.lock,
    type(threading.RLock()): _mended.rlock,
    io.TextIOWrapper: _mended.file,
    io.BufferedReader: _mended.file,
    io.BufferedWriter: _mended.file,
    io.BufferedRandom: _mended.file,
    io.FileIO: _mended.file,
    weakref.ref: _mended.weak,
    _mended.HoldingRef: _mended.weak,
    weakref.WeakSet: _mended.weak_set,
    weakref.WeakKeyDictionary: _mended.weak_dict,
    weakref.WeakValueDictionary: _mended.weak_dict,
    contextvars.ContextVar: _mended.context_var,
    type(functools.lru_cache(abs)): _mended.cached,
    type({}.keys()): _keys,
    type({}.values()): _values,
    type({}.items()): _items,
}


# Of modules that need not be loaded.
_RULES_BY_NAME: dict[tuple[str, str], Rule] = {
    ("manyhands._codec._code_walk", "Names"): _by_value.names,
    ("manyhands._codec._code_walk", "ModuleUse"): _by_value.module_use,
    **{("typing", name): _by_value.type_parameter for name in ("TypeVar", "ParamSpec", "TypeVarTuple")},
    ("typing", "TypeAliasType"): _by_value.type_alias,
    ("random", "Random"): _generator,
    ("numpy.random.mtrand", "RandomState"): _generator,
    **{("dataclasses", name): _constant for name in ("_FIELD_BASE", "_MISSING_TYPE", "_HAS_DEFAULT_FACTORY_CLASS", "_KW_ONLY_TYPE")},
}


def _of_tensors(name: str) -> Rule:
    """A rule of ``_tensors.py``, which wants numpy."""

    def rule(encoder: Encoder, value: Any) -> Any:
        if "numpy" not in sys.modules or not encoder.brings_buffers:
            return NotImplemented
        from manyhands._codec import _tensors  # noqa: PLC0415 - not for who has no torch

        return getattr(_tensors, name)(encoder, value)

    return rule


def _of_memmaps(encoder: Encoder, value: Any) -> Any:
    from manyhands._codec import _memmaps  # noqa: PLC0415 - not for who has no numpy

    return _memmaps.memmap(encoder, value)


_RULES_BY_NAME[("torch.storage", "TypedStorage")] = _of_tensors("typed_storage")
_RULES_BY_NAME[("torch.storage", "UntypedStorage")] = _of_tensors("untyped_storage")

_INHERITED = _inherited.Inheritable()
_MEMORY = _inherited.InheritableMemory(_inherited.REASON, f"{_inherited.MEND}; or use manyhands.shared_array")
_DESCRIPTOR = _inherited.Descriptor(
    "it belongs to this process; the arguments of a task bring a copy along, what else is sent does not",
    "pass it as an argument; or make it in the worker (manyhands.per_worker), or give it to each when that starts (initargs=)",
)
_POINTER = (
    "it points into the memory of this process",
    "pass what it points to (bytes, an array), or make it in each worker (manyhands.per_worker)",
)

# Of classes and their subclasses, in modules that need not be loaded.
_OF_FAMILIES: dict[tuple[str, str], Rule] = {
    ("enum", "Enum"): _classes.member,
    ("numpy", "memmap"): _of_memmaps,
    ("manyhands.sharing._pieces", "Piece"): _mended.shared,
    ("manyhands.sharing._proxies", "Proxy"): _passing.shared,
    # They say themselves how they travel, which other objects of their families do not.
    ("manyhands.compat._typed_values", "InSharedMemory"): lambda _, __: NotImplemented,
    ("manyhands.compat._typed_values", "_Travelling"): lambda _, __: NotImplemented,
    ("manyhands.memory._memory", "Memory"): _mended.with_secret,
    ("manyhands.memory._store", "Store"): _mended.with_secret,
    ("manyhands.memory._remote_store", "RemoteStore"): _mended.with_secret,
    ("queue", "Queue"): _copied.told(
        "a queue.Queue travels as a copy: what a task puts into it does not come back; return values instead, or use the Queue() of a "
        "multiprocessing.Manager()"
    ),
    ("threading", "Condition"): _copied.condition,
    ("threading", "Event"): _copied.told("a threading.Event travels as a copy: setting it in one process is not seen in another"),
    ("threading", "Semaphore"): _copied.semaphore,
    ("threading", "Barrier"): _copied.told("a threading.Barrier travels as a copy: who waits in one process is not counted in another"),
    ("asyncio.locks", "Lock"): _copied.of_a_loop,
    ("asyncio.locks", "Semaphore"): _copied.of_a_loop,
    ("asyncio.locks", "Event"): _copied.told("an asyncio.Event travels as a copy: setting it in one process is not seen in another"),
    ("asyncio.queues", "Queue"): _copied.told("an asyncio.Queue travels as a copy: what a task puts into it does not come back"),
    ("multiprocessing.managers", "BaseProxy"): _copied.proxy,
    ("multiprocessing.queues", "Queue"): _INHERITED,
    ("multiprocessing.queues", "SimpleQueue"): _INHERITED,
    ("multiprocessing.synchronize", "SemLock"): _INHERITED,
    ("multiprocessing.synchronize", "Condition"): _INHERITED,
    ("multiprocessing.synchronize", "Event"): _INHERITED,
    ("multiprocessing.synchronize", "Barrier"): _INHERITED,
    ("multiprocessing.sharedctypes", "SynchronizedBase"): _inherited.Inheritable(
        mend=f"{_inherited.MEND}; or use manyhands.shared_array, or the Value() of a multiprocessing.Manager()"
    ),
    ("multiprocessing.heap", "BufferWrapper"): _INHERITED,
    **{("_ctypes", name): _MEMORY for name in ("_SimpleCData", "Array", "Structure", "Union")},
    ("_queue", "SimpleQueue"): _mended.refuse("a queue belongs to one process", "return values instead of putting them into it"),
    ("_ctypes", "_Pointer"): _mended.refuse(*_POINTER),
    ("_ctypes", "CFuncPtr"): _mended.refuse(*_POINTER),
    ("ctypes", "CDLL"): _mended.refuse(
        "it is a library that is loaded into this process", "load it in each worker: manyhands.per_worker(lambda: ctypes.CDLL(name))"
    ),
    ("tempfile", "_TemporaryFileWrapper"): _mended.temporary_file,
    ("gzip", "GzipFile"): _mended.compressed("gzip.GzipFile"),
    ("bz2", "BZ2File"): _mended.compressed("bz2.BZ2File"),
    ("lzma", "LZMAFile"): _mended.compressed("lzma.LZMAFile"),
    ("zipfile", "ZipFile"): _mended.refuse("its file is open in this process", "pass its path, and open it inside the task"),
    ("zipfile", "ZipExtFile"): _mended.compressed("zipfile.ZipExtFile"),
    ("tarfile", "TarFile"): _mended.refuse("its file is open in this process", "pass its path, and open it inside the task"),
    ("concurrent.futures._base", "Executor"): _mended.refuse("its workers and threads belong to this process"),
    ("concurrent.futures._base", "Future"): _mended.refuse("what it waits for comes to this process"),
    ("manyhands.mapping", "Results"): _mended.refuse("its results come to this process", "pass list(results)"),
    ("manyhands._engine._futures", "Future"): _mended.refuse("what it waits for comes to this process"),
    ("contextlib", "_GeneratorContextManagerBase"): _mended.context,
    ("threading", "Thread"): _mended.refuse("a thread runs in this process"),
    ("multiprocessing.process", "BaseProcess"): _mended.refuse("it is a child of this process"),
    ("multiprocessing.pool", "Pool"): _mended.refuse("its workers belong to this process"),
    ("subprocess", "Popen"): _mended.refuse("it is a child of this process"),
    ("multiprocessing.connection", "_ConnectionBase"): _DESCRIPTOR,
    ("socket", "socket"): _DESCRIPTOR,
    ("asyncio.events", "AbstractEventLoop"): _mended.refuse("an event loop belongs to one process"),
}
