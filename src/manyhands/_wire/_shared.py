"""Memory that several processes see and write to, and locks on parts of it.

It has no name: it exists as long as any process has it. Each has one object for it, however often and whichever way it came.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands._wire import _posix, _segments

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# In this process, by device and inode.
_receiving = [threading.Lock()]
_known: weakref.WeakValueDictionary[str, SharedMemory] = weakref.WeakValueDictionary()

# Bytes from which on it is looked whether the machine has so much: that takes longer than to make a small one.
_LARGE = 1 << 20


class SharedMemory(mmap.mmap):
    """All of one piece of memory. ``fd`` is its descriptor, open as long as this object lives.

    Among what a message brings, it takes the place of a :class:`~manyhands._wire._segments.Lease`.

    Attributes:
        file: this process's own, by which it locks; negative: it has not locked anything yet.
        parts: those that this process has, by where they begin: each is one object.
        identity: the same in all processes, and no other's as long as this exists.
        ways: of whom it can be had.
    """

    fd: int = -1
    file: int = -1
    is_shared_memory = True
    spoiled = False
    parts: weakref.WeakValueDictionary[int, Any]
    identity: str
    ways: tuple[tuple[str, int], ...] = ()

    def read(self, offset: int, length: int) -> bytes:  # type: ignore[override]
        """A copy of a part of it."""
        return self[offset : offset + length]

    def shown(self) -> memoryview:
        """All of it, to be read."""
        return memoryview(self).toreadonly()

    def own_file(self) -> int:
        """This process's own, for who has :data:`_receiving`: one that came by a socket, or a fork, is one for all, and excludes nobody."""
        if self.file < 0:
            self.file = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)
        return self.file

    def forget_file(self) -> None:
        """In a forked child: it is the parent's, whose locks it would keep after that has ended."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.forget_file()


def create(size: int) -> SharedMemory:
    """Zeros.

    Raises:
        MemoryError: there is not so much.
    """
    if not hasattr(os, "memfd_create"):
        msg = "shared memory needs memfd_create(2), which only Linux has"
        raise OSError(errno.ENOSYS, msg)
    if size >= _LARGE and size > _posix.available_memory():
        raise _no_memory(size)
    try:
        fd = _posix.anonymous_memory(size)
    except OSError as error:
        raise _no_memory(size) from error
    try:
        # Now: a page that cannot be had later would be SIGBUS.
        os.posix_fallocate(fd, 0, size)
        return _mapped(fd, size)
    except OSError as error:
        os.close(fd)
        raise _no_memory(size) from error
    except BaseException:
        os.close(fd)
        raise


def received(fd: int) -> SharedMemory:
    """What another process has sent the descriptor of, which remains the caller's.

    Raises:
        OSError: there is no room for it.
    """
    with _receiving[0]:
        memory = known(_identity(fd))
        if memory is not None:
            return memory
        own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        try:
            return _mapped(own, os.fstat(fd).st_size)
        except BaseException:
            os.close(own)
            raise


def known(identity: str) -> SharedMemory | None:
    """What this process has under an identity."""
    return _known.get(identity)


def _mapped(fd: int, size: int) -> SharedMemory:
    memory = _segments.mapped(SharedMemory, fd, size, mmap.MAP_SHARED)
    memory.parts = weakref.WeakValueDictionary()
    memory.identity = _identity(fd)
    memory.fd = fd
    _known[memory.identity] = memory
    return memory


def _identity(fd: int) -> str:
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


def _no_memory(size: int) -> MemoryError:
    return MemoryError(f"no room for {size:,} bytes of shared memory: the machine has not so much left, or a limit does not allow it")


def memory_of(view: Any) -> SharedMemory:
    """What a message has brought.

    Raises:
        ValueError: it has brought a copy.
    """
    memory = view.obj if isinstance(view, memoryview) else view
    if not isinstance(memory, SharedMemory):
        msg = "shared memory has come as a copy"
        raise ValueError(msg)  # noqa: TRY004 - it is no argument of the user's
    return memory


# ---------------------------------------------------------------- locks

_REQUEST = struct.Struct("hhqqi4x")  # struct flock
_WAIT, _TRY = getattr(fcntl, "F_OFD_SETLKW", 38), getattr(fcntl, "F_OFD_SETLK", 37)
_fcntl = fcntl.fcntl
_SHORTEST, _LONGEST = 50e-6, 5e-3
MARK = 8


class Part:
    """A part of a memory, and the lock of that part, which excludes all threads of all processes that have it.

    **Guarantees.** The thread that holds the lock may take it again. When a process ends, however it ends, the kernel gives back what it
    held (fcntl(2), "open file description locks", of the bytes that the part has in the file); and whoever takes it next learns that, by
    the mark behind the part, which is odd as long as somebody holds it, and another one each time.

    Attributes:
        words: the part as signed 64-bit numbers, in :attr:`memory` from :attr:`offset` on; the last is the mark.
        size: bytes, without the mark and what fills up the last number.
        abandoned: for who holds the lock: whether its last holder died as such.
    """

    __slots__ = ("__weakref__", "_depth", "_file", "_give", "_life", "_take", "_thread", "abandoned", "memory", "offset", "size", "words")

    def __init__(self, memory: SharedMemory, offset: int, size: int) -> None:
        self.memory = memory
        self.offset = offset
        self.size = size
        self.words = memoryview(memory)[offset : offset + room(size)].cast("q")
        self.abandoned = False
        self._life: object = None

    def acquire(self, timeout: float = -1) -> bool:
        """Take the lock. False: it was not free for ``timeout`` seconds; a negative number is for ever."""
        if self._life is not _life[0]:
            self._begin()
        deadline = time.monotonic() + timeout if timeout > 0 else timeout
        if not self._thread.acquire(True, timeout):
            return False
        try:
            if not self._depth:
                if timeout < 0:
                    _fcntl(self._file, _WAIT, self._take)
                elif not self._tried(deadline):
                    self._thread.release()
                    return False
                mark = self.words[-1]
                self.abandoned = bool(mark & 1)
                self.words[-1] = mark + 1 | 1
            self._depth += 1
        except BaseException:
            self._thread.release()
            raise
        return True

    def _tried(self, deadline: float) -> bool:
        """The kernel knows no time-out for this, and a signal would be the program's: so it is asked again and again."""
        pause = _SHORTEST
        while True:
            with contextlib.suppress(BlockingIOError, PermissionError):
                _fcntl(self._file, _TRY, self._take)
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)

    def release(self) -> None:
        """Give it back.

        Raises:
            RuntimeError: this thread does not hold it.
        """
        if self._life is not _life[0] or not self._thread._is_owned():  # type: ignore[attr-defined] # noqa: SLF001 - it has no other way to ask
            raise RuntimeError("this thread does not hold the lock")
        if self._depth == 1:
            self.words[-1] += 1
            _fcntl(self._file, _TRY, self._give)
        self._depth -= 1
        self._thread.release()

    def read(self, get: Callable[[], T]) -> T:
        """What a function reads while nobody holds the lock, which is taken only if somebody does. It may be called twice."""
        words = self.words
        mark = words[-1]
        if not mark & 1:
            value = get()
            if words[-1] == mark:
                return value
        self.acquire()
        try:
            return get()
        finally:
            self.release()

    @property
    def is_held(self) -> bool:
        """By any thread of this process."""
        return self._life is _life[0] and self._depth > 0

    def _begin(self) -> None:
        """Have what belongs to this process."""
        with _receiving[0]:
            if self._life is not _life[0]:
                self._thread = threading.RLock()
                self._depth = 0
                self._take = _REQUEST.pack(fcntl.F_WRLCK, os.SEEK_SET, self.offset, max(1, self.size), 0)
                self._give = _REQUEST.pack(fcntl.F_UNLCK, os.SEEK_SET, self.offset, max(1, self.size), 0)
                self._file = self.memory.own_file()
                self._life = _life[0]


def room(size: int) -> int:
    """How many bytes a part takes, with its mark."""
    return (size + 7 & ~7) + MARK


_life = [object()]  # another one in each process


def _leave_locks() -> None:
    # The child holds none.
    _receiving[0] = threading.Lock()
    _life[0] = object()
    for memory in list(_known.values()):
        memory.forget_file()


os.register_at_fork(after_in_child=_leave_locks)
