"""What joblib's ``dump`` has written, from 0.8 to now, read without joblib.

Such a file is a pickle, compressed or not, in which wrappers stand for arrays, and the data of an array follow its wrapper in the middle of
the pickle (see ``_joblib_arrays``). No unpickler understands that by itself. joblib uses the one that is written in Python, which can be
extended at any opcode, and takes many times longer. Here it is the one in C::

    file     ... wrapper BUILD | 7 bytes to skip | data of the array | opcode opcode ...
    read as  ... wrapper BUILD BINPERSID | opcode ...

The state of a wrapper is set by ``BUILD``; that is when it learns of its turn, and puts one opcode into the stream (``ExactStream.insert``)
that is not in the file: "replace what is on top of the stack by the object of that persistent id". So the unpickler asks
``persistent_load`` for the array of the wrapper, which reads it where the file is now, and the next opcode is the one behind it.

The unpickler in Python remains for two rare kinds of files: strings of Python 2 that are not ASCII, and wrappers inside of a frame.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import pickle
from typing import IO, TYPE_CHECKING, Any

from manyhands._files import _compressors
from manyhands._files._exact_stream import ExactStream
from manyhands._files._joblib_arrays import WRAPPERS, Context, Wrapper, read_zlib_file, warn
from manyhands.errors import StoreCorrupt, UnknownFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

_PERSISTENT = pickle.BINPERSID

_WRAPPER_MODULES = ("joblib.numpy_pickle", "joblib.numpy_pickle_compat")

# What a pickle of protocol 0 or 1 may begin with, which has no mark; later ones begin with PROTO.
_FIRST_OPCODES = b"(NIJKMLFGVXTUS]}cC)ilG"

# Copies of other packages inside joblib, and joblib inside scikit-learn, as they were.
_MOVED = (("joblib.externals.cloudpickle", "cloudpickle"), ("joblib.externals.loky", "loky"), ("sklearn.externals.joblib", "joblib"))

# Errors that an unpickler has with bytes that make no sense. (Classes that have changed or are gone are other errors.)
_NONSENSE = (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, OverflowError, MemoryError)


def is_joblib_file(prefix: bytes, *, maybe_old: bool = True) -> bool:
    """Whether a file that begins so may be one of joblib's: a pickle, or compressed in a way of joblib's.

    Args:
        maybe_old: also a pickle of protocol 0 or 1, as which many a text begins.
    """
    if prefix[:1] == pickle.PROTO:
        return len(prefix) < 2 or prefix[1] <= pickle.HIGHEST_PROTOCOL
    if prefix.startswith(_compressors.ZLIB_FILE_PREFIX) or _compressors.detect(prefix) is not None:
        return True
    return maybe_old and bool(prefix) and prefix[0] in _FIRST_OPCODES


def load(file: IO[bytes], filename: str = "", mmap_mode: Any = None, *, native_byte_order: bool | None = None, begin: bytes = b"") -> Any:
    """The object in a file that joblib has written, or in a plain pickle.

    ``file`` is read from where it is, and left behind the object if it is not compressed, so that several in one file can be loaded one
    after another.

    Args:
        filename: of the file, if it has one: arrays are mapped from it, and those of old versions are in files beside it.
        mmap_mode: ``"r"``, ``"r+"``, ``"c"``: map arrays rather than read them; ``"w+"`` is as ``"r+"``. Not for compressed files.
        begin: the first bytes of what is in it, decompressed, by which files of another kind are told.
        native_byte_order: give arrays the byte order of this machine; None: unless they are mapped.

    Raises:
        StoreCorrupt: the file is damaged; UnknownFormat, which is one: it is of another kind.
        ValueError: ``native_byte_order`` and ``mmap_mode`` are both asked for.
    """
    if native_byte_order and mmap_mode is not None:
        msg = f"Native byte ordering can only be enforced if 'mmap_mode' parameter is set to None, but got 'mmap_mode={mmap_mode}' instead."
        raise ValueError(msg)
    source = _Source(file, filename or _name_of(file), begin)
    native = mmap_mode is None if native_byte_order is None else native_byte_order
    context = Context(source.filename, _possible_mode(mmap_mode, source), native, [])
    try:
        value, is_old = source.unpickle(_InC, context)
    except _NeedsPython as why:
        if not source.rewind():
            msg = f"{source.filename or 'the file'} cannot be read in one go, and it cannot be sought in: give it as a path"
            raise ValueError(msg) from why
        value, is_old = source.unpickle(_InPython, context)
    if is_old or source.method == "old":
        # The sentence that filters of warnings know.
        warn(
            f"The file '{source.filename}' has been generated with a joblib version less than 0.10. Please regenerate this pickle file.",
            DeprecationWarning,
        )
    return value


class _NeedsPython(Exception):
    """The unpickler in C cannot read this file."""


class _Source:
    """A file, where the object in it begins, and how it is compressed."""

    def __init__(self, file: IO[bytes], filename: str, begin: bytes) -> None:
        self.file = file
        self._begin = begin
        self.filename = filename
        self._start = file.tell() if _is_seekable(file) else None
        first = self._peek(_compressors.prefix_size())
        self.method = "old" if first.startswith(_compressors.ZLIB_FILE_PREFIX) else _compressors.detect(first)

    def _peek(self, size: int) -> bytes:
        first = self.file.peek(size)[:size] if hasattr(self.file, "peek") else b""
        self._taken = b""  # what has been read of the file and cannot be given back
        if len(first) < size:
            first = self.file.read(size)
            if not self.rewind():
                self._taken = first
        return first

    def rewind(self) -> bool:
        """Go back to where the object begins, if that can be."""
        if self._start is None:
            return False
        self.file.seek(self._start)
        return True

    def unpickle(self, kind: type[_InC | _InPython], context: Context) -> tuple[Any, bool]:
        """The object, and whether there were wrappers of an old version."""
        with self._stream() as stream:
            unpickler = kind(stream, context._replace(notices=[]))
            try:
                value = unpickler.load_all()
            except _NeedsPython:
                raise
            except Exception as error:
                stream.check_end()  # whatever it is: if the data are not those that were written, that is why
                if stream.damage is not None or _is_nonsense(error):
                    self._check_beginning()
                if stream.damage is not None:
                    raise stream.damage from error.__cause__
                if not _is_nonsense(error):
                    raise
                raise StoreCorrupt(self.filename, "its pickle", str(error) or type(error).__name__) from error
            stream.check_end()
        for notice in unpickler.context.notices:  # only now: another unpickler may have had to begin anew
            warn(notice)
        return value, unpickler.met_old

    def _check_beginning(self) -> None:
        """Of what makes no sense, tell whether it ever was a pickle. (Those of protocols 0 and 1 are not told from any text.)

        Raises:
            UnknownFormat: it never was.
        """
        if self._begin and not is_joblib_file(self._begin, maybe_old=False) and not _compressors.begins(self._begin):
            raise UnknownFormat(self.filename, self._begin)

    @contextlib.contextmanager
    def _stream(self) -> Iterator[ExactStream]:
        if self.method is None:
            yield ExactStream(self.file, self.filename, compressed=False, first=self._taken)
            return
        file = io.BytesIO(self._taken + self.file.read()) if self._taken else self.file
        if self.method == "old":
            yield ExactStream(io.BytesIO(read_zlib_file(file, self.filename)), self.filename, compressed=False)
        else:
            with _compressors.reader(file, self.method) as decompressed:
                yield ExactStream(decompressed, self.filename, compressed=True)


def _is_nonsense(error: Exception) -> bool:
    """Whether an unpickler could make nothing of the bytes."""
    if isinstance(error, StoreCorrupt) or "unsupported pickle protocol" in str(error):
        return False
    return isinstance(error, _NONSENSE) and _is_of_unpickler(error)


def _is_of_unpickler(error: BaseException) -> bool:
    """Whether it was raised by an unpickler itself, rather than by a class whose object was being made."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") in {
        __name__,
        "pickle",
        ExactStream.__module__,
        Wrapper.__module__,
    }


def _is_seekable(file: Any) -> bool:
    return bool(getattr(file, "seekable", lambda: False)())


def _name_of(file: Any) -> str:
    name = getattr(file, "name", "")
    return name if isinstance(name, str) else ""


def _possible_mode(mmap_mode: Any, source: _Source) -> Any:
    """The mode in which the arrays of this file can be mapped; None if they cannot."""
    if mmap_mode is None:
        return None
    if isinstance(source.file, io.BytesIO):
        warn(f'In memory persistence is not compatible with mmap_mode "{mmap_mode}" flag passed. mmap_mode option will be ignored.')
    elif source.method is not None:
        warn(f'mmap_mode "{mmap_mode}" is not compatible with compressed file {source.filename}. "{mmap_mode}" flag will be ignored.')
    elif not isinstance(getattr(source.file, "raw", source.file), io.FileIO):
        warn(f'"{source.file!r}" is not a raw file, mmap_mode "{mmap_mode}" flag will be ignored.')
    else:
        return "r+" if mmap_mode == "w+" else mmap_mode  # one that empties the file would lose what is in it
    return None


class _Names:
    """What the names in a file stand for: joblib's wrappers for those of here."""

    met_old = False  # a wrapper of joblib before 0.10

    def __init__(self, stream: ExactStream, context: Context) -> None:
        super().__init__(stream)  # type: ignore[call-arg] # the unpickler
        self._stream = stream
        self.context = context

    def find_class(self, module: str, name: str, /) -> Any:
        module = _moved(module)
        if name in WRAPPERS and module.endswith(_WRAPPER_MODULES):
            self.met_old |= WRAPPERS[name].is_old
            return self._wrapper_class(name)
        try:
            return super().find_class(module, name)  # type: ignore[misc] # the unpickler's
        except ImportError as error:
            error.add_note(f"{self.context.filename or 'the file'} holds an object of {module}.{name}: it needs that package")
            raise

    def _wrapper_class(self, name: str) -> type[Wrapper]:
        return WRAPPERS[name]

    def _array(self, wrapper: Wrapper) -> Any:
        return wrapper.array(self.context, self._stream, lambda stream: type(self)(stream, self.context).load_all())

    def load_all(self) -> Any:
        """The object."""
        return self.load()  # type: ignore[attr-defined] # the unpickler's


class _InC(_Names, pickle.Unpickler):
    """For all files but some."""

    def __init__(self, stream: ExactStream, context: Context) -> None:
        super().__init__(stream, context)
        self._next: Wrapper | None = None  # the one whose array is to be put in its place
        self._classes: dict[str, type[Wrapper]] = {}

    def load_all(self) -> Any:
        try:
            value = self.load()
        except UnicodeDecodeError as error:
            if _is_of_unpickler(error):
                raise _NeedsPython from error  # a string of Python 2
            raise
        finally:
            for kind in self._classes.values():
                del kind.__setstate__  # type: ignore[attr-defined] # it knows this unpickler, which holds all that was in the file
        if self._next is not None:
            raise _NeedsPython
        return value

    def _wrapper_class(self, name: str) -> type[Wrapper]:
        if name not in self._classes:

            def set_state(wrapper: Wrapper, state: dict[str, Any]) -> None:
                wrapper.__dict__.update(state)
                self._interrupt(wrapper)

            self._classes[name] = type(name, (WRAPPERS[name],), {"__setstate__": set_state})
        return self._classes[name]

    def _interrupt(self, wrapper: Wrapper) -> None:
        if self._next is not None:  # inside a frame: that was read before
            raise _NeedsPython
        self._next = wrapper
        self._stream.insert(_PERSISTENT)

    def persistent_load(self, pid: Any) -> Any:
        if self._next is None:
            msg = "the pickle refers to an object outside of it (a persistent id)"
            raise pickle.UnpicklingError(msg)
        if pid is not self._next:
            raise _NeedsPython
        self._next = None
        return self._array(pid)


class _InPython(_Names, pickle._Unpickler):  # noqa: SLF001 # as pickle.Unpickler, but it can be extended
    """For files with wrappers inside of frames, and with strings of Python 2 that are not ASCII: those are given as bytes."""

    dispatch = pickle._Unpickler.dispatch.copy()  # noqa: SLF001

    def load_build(self) -> None:
        """Set the state of an object."""
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], Wrapper):  # type: ignore[attr-defined]
            self.stack[-1] = self._array(self.stack[-1])  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]

    def _decode_string(self, value: bytes) -> str | bytes:
        try:
            return value.decode("ascii")
        except UnicodeDecodeError:
            return value


def _moved(module: str) -> str:
    """Where a module is now."""
    for before, now in _MOVED:
        if (module + ".").startswith(before + "."):
            return _if_there(now + module[len(before) :], module)
    if module.startswith(("numpy.core.", "numpy._core.")):
        import numpy as np  # noqa: PLC0415 # only for files that name it

        return f"numpy.{'core' if np.__version__.startswith('1.') else '_core'}.{module.partition('core.')[2]}"
    return module


def _if_there(now: str, before: str) -> str:
    top = now.partition(".")[0]
    return now if top == "joblib" or importlib.util.find_spec(top) is not None else before
