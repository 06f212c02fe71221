"""The files of the index: one journal for each process that writes, and a base of what is older.

A process appends to its own journal alone, which it holds locked as long as it lives: no two wait for one another, and a journal that can
be locked is of one that has ended. The next writer takes it over. When the journals outgrow the base, one process makes a new base.

SQLite was measured beside it. One writer: 5 µs for a row with a write-ahead log, 12 without, as it must be on NFS; an append takes 1. Eight
writers at once: 8 to 200 µs each, and single ones wait 100 ms.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from manyhands.memory import _index
from manyhands.memory._folder import new_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from manyhands.memory._folder import Folder

_HEADER = struct.Struct("<8sqqq")  # magic, bytes that what is noted takes on disk, entries, how much its process is in the midst of
_MAGIC = b"MHINDEX1"
_BASE = "base"
_LOG = ".log"
_LEAST = 1 << 20  # bytes of journals that no new base is made for


class Mark(NamedTuple):
    """How far a journal was: which one, its length, and what was noted in all of bytes on disk and entries."""

    token: str
    end: int
    stored: int
    entries: int


class Journal:
    """What one process notes. Not for several threads at once: the store has a lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.token = ""
        self._fd = -1
        self._end = 0
        self._stored = 0
        self._count = 0
        self._busy = 0
        self._names: set[str] = set()

    # ------------------------------------------------------------ writing

    def append(self, records: Sequence[bytes], names: Iterable[str] = (), *, stored: int = 0, count: int = 0, busy: int = 0) -> None:
        """Note ``records``. ``stored``, ``count``: how many bytes and entries more there are for it; ``busy``: of how much more this
        process is in the midst, that another would have to tidy up.

        Raises:
            OSError: it cannot be written.
        """
        self._open()
        new = [name for name in names if name not in self._names]
        self._busy += busy
        self._append_frames(_index.frame(records, new) if records else b"", stored, count)
        self._names.update(new)

    def _append_frames(self, data: bytes, stored: int, count: int) -> None:
        view = memoryview(data)
        end = self._end
        while view:
            written = os.pwrite(self._fd, view, end)
            end += written
            view = view[written:]
        self._end = end
        self._stored += stored
        self._count += count
        os.pwrite(self._fd, _HEADER.pack(_MAGIC, self._stored, self._count, self._busy), 0)

    def _open(self) -> None:
        if self._fd >= 0:
            if os.fstat(self._fd).st_nlink:
                return
            self.close()  # somebody has removed all of the store
        while True:
            self.token = self._folder.token = new_token()
            fd = os.open(self._path(self.token + _LOG), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):  # a file system without locks: nobody can tell that it is ours, or free
                fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:  # else it has been taken for one that nobody holds
                break
            os.close(fd)
        self._fd, self._end, self._stored, self._count, self._names = fd, _HEADER.size, 0, 0, set()
        os.pwrite(fd, _HEADER.pack(_MAGIC, 0, 0, 0), 0)

    def close(self) -> None:
        """Leave it for the next writer."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # ------------------------------------------------------------ reading

    def estimate(self) -> tuple[int, int, int, int]:
        """Bytes on disk and entries, without reading what is noted; and how long the base is, and all journals together."""
        stored = count = base = logs = 0
        for name in self._names_of_files():
            with contextlib.suppress(OSError):
                fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    header, size = os.read(fd, _HEADER.size), os.fstat(fd).st_size
                finally:
                    os.close(fd)
                base, logs = (size, logs) if name == _BASE else (base, logs + size)
                if len(header) == _HEADER.size:
                    magic, more, entries, _ = _HEADER.unpack(header)
                    stored, count = (stored + more, count + entries) if magic == _MAGIC else (stored, count)
        return stored, count, base, logs

    def read(self) -> _index.Index:
        """What all journals say."""
        index = _index.Index()
        for name in self._names_of_files():
            self._read_into(index, name)
        index.settle()
        return index

    def has_any(self) -> bool:
        """Whether anything has been noted at all."""
        return bool(self._names_of_files())

    def _read_into(self, index: _index.Index, name: str) -> None:
        try:
            data = _read(self._path(name))
        except FileNotFoundError:
            return  # taken over meanwhile
        if data[:8] != _MAGIC:
            index.is_whole = False
            return
        index.read(memoryview(data)[_HEADER.size :])

    def _names_of_files(self) -> list[str]:
        try:
            found = os.listdir(self._folder.index)
        except OSError:
            return []
        return sorted(name for name in found if name == _BASE or name.endswith(_LOG))

    # ------------------------------------------------------------ taking over

    def adopt(self) -> list[bytes]:
        """Take over the journals of processes that have ended; the frames of those that were in the midst of something.

        If there are any, this process is in the midst of it from now on.
        """
        unfinished: list[bytes] = []
        for name, fd in self._dead():
            try:
                data = _read(self._path(name))
                self._open()
                if data[:8] == _MAGIC and len(data) >= _HEADER.size:
                    _, stored, count, busy = _HEADER.unpack_from(data)
                    if busy:
                        self._busy += not unfinished
                        unfinished.append(data[_HEADER.size :])
                    self._append_frames(b"".join(_whole_frames(data[_HEADER.size :])), stored, count)
                os.unlink(self._path(name))
            except FileNotFoundError:
                pass  # all of the store has been removed
            finally:
                os.close(fd)
        return unfinished

    def compact(self) -> bool:
        """Make a new base of the old one and this process's journal. False: another process does.

        The journals of others that live are left to them.

        Raises:
            OSError: it cannot be written.
        """
        with self.only_one() as is_mine:
            if is_mine:
                index = _index.Index()
                self._read_into(index, _BASE)
                self._read_into(index, self.token + _LOG)
                index.settle()
                self.replace(index)
        return is_mine

    def mark(self) -> Mark:
        """How far this journal is."""
        return Mark(self.token if self._fd >= 0 else "", self._end, self._stored, self._count)

    def replace(self, index: _index.Index, since: Mark | None = None) -> None:
        """Make ``index`` the base, for who is the :meth:`only_one`. It takes the place of the old one and of this journal, but for what
        has been noted ``since``.

        Raises:
            OSError: it cannot be written.
        """
        self._open()
        kept, stored, count = self._noted(since)
        header = _HEADER.pack(_MAGIC, index.bytes_stored(), len(index.entries), 0)
        self._folder.publish([header, index.to_frame()], self._path(_BASE), replace=True)
        os.ftruncate(self._fd, _HEADER.size)
        self._end, self._stored, self._count = _HEADER.size, 0, 0
        self._append_frames(kept, stored, count)

    def _noted(self, since: Mark | None) -> tuple[bytes, int, int]:
        """What stays in the journal: that, and what another would have to tidy up; with the bytes and entries that it counts."""
        data = _read(self._path(self.token + _LOG))[_HEADER.size :] if self._busy or since else b""
        links = [_index.record(_index.LINKS, key, 0.0) for key in sorted(_index.keys_of_links(data))] if self._busy else []
        if since is None:
            self._names = set()
            return _index.frame(links) if links else b"", 0, 0
        if since.token != self.token:  # all of this journal is younger
            since = Mark(self.token, _HEADER.size, 0, 0)
        names = _index.frame(links, sorted(self._names))  # which are in the first frames that they are used in
        return names + data[since.end - _HEADER.size :], self._stored - since.stored, self._count - since.entries

    def is_due(self, base: int, logs: int) -> bool:
        """Whether it is time for a new base, of that length of the old one and of the journals."""
        return self._end > _LEAST and logs > base // 4

    @contextlib.contextmanager
    def only_one(self) -> Iterator[bool]:
        """Whether this is the one process that tends the index now."""
        try:
            fd = os.open(self._path("lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            yield False
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # a file system without locks
                pass
            yield True
        finally:
            os.close(fd)

    def _dead(self) -> Iterator[tuple[str, int]]:
        """Journals that nobody holds, locked."""
        for name in self._names_of_files():
            if name in {_BASE, self.token + _LOG}:
                continue
            try:
                fd = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            if os.fstat(fd).st_nlink:
                yield name, fd
            else:
                os.close(fd)

    def _path(self, name: str) -> str:
        return f"{self._folder.index}/{name}"


def _whole_frames(data: bytes) -> Iterator[bytes]:
    """Those before the first that is damaged, as they are."""
    for records, names in _index.frames(data):
        if records is not None:
            yield _index.frame([bytes(records)], [names] if names else [])


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
