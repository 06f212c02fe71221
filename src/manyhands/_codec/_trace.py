"""Which part of an object cannot be pickled. Used only after a failure, so it may take its time."""

from __future__ import annotations

import types

from manyhands import errors
from manyhands._codec import _bytecode, _pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# An object graph may be endless; what is not found after so many parts is not looked for any further.
_MAX_PARTS = 2000

_ADVICE: dict[str, str] = {
    "generator": "a generator cannot be copied: pass the values (a list), or create it inside the task",
    "lock": "a lock belongs to one process: create it inside the task",
    "RLock": "a lock belongs to one process: create it inside the task",
    "_thread.lock": "a lock belongs to one process: create it inside the task",
    "_thread.RLock": "a lock belongs to one process: create it inside the task",
    "socket": "a connection belongs to one process: open it inside the task",
    "Connection": "a connection belongs to one process: open it inside the task",
    "TextIOWrapper": "an open file belongs to one process: pass its path and open it inside the task",
    "BufferedReader": "an open file belongs to one process: pass its path and open it inside the task",
    "BufferedWriter": "an open file belongs to one process: pass its path and open it inside the task",
}


def not_serializable(obj: object, error: BaseException) -> errors.NotSerializable:
    """The error that names the deepest part of ``obj`` that cannot be pickled, and the way to it."""
    path, part = find_culprit(obj)
    kind = type(part).__name__
    advice = _ADVICE.get(kind, "leave it out (__getstate__), or create it inside the task")
    return errors.NotSerializable(path=path, type_name=type_name(part), reason=one_line(error), advice=advice)


def find_culprit(obj: object) -> tuple[str, object]:
    """``(path, part)``: descend from ``obj`` through parts that cannot be pickled to the last of them."""
    path, part = root_name(obj), obj
    seen = {id(obj)}
    budget = _MAX_PARTS
    while True:
        for step, child in _parts(part):
            budget -= 1
            if id(child) in seen or _pickling.can_encode(child):
                continue
            seen.add(id(child))
            path, part = path + step, child
            break
        else:
            return path, part
        if budget <= 0:
            return path, part


def root_name(obj: object) -> str:
    """What to call an object at the start of a path."""
    if isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
        return obj.__qualname__
    return type(obj).__name__


def type_name(obj: object) -> str:
    """``module.Class`` of an object, without ``builtins``."""
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def one_line(error: BaseException) -> str:
    """Type and text of an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    """The parts of an object with the step that leads to each. Evaluates no property and no user code."""
    if isinstance(obj, dict):
        for key, value in list(obj.items()):
            yield f"[{key!r}]", value
            yield f".key({key!r})", key
    elif isinstance(obj, list | tuple):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, set | frozenset):
        for value in obj:
            yield "{...}", value
    elif isinstance(obj, types.FunctionType):
        yield from _function_parts(obj)
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    yield from _attributes(obj)


def _function_parts(fn: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield f" → variable {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in sorted(_bytecode.global_names(fn.__code__)):
        if name in fn.__globals__:
            yield f" → global {name!r}", fn.__globals__[name]
    for index, value in enumerate(fn.__defaults__ or ()):
        yield f" → default {index}", value


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, type | types.ModuleType):
        return
    try:
        state = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        state = {}
    for name, value in list(state.items()):
        yield f".{name}", value
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            descriptor = cls.__dict__.get(name)
            if isinstance(descriptor, types.MemberDescriptorType):
                try:
                    yield f".{name}", descriptor.__get__(obj)
                except AttributeError:
                    continue
