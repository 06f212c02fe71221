"""Objects that belong to one process, of which another can have one like it; and those of which it cannot, with the reason.

For each: a rule, which takes an object apart, and the function that puts one together in the receiver.
"""

from __future__ import annotations

import contextvars
import functools
import gc
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
from manyhands._core.user_line import stacklevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder


class Refused(TypeError):
    """What a rule says of an object that cannot travel, and need not be said in pickle's words; ``mend``: what to do about this one.

    ``of``: the object, where that depends on what it is sent with.
    """

    def __init__(self, reason: str, mend: str = "", *, of: object = None) -> None:
        super().__init__(reason)
        self.mend = mend
        self.of = of


_noted: set[str] = set()


def is_noted(what: str) -> bool:
    """Whether it need not be said: it has been, or nobody would hear it in a worker."""
    return what in _noted or _pickling.ask is not None


def warn_once(what: str, where: str = "") -> None:
    """Say something to the user: once, wherever it is, at the line of his that is being executed, and not in each worker."""
    if is_noted(what):
        return
    _noted.add(what)
    warnings.warn(what + where, errors.TravelWarning, stacklevel=stacklevel())


# ------------------------------------------------------------ locks


def lock(encoder: Encoder, value: Any) -> Any:
    """A lock that nobody holds: a new one."""
    if value.locked():
        raise Refused("somebody holds it, and would not hold its copy")
    _warn_of_lock(encoder, value)
    return threading.Lock, ()


def rlock(encoder: Encoder, value: Any) -> Any:
    """The same for one that can be taken again by who has it."""
    if value._is_owned() or not value.acquire(blocking=False):  # noqa: SLF001 - it has no other way to ask
        raise Refused("somebody holds it, and would not hold its copy")
    value.release()
    _warn_of_lock(encoder, value)
    return threading.RLock, ()


def _warn_of_lock(encoder: Encoder, value: Any) -> None:
    from manyhands._codec import _copied  # noqa: PLC0415 - it needs this module

    _copied.warn(encoder, value, "a lock travels as a new one: it does not exclude what runs in another process")


def shared(encoder: Encoder, value: Any) -> Any:
    """Memory that all processes have in common: it goes beside the pickle, where anything does; else there is in it where to have it."""
    return value.reduced() if encoder.brings_buffers else NotImplemented


def with_secret(encoder: Encoder, value: Any) -> Any:
    """What has a secret that only tasks are to bring along."""
    return NotImplemented if encoder.is_kept else value.reduced_with_secret()


# ------------------------------------------------------------ files


_READ_HERE = "read it here, and pass what was read (text or bytes)"
_WRITTEN = "it is open for writing, and two processes would write over one another"


def file(_: Encoder, value: Any) -> Any:
    """A standard stream: that of the receiver. A file that is open for reading: opened again, at its position."""
    for name in ("stdin", "stdout", "stderr"):
        if value is getattr(sys, name, None) or value is getattr(sys, f"__{name}__", None):
            return getattr, (sys, name)
    if value.closed:
        raise Refused("it is closed")
    _check_plain(value)
    if value.writable():
        raise Refused(_WRITTEN, "" if isinstance(value.name, str) else "pass what is in it, or open a file with a name inside the task")
    path = _path(value)
    try:
        position = value.tell()
    except OSError:
        raise Refused("its position cannot be told while it is read line by line") from None
    if type(value) is io.TextIOWrapper:
        return open_again, (path, position, value.encoding, value.errors, -1, _newline(value, position))
    return open_again, (path, position, None, None, 0 if type(value) is io.FileIO else -1)


def _check_plain(value: Any) -> None:
    """Refuse what is read or written by way of another object: what lies in the file of its name is something else."""
    inner = value
    while type(inner) in _LAYERS:
        inner = inner.buffer if type(inner) is io.TextIOWrapper else inner.raw
    if type(inner) is io.FileIO:
        return
    cls = _READ_FOR.get(type(inner).__qualname__, f"{type(inner).__module__}.{type(inner).__qualname__}")
    reason = f"it goes by way of {errors.a_or_an(cls)}, and only plain files can be opened again"
    raise Refused(reason, OPENERS.get(cls, ""))


_LAYERS = frozenset({io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom})
_READ_FOR = {"_GzipReader": "gzip.GzipFile", "DecompressReader": "file that is decompressed"}  # by what it is part of
OPENERS = {
    "gzip.GzipFile": "pass its path, and open it inside the task (gzip.open)",
    "bz2.BZ2File": "pass its path, and open it inside the task (bz2.open)",
    "lzma.LZMAFile": "pass its path, and open it inside the task (lzma.open)",
    "zipfile.ZipExtFile": "pass the path of the archive and the name in it, and open both inside the task",
    "_io.BytesIO": "pass its text or its bytes",
}


def temporary_file(encoder: Encoder, value: Any) -> Any:
    """What ``tempfile.NamedTemporaryFile`` gives, if it is open for reading: the copy does not remove the file."""
    return temporary_again, (value.name, *file(encoder, value.file))


def temporary_again(name: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A temporary file of somebody else's."""
    import tempfile  # noqa: PLC0415 - few programs have one

    return tempfile._TemporaryFileWrapper(make(*args), name, delete=False)  # noqa: SLF001 - it has no public name


def compressed(what: str) -> Callable[[Encoder, Any], Any]:
    """A rule for files that are read or written by way of a compressor."""

    def rule(_: Encoder, value: Any) -> Any:
        written = not value.closed and value.writable()
        raise Refused(_WRITTEN if written else "its position in what it decompresses belongs to this process", OPENERS[what])

    return rule


def _path(value: Any) -> str:
    name = value.name
    if isinstance(name, int):
        raise Refused("it was opened by the number of its descriptor, and has no name", _READ_HERE)
    try:
        found = os.stat(name)
    except OSError:
        where = "" if os.path.isabs(name) else f", seen from {os.getcwd()}"
        raise Refused(f"there is no file under its name, {name!r}{where}", _READ_HERE) from None
    if not os.path.samestat(found, os.fstat(value.fileno())):
        raise Refused(f"under its name, {name!r}, there is another file by now", _READ_HERE)
    return os.path.abspath(os.fsdecode(name))


def _newline(value: io.TextIOWrapper, position: int) -> str | None:
    """What was given to ``open()`` as ``newline``. It has no attribute; but the file refers to it, behind its decoder."""
    value.seek(position)  # or what it has decoded so far would stand there
    held = iter(gc.get_referents(value))
    if not any(callable(getattr(one, "decode", None)) and not isinstance(one, type) for one in held):
        return None
    behind = next(held, None)
    return behind if isinstance(behind, str) and behind in _LINE_ENDS else None


_LINE_ENDS = frozenset({"", "\n", "\r", "\r\n"})


def open_again(name: str, position: int, encoding: str | None, errors: str | None, buffering: int = -1, newline: str | None = None) -> Any:
    """A file at a position."""
    if encoding is None:
        opened: Any = open(name, "rb", buffering=buffering)  # noqa: SIM115 - it is the task's
    else:
        opened = open(name, encoding=encoding, errors=errors, newline=newline)  # noqa: SIM115 - as above
    opened.seek(position)
    return opened


# ------------------------------------------------------------ what refers weakly


# What holds the objects that are referred to need not travel. So the copy of what refers to them weakly holds them itself: they live as
# long as it does, as they would at home while the task runs.


class HoldingRef(weakref.ref[Any]):
    """A weak reference in the receiver."""

    __slots__ = ("held",)
    held: Any

    def __copy__(self) -> HoldingRef:
        return self

    def __deepcopy__(self, _: object) -> HoldingRef:
        return self


def weak(_: Encoder, value: weakref.ref[Any]) -> Any:
    """A weak reference, to the copy."""
    return refer_weakly, (value(),)


def refer_weakly(referent: Any) -> weakref.ref[Any]:
    """A weak reference; to nothing, for None."""
    if referent is None:
        return weakref.ref(_Dead())
    made = HoldingRef(referent)
    made.held = referent
    return made


class _Dead:
    pass


def weak_set(_: Encoder, value: weakref.WeakSet[Any]) -> Any:
    """A set that refers weakly."""
    return holding, (weakref.WeakSet, list(value))


def weak_dict(_: Encoder, value: Any) -> Any:
    """A dictionary that refers weakly to its keys or values."""
    return holding, (type(value), dict(value.items()))


def holding(kind: type, contents: Any) -> Any:
    """A weak collection."""
    made = kind(contents)
    made.held = contents
    return made


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


def context(_: Encoder, value: Any) -> Any:
    """What a function with ``contextlib.contextmanager`` gives: made anew in the receiver, as it is for each call of what it decorates."""
    try:
        return type(value), (value.func, value.args, value.kwds)
    except AttributeError:
        raise Refused("it has been entered, in this process", "call what makes it inside the task (with ...:)") from None


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


_VIEWED = "pass what it shows: the array itself, or view.tobytes()"


def view(_: Encoder, value: memoryview) -> Any:
    """A view of memory, with what it shows."""
    try:
        memoryview(bytes(value.itemsize)).cast(value.format)  # type: ignore[call-overload]
    except ValueError:
        raise Refused(f"a view of items of the format {value.format!r} cannot be made anew", _VIEWED) from None
    if value.ndim > 1 and not value.nbytes:
        raise Refused(f"a view of the shape {value.shape} cannot be made anew", _VIEWED)
    held = pickle.PickleBuffer(value) if value.c_contiguous else value.tobytes()
    return view_of, (held, value.format, value.shape)


def view_of(held: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    """A view of ``held``."""
    flat: Any = memoryview(held).cast("B")
    if len(shape) != 1:
        return flat.cast(form, shape)  # type: ignore[no-any-return]
    return flat if form == "B" else flat.cast(form)  # type: ignore[no-any-return] # with a shape, it must not be empty


def refuse(reason: str, mend: str = "") -> Callable[[Encoder, Any], Any]:
    """A rule for what cannot travel."""

    def rule(_: Encoder, value: Any) -> Any:
        raise Refused(reason, mend)

    return rule
