"""What is here and is to be there, too: results are sent to a remote store in the background.

For each one that waits there is an empty file in ``outbox``, beside the entries. Whoever sends it holds the file locked, and removes it
afterwards: so what a process has not sent when it dies, or when there is no network, is sent by another one of this machine, or by the next
run. What is sent is read from the entries, so that nothing waits in memory.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manyhands.memory import _locks
from manyhands.memory._background import Background
from manyhands.memory._buffers import link_of, name_of
from manyhands.memory._entry import Damaged, Entry
from manyhands.memory._folder import listed
from manyhands.memory._remote_files import Unavailable
from manyhands.memory._survey import contents

if TYPE_CHECKING:
    from manyhands.memory._entry import Reference
    from manyhands.memory._folder import Folder
    from manyhands.memory._remote_files import RemoteFiles

_AT_ONCE = 64  # entries in one request, so to speak
_BYTES_AT_ONCE = 32 << 20

_all: weakref.WeakSet[Uploads] = weakref.WeakSet()


def entry_name(key: bytes) -> str:
    """Of an entry in a remote store: as below the local folder."""
    name = key.hex()
    return f"entries/{name[:2]}/{name[2:]}"


def key_of(name: str) -> bytes:
    """The inverse."""
    return bytes.fromhex("".join(name.split("/")[-2:]))


def buffer_name(reference: Reference) -> str:
    """Of a large buffer."""
    name = name_of(reference)
    return f"buffers/{name[:2]}/{name[2:]}"


@dataclass(frozen=True, slots=True)
class _Taken:
    """One that this process has taken upon itself: its file in the outbox, locked, and the entry as it was then."""

    key: bytes
    fd: int
    raw: bytes
    entry_file: tuple[int, int]


class Uploads:
    """From one local folder to one remote store. For any thread, and beside other processes.

    Attributes:
        halted: a lock; nothing is sent while somebody else holds it.
    """

    def __init__(self, folder: Folder, files: RemoteFiles) -> None:
        self._folder = folder
        self._outbox = os.path.join(folder.path, "outbox")
        self._files = files
        self._background = Background("manyhands-uploads", self._send)
        self._failed: set[str] = set()  # names of those that are tried after all others
        self._held: set[int] = set()  # descriptors of those that are being sent; changed under ``halted``
        self._pid = os.getpid()  # of the process that waits for them at its end
        self.halted = threading.Lock()
        _at_end(self)

    def add(self, key: bytes) -> None:
        """The entry of ``key`` is new."""
        self._pid = os.getpid()
        with contextlib.suppress(OSError):  # no room for even that: then it stays here
            try:
                self._note(key.hex())
            except FileNotFoundError:
                os.makedirs(self._outbox, 0o700, exist_ok=True)
                self._note(key.hex())
        if self._files.can_write:
            self._background.poke()

    def resume(self) -> None:
        """Send what other runs have left."""
        if listed(self._outbox):
            self._background.poke()

    def finish(self) -> None:
        """Return when all that waits now is there, whoever sends it, or when sending fails."""
        if os.getpid() == self._pid:  # a child that was forked and has added nothing leaves it to its parent
            self._send(waits=True)

    def forked(self) -> None:
        """This is another process now: what the parent sends is the parent's, and a lock that is inherited would outlive it."""
        for fd in self._held:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._held.clear()
        self._pid = 0
        self._background = Background("manyhands-uploads", self._send)
        self.halted = threading.Lock()

    # ------------------------------------------------------------ sending

    def _send(self, *, waits: bool = False) -> None:
        left = sorted(listed(self._outbox), key=self._failed.__contains__, reverse=True)  # the next is the last
        others: list[str] = []  # what other processes are sending
        while left and self._files.can_write:
            with self.halted:
                self._send_all(self._take_some(left, others))
        # One by one, holding none: nobody can be waiting for this process meanwhile.
        while waits and others and self._files.can_write:
            with self.halted:
                taken = self._take(others.pop(), waits=True)
                self._send_all([taken] if taken else [])
        if not self._files.can_write:
            self._forget_evicted()

    def _take_some(self, left: list[str], others: list[str]) -> list[_Taken]:
        batch: list[_Taken] = []
        size = 0
        while left and len(batch) < _AT_ONCE and size < _BYTES_AT_ONCE:
            name = left.pop()
            try:
                taken = self._take(name)
            except BlockingIOError:
                others.append(name)
                continue
            if taken is not None:
                batch.append(taken)
                size += len(taken.raw)
        return batch

    def _take(self, name: str, *, waits: bool = False) -> _Taken | None:
        """None: it has been sent, or there is nothing to be sent any more.

        Raises:
            BlockingIOError: another process is sending it, and it is not to be waited for.
        """
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        self._held.add(fd)
        try:
            if not self._lock(fd, waits=waits):
                raise BlockingIOError
            if _locks.is_at(fd, path):
                return self._read(name, fd)
            self._let_go(fd)
            return None
        except BaseException:
            self._let_go(fd)
            raise

    def _lock(self, fd: int, *, waits: bool) -> bool:
        try:
            if not waits:
                return _locks.try_lock(fd)
            _locks.lock(fd)
        except OSError:  # a file system without locks: it may be sent twice
            pass
        return True

    def _read(self, name: str, fd: int) -> _Taken | None:
        try:
            key = bytes.fromhex(name)
            path = self._folder.entry(key)
            file = _identity(path)
            raw = bytes(contents(path))
            Entry(raw, key)
        except (OSError, ValueError, Damaged):  # evicted, not ours, or about to be found damaged
            self._let_go(fd, name)
            return None
        return _Taken(key, fd, raw, file)

    def _send_all(self, batch: list[_Taken]) -> None:
        done: list[_Taken] = []
        try:
            ready = [taken for taken in batch if self._send_buffers(taken)]
            if ready:
                self._files.write({entry_name(taken.key): taken.raw for taken in ready})
            done = ready
        except Unavailable:
            self._failed.update(taken.key.hex() for taken in batch)
        finally:
            for taken in batch:
                self._end(taken, is_done=taken in done)

    def _send_buffers(self, taken: _Taken) -> bool:
        """First of all, so that who sees the entry sees them. False: the entry has been removed meanwhile."""
        path = self._folder.entry(taken.key)
        try:
            for reference in Entry(taken.raw, taken.key).references():
                self._files.write_file(buffer_name(reference), link_of(path, reference))
        except FileNotFoundError:
            return False
        return True

    def _end(self, taken: _Taken, *, is_done: bool) -> None:
        name = taken.key.hex()
        if is_done:
            self._failed.discard(name)
            with contextlib.suppress(OSError):
                if _identity(self._folder.entry(taken.key)) != taken.entry_file:  # a new one has taken its place: that is to be sent, too
                    is_done = False
        self._let_go(taken.fd, name if is_done else None)

    # ------------------------------------------------------------ the outbox

    def _note(self, name: str) -> None:
        os.close(os.open(self._path(name), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def _let_go(self, fd: int, name: str | None = None) -> None:
        """``name``: it does not wait any more."""
        self._held.discard(fd)
        if name is not None:
            _locks.release(fd, self._path(name))
        else:
            os.close(fd)

    def _forget_evicted(self) -> None:
        """What cannot be sent for long does not pile up: there are never more than there are entries."""
        for name in listed(self._outbox):
            with contextlib.suppress(OSError, ValueError):
                if not os.path.exists(self._folder.entry(bytes.fromhex(name))):
                    os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._outbox}/{name}"


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns


_registered = False


def _at_end(uploads: Uploads) -> None:
    """Have the program wait for what is still to be sent, while threads can still be started: names of hosts are looked up in some."""
    global _registered  # noqa: PLW0603 - once per process
    _all.add(uploads)
    if not _registered:
        _registered = True
        importlib.import_module("concurrent.futures.thread")  # its hook ends that; what is registered later comes first
        with contextlib.suppress(AttributeError, RuntimeError):  # there is no public way; or the main thread has ended
            threading._register_atexit(_finish_all)  # type: ignore[attr-defined] # noqa: SLF001 - as above


def _finish_all() -> None:
    for uploads in list(_all):
        uploads.finish()
