"""``load``: what kind of file it is, and how it is read."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import stat
import warnings
from typing import TYPE_CHECKING, Any

from manyhands._core.user_line import stacklevel
from manyhands._files import _compressors, _format, _joblib_files, _reading, _sources
from manyhands.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._files._reading import Contents

_MODES = {"r": mmap.ACCESS_READ, "c": mmap.ACCESS_COPY, "r+": mmap.ACCESS_WRITE}
_HEAD = 64
_MARK = _format.MAGIC[:4]


class Loading:
    """One file, on its way. ``ours``: makes the object of a file in our format; ``others``: of any other, from a file object, its name, and
    how it begins.
    """

    def __init__(self, mmap_mode: str | None, ours: Callable[[Contents, Loading], Any], others: Callable[[Any, str, bytes], Any]) -> None:
        if mmap_mode == "w+":
            mmap_mode = "r+"
        if mmap_mode is not None and mmap_mode not in _MODES:
            msg = f"mode must be one of {[None, *_MODES, 'w+']!r} (got {mmap_mode!r})"
            raise ValueError(msg)
        self.mmap_mode = mmap_mode
        self.path = ""
        self._ours = ours
        self._others = others

    def path_or_object(self, filename: Any) -> Any:
        """What is in a file that is named, or open."""
        if isinstance(filename, os.PathLike):
            filename = os.fspath(filename)
        if hasattr(filename, "read"):
            return self._object(filename)
        with open(filename, "rb") as file:
            self.path = filename if isinstance(filename, str) else os.fsdecode(filename)
            return self._file(file, self.path)

    def _object(self, file: Any) -> Any:
        name = getattr(file, "name", "")
        name = name if isinstance(name, str) else ""
        if isinstance(file, io.TextIOBase):
            msg = f"{file!r} is open for text; objects are bytes: open it with 'rb'"
            raise TypeError(msg)
        if not hasattr(file, "peek"):
            file = _Rewound(file) if _is_seekable(file) else _Ahead(file)
        return self._file(file, name)

    def _file(self, file: Any, name: str) -> Any:
        begin = _peek(file)
        if begin.startswith(_format.MAGIC):
            return self._container(file, name)
        if begin.startswith(_MARK):
            raise StoreCorrupt(name, "its beginning", "it is cut short, or ends of lines in it have been changed as if it were text")
        method = _compressors.detect(begin)
        if method is None:
            return self._others(file, name, begin)
        return self._compressed(file, name, method)

    def _compressed(self, file: Any, name: str, method: str) -> Any:
        start = _place(file)
        with contextlib.closing(_compressors.reader(file, method)) as inner:
            source = _sources.Compressed(inner, name or repr(file))
            begin = source.peek(_HEAD)
            if begin.startswith(_format.MAGIC):
                self._tell_compressed(name)
                return self._contents(source)
            if start is None:
                return self._others(inner, name, begin)
        file.seek(start)
        return self._others(file, name, begin)

    def _tell_compressed(self, name: str) -> None:
        if self.mmap_mode is not None:
            flag = self.mmap_mode
            told = f'mmap_mode "{flag}" is not compatible with compressed file {name}. "{flag}" flag will be ignored.'
            warnings.warn(told, stacklevel=stacklevel())

    def _container(self, file: Any, name: str) -> Any:
        place = _place(file) if _is_regular(file) else None
        if self.mmap_mode is not None and place is not None:
            return self._mapped(file, name, place)
        if self.mmap_mode is not None:
            self._tell_unmapped(file)
        source = _sources.Source(file, name or repr(file)) if place is None else _sources.Descriptor(file, name or repr(file), place)
        return self._contents(source)

    def _tell_unmapped(self, file: Any) -> None:
        flag = self.mmap_mode
        told = f'"{file!r}" is not a raw file, mmap_mode "{flag}" flag will be ignored.'
        if isinstance(file, (io.BytesIO, _Rewound)):
            told = f'In memory persistence is not compatible with mmap_mode "{flag}" flag passed. mmap_mode option will be ignored.'
        warnings.warn(told, stacklevel=stacklevel())

    def _mapped(self, file: Any, name: str, place: int) -> Any:
        assert self.mmap_mode is not None
        fd = file.fileno()
        if self.mmap_mode == "r+":
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        try:
            memory = mmap.mmap(fd, 0, access=_MODES[self.mmap_mode])
            contents = _reading.Contents(_sources.Mapped(memory, name, place))
            if self.mmap_mode == "r+":
                # From now on nobody tells whether the checksums hold.
                os.pwrite(fd, (contents.header.flags | _format.CHANGED).to_bytes(2, "little"), place + _format.FLAGS_AT)
        finally:
            if fd != file.fileno():
                os.close(fd)
        file.seek(place + contents.source.position)
        if any(row.codec for row in contents.rows):
            told = f'mmap_mode "{self.mmap_mode}" is not compatible with the compressed arrays of {name}: they were read.'
            warnings.warn(told, stacklevel=stacklevel())
        return self._ours(contents, self)

    def _contents(self, source: _sources.Source) -> Any:
        return self._ours(_reading.Contents(source), self)


def load(filename: Any, mmap_mode: str | None = None, *, safe: bool = False) -> Any:
    """The object in a file that :func:`dump` has written, or joblib's ``dump``, or ``pickle``.

    Example:
        >>> import manyhands
        >>> manyhands.load("model.mh")
        {'weights': [0.5, 0.25]}

    Args:
        filename: a path, or a file object, which is read from where it is, and left behind the object. As in joblib, one without
            ``peek()`` (``io.BytesIO``) that is at its end is read from its beginning.
        mmap_mode: None: arrays are read into memory, and compared with their checksums. ``"c"``: they lie in the file and are read when
            they are looked at; what is written to them is in memory alone. ``"r"``: the same, not to be written to. ``"r+"`` or
            ``"w+"``: what is written to them is in the file. A warning tells where that is not possible, since the file is compressed, or
            is none. Arrays that are mapped are never compared with their checksums, in none of these modes: what is damaged of them is not
            found out. All else in the file is.
        safe: load nothing but data (numbers, text, containers, arrays, tables, dates, dataclasses that are registered), without
            pickle: no code runs, whoever has written the file. Only files of :func:`dump`.

    Raises:
        StoreCorrupt: the file is damaged; it says which part. ``errors.UnknownFormat``, which is one: it is of another kind.
        NotData: ``safe``, and there is something else in the file; it says what.
        OSError: the file cannot be read.
        Exception: what classes in the file raise, with a note on the versions of Python and of packages that have written it.
    """
    if safe:
        from manyhands._files import _safe  # noqa: PLC0415 - not for others

        return Loading(mmap_mode, _safe.value_of, _safe.refuse).path_or_object(filename)

    def others(file: Any, name: str, begin: bytes) -> Any:
        return _joblib_files.load(file, name, loading.mmap_mode, begin=begin)

    loading = Loading(mmap_mode, lambda contents, _: contents.value(contents.array), others)
    return loading.path_or_object(filename)


class _Rewound:
    """A file object without ``peek()``. As in joblib, what has just been written to it is read from the beginning."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begin = file.read(_HEAD)
        if not self._begin:
            file.seek(0)
            self._begin = file.read(_HEAD)
        file.seek(-len(self._begin), os.SEEK_CUR)
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self.readline = getattr(file, "readline", None)
        if hasattr(file, "readinto"):
            self.readinto = file.readinto
        if hasattr(file, "fileno"):
            self.fileno = file.fileno

    def peek(self, _: int = 0) -> bytes:
        """What is to come."""
        begin: bytes = self._begin
        return begin

    def __repr__(self) -> str:
        return repr(self._file)


class _Ahead(io.RawIOBase):
    """A file object that can neither look ahead nor go back: a pipe without a buffer, anything with ``read()``.

    A file of ours is never shorter than what is taken ahead here, so what follows it is left in its place.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begin = b""
        while len(self._begin) < _HEAD and (more := file.read(_HEAD - len(self._begin))):
            self._begin += more

    def peek(self, _: int = 0) -> bytes:
        """What is to come."""
        return self._begin

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or less; all, if it is negative."""
        if size < 0:
            begin, self._begin = self._begin, b""
            return begin + bytes(self._file.read())
        begin, self._begin = self._begin[:size], self._begin[size:]
        return begin or bytes(self._file.read(size))

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of it."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def __repr__(self) -> str:
        return repr(self._file)


def _is_seekable(file: Any) -> bool:
    if not hasattr(file, "seek"):
        return False
    try:
        return bool(file.seekable()) if hasattr(file, "seekable") else True
    except (OSError, ValueError):
        return False


def _peek(file: Any) -> bytes:
    begin: bytes = file.peek(_HEAD)
    return begin[:_HEAD]


def _place(file: Any) -> int | None:
    """Where a file is, if it can be there again."""
    try:
        return int(file.tell()) if file.seekable() else None
    except (OSError, AttributeError, ValueError):
        return None


def _is_regular(file: Any) -> bool:
    """Whether the bytes of a file object are those of its descriptor: those of ``gzip.GzipFile`` are not."""
    if not isinstance(getattr(file, "raw", file), io.FileIO):
        return False
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
