"""Objects that belong to one process, of which another can have one like it; and those of which it cannot, with the reason.

For each: a rule, which takes an object apart, and the function that puts one together in the receiver.
"""

from __future__ import annotations

import contextvars
import functools
import io
import os
import pickle
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _identity, _naming, _pickling

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder


class Refused(TypeError):
    """What a rule says of an object that cannot travel, and need not be said in pickle's words."""


_noted: set[str] = set()


def warn_once(what: str) -> None:
    """Say something to the user: once, at the line of his that is being executed, and not in each worker."""
    if what in _noted or _pickling.ask is not None:
        return
    _noted.add(what)
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - the only way to the caller's
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("manyhands."):
        level, frame = level + 1, frame.f_back
    warnings.warn(what, errors.TravelWarning, stacklevel=level)


# ------------------------------------------------------------ locks


def lock(_: Encoder, value: Any) -> Any:
    """A lock that nobody holds: a new one."""
    if value.locked():
        raise Refused("somebody holds it, and would not hold its copy")
    warn_once("a lock travels as a new one: it does not exclude what runs in another process")
    return threading.Lock, ()


def rlock(_: Encoder, value: Any) -> Any:
    """The same for one that can be taken again by who has it."""
    if value._is_owned() or not value.acquire(blocking=False):  # noqa: SLF001 - it has no other way to ask
        raise Refused("somebody holds it, and would not hold its copy")
    value.release()
    warn_once("a lock travels as a new one: it does not exclude what runs in another process")
    return threading.RLock, ()


def shared(encoder: Encoder, value: Any) -> Any:
    """Memory that all processes have in common, and its lock: they go beside the pickle."""
    if not encoder.brings_buffers:
        raise Refused("it is shared memory, which travels as an argument, as a result, or in the function that uses it")
    return value.reduced()


# ------------------------------------------------------------ files


def file(_: Encoder, value: Any) -> Any:
    """A standard stream: that of the receiver. A file that is open for reading: opened again, at its position."""
    for name in ("stdin", "stdout", "stderr"):
        if value is getattr(sys, name, None) or value is getattr(sys, f"__{name}__", None):
            return getattr, (sys, name)
    if value.closed:
        raise Refused("it is closed")
    if value.writable():
        raise Refused("it is open for writing, and two processes would write over one another")
    name = _path(value)
    try:
        position = value.tell()
    except OSError:
        raise Refused("its position cannot be told while it is read line by line") from None
    if isinstance(value, io.TextIOWrapper):
        return open_again, (name, position, value.encoding, value.errors)
    return open_again, (name, position, None, None, 0 if isinstance(value, io.FileIO) else -1)


def _path(value: Any) -> str:
    name = value.name
    try:
        same = isinstance(name, str | bytes | os.PathLike) and os.path.samestat(os.stat(name), os.fstat(value.fileno()))
    except OSError:
        same = False
    if not same:
        raise Refused(f"there is no such file under its name, {name!r}, any more")
    return os.path.abspath(os.fsdecode(name))


def open_again(name: str, position: int, encoding: str | None, errors: str | None, buffering: int = -1) -> Any:
    """A file at a position."""
    if encoding is None:
        opened: Any = open(name, "rb", buffering=buffering)  # noqa: SIM115 - it is the task's
    else:
        opened = open(name, encoding=encoding, errors=errors)  # noqa: SIM115 - as above
    opened.seek(position)
    return opened


# ------------------------------------------------------------ what refers weakly


def weak(_: Encoder, value: weakref.ref[Any]) -> Any:
    """A weak reference, to the copy; dead there, if nothing else that travels holds that."""
    return refer_weakly, (value(),)


def refer_weakly(referent: Any) -> weakref.ref[Any]:
    """A weak reference; to nothing, for None."""
    return weakref.ref(_Dead() if referent is None else referent)


class _Dead:
    pass


def weak_set(_: Encoder, value: weakref.WeakSet[Any]) -> Any:
    """A set that refers weakly."""
    return weakref.WeakSet, (list(value),)


def weak_dict(_: Encoder, value: Any) -> Any:
    """A dictionary that refers weakly to its keys or values."""
    return type(value), (dict(value.items()),)


# ------------------------------------------------------------ state of a context, caches


def context_var(_: Encoder, value: contextvars.ContextVar[Any]) -> Any:
    """A context variable with the value that it has here now."""
    try:
        now: tuple[Any, ...] = (value.get(),)
    except LookupError:
        now = ()
    return have_context_var, (value.name, _identity.token_of(value), now)


def have_context_var(name: str, token: bytes, now: tuple[Any, ...]) -> contextvars.ContextVar[Any]:
    """The variable, set to the value that came with it; that of this process is left alone."""
    found: contextvars.ContextVar[Any] | None = _identity.known(token)
    if found is None:
        found = contextvars.ContextVar(name)
        _identity.keep(token, found)
    if now and not _identity.is_from_here(token):
        found.set(now[0])
    return found


def cached(encoder: Encoder, value: Any) -> Any:
    """A function with ``lru_cache``: by its name, or with an empty cache."""
    if _naming.found_by_name(value) and not (encoder.stale and _naming.is_project(value.__module__)):
        return _pickling.by_name_or_value(encoder, value)
    settings = value.cache_parameters()
    return cache_again, (value.__wrapped__, settings["maxsize"], settings["typed"])


def cache_again(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """A function with a cache."""
    return functools.lru_cache(maxsize, typed)(function)


# ------------------------------------------------------------ memory


def view(_: Encoder, value: memoryview) -> Any:
    """A view of memory, with what it shows."""
    held = pickle.PickleBuffer(value) if value.c_contiguous else value.tobytes()
    return view_of, (held, value.format, value.shape)


def view_of(held: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    """A view of ``held``."""
    flat = memoryview(held).cast("B")
    return flat if form == "B" and len(shape) == 1 else flat.cast(form, shape)  # type: ignore[call-overload]


def refuse(reason: str) -> Callable[[Encoder, Any], Any]:
    """A rule for what cannot travel."""

    def rule(_: Encoder, value: Any) -> Any:
        raise Refused(reason)

    return rule
