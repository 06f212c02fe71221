"""Arrays that go to the workers by way of files, where the user asks for files: they arrive as ``numpy.memmap``.

One folder for a call, or for a ``with`` block. It is removed at the end of that; should the program be killed before, by a process that
does nothing but wait for its end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from manyhands._codec import _pickling, _rules
from manyhands._codec._memmaps import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._core.policy import Failed
    from manyhands.backends import TaskStream
    from manyhands.backends._contract import Counts

    Array = np.ndarray[Any, Any]

# Removes the folder when its standard input ends: when this process closes it, or has ended, however that came.
_WATCH = 'cat > /dev/null; rm -rf -- "$1"'

# Files in memory, if there is room for so many bytes: as joblib has it.
_IN_MEMORY = "/dev/shm"
_LEAST_ROOM = 2_000_000_000

_encoding = threading.local()  # ``files``: those of the call whose arguments are being encoded in this thread


class ArrayFiles:
    """The files of one call. ``mode``: of the maps, in the workers."""

    def __init__(self, folder: str | None, max_bytes: int, mode: str) -> None:
        parent = folder or os.environ.get("JOBLIB_TEMP_FOLDER") or _default_parent()
        self._parent = os.path.abspath(os.path.expanduser(parent))
        self._max_bytes = max_bytes
        self._mode = "r+" if mode == "w+" else mode  # the file is written here; a worker that emptied it would lose what is in it
        self._folder: str | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        # What has been written, by the id of the array: the array, if it still lives, its content, and where that is.
        self._known: dict[int, tuple[weakref.ref[Array], bytes, str]] = {}
        self._outdated: list[str] = []  # files of content that their arrays have no more
        self._count = 0
        _rules.set_array_rule(_reduce)

    def folder(self) -> str:
        """Where the files are; made when it is first asked for."""
        if self._folder is None:
            os.makedirs(self._parent, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix=FOLDER, dir=self._parent)
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", _WATCH, "sh", self._folder], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
            )
        return self._folder

    def takes(self, array: Array) -> bool:
        """Whether an array goes by way of a file."""
        return array.nbytes > self._max_bytes and not array.dtype.hasobject

    def path_of(self, array: Array) -> str:
        """The file with the content that an array has now: one of its own, anew whenever it has changed."""
        content = xxhash.xxh3_128_digest(np.ascontiguousarray(array).view(np.uint8).data)
        known = self._known.get(id(array))
        if known is not None and known[0]() is array and known[1] == content:
            return known[2]
        if known is not None:
            self._outdated.append(known[2])
        self._count += 1
        path = os.path.join(self.folder(), f"{os.getpid()}-{self._count}.array")
        array.T.tofile(path) if _is_columns_first(array) else array.tofile(path)
        self._known[id(array)] = weakref.ref(array), content, path
        return path

    def map_of(self, array: Array) -> Any:
        """For the pickler."""
        order = "F" if _is_columns_first(array) else "C"
        return map_file, (self.path_of(array), array.dtype, array.shape, order, self._mode)

    def tidy(self) -> None:
        """Remove the files that nobody can ask for any more. To be called when no task is under way that has been given one."""
        gone = [key for key, (array, _, _) in self._known.items() if array() is None]
        for path in [*self._outdated, *(self._known.pop(key)[2] for key in gone)]:
            with contextlib.suppress(FileNotFoundError):  # somebody has tidied up before
                os.unlink(path)
        self._outdated.clear()

    def remove(self) -> None:
        """Remove the folder, with all that is in it."""
        folder, self._folder, watcher, self._watcher = self._folder, None, self._watcher, None
        self._known.clear()
        self._outdated.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if watcher is not None and watcher.stdin is not None:
            watcher.stdin.close()
            watcher.wait()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """What is encoded in this thread meanwhile goes by way of these files."""
        before = getattr(_encoding, "files", None)
        _encoding.files = self
        try:
            yield
        finally:
            _encoding.files = before


def _default_parent() -> str:
    try:
        room = os.statvfs(_IN_MEMORY)
    except OSError:
        return tempfile.gettempdir()
    has_room = room.f_bsize * room.f_bavail > _LEAST_ROOM
    return _IN_MEMORY if has_room and os.access(_IN_MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _is_columns_first(array: Array) -> bool:
    return bool(array.flags.f_contiguous and not array.flags.c_contiguous)


def _reduce(_: _pickling.Encoder, array: Array) -> Any:
    """The rule for arrays."""
    files: ArrayFiles | None = getattr(_encoding, "files", None)
    return files.map_of(array) if files is not None and files.takes(array) else NotImplemented


def map_file(path: str, dtype: np.dtype[Any], shape: tuple[int, ...], order: str, mode: str) -> Array:
    """An array over a file; runs in the worker."""
    mapped: Array = np.memmap(path, dtype, mode, 0, shape, order)  # type: ignore[call-overload]
    return mapped


class FiledStream:
    """A stream whose arguments go by way of files."""

    def __init__(self, stream: TaskStream, files: ArrayFiles) -> None:
        self._stream = stream
        self._files = files

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._stream.failures

    def leftovers(self) -> list[Failed]:
        """Failures that were in no chunk."""
        return self._stream.leftovers()

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Results as they come."""
        chunks = iter(self._stream.chunks())
        while True:
            with self._files.used():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def start(self) -> None:
        """Begin before the first result is asked for."""
        with self._files.used():
            self._stream.start()

    def close(self, *, at_once: bool = False) -> None:
        """Give the call up."""
        self._stream.close(at_once=at_once)

    def counts(self) -> Counts:
        """Where it stands."""
        return self._stream.counts()
