"""Memory that several processes see and write to, and the lock that belongs to it.

It has no name: it exists as long as any process has it. Each has one object for it, however often and whichever way it came.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import pickle
import threading
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._wire import _posix, _segments

if TYPE_CHECKING:
    from types import TracebackType

# In this process, by device and inode.
_receiving = [threading.Lock()]
_known: weakref.WeakValueDictionary[tuple[int, int], SharedMemory] = weakref.WeakValueDictionary()


class SharedMemory(mmap.mmap):
    """All of one piece of memory. ``fd`` is its descriptor, open as long as this object lives.

    Among what a message brings, it takes the place of a :class:`~manyhands._wire._segments.Lease`.
    """

    fd: int = -1
    is_shared_memory = True
    spoiled = False
    hold: _Hold
    identity: str  # the same in all processes, and no other's as long as this exists

    def read(self, offset: int, length: int) -> bytes:  # type: ignore[override]
        """A copy of a part of it."""
        return self[offset : offset + length]

    def shown(self) -> memoryview:
        """All of it, to be read."""
        return memoryview(self).toreadonly()

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create(size: int) -> SharedMemory:
    """Zeros.

    Raises:
        MemoryError: there is not so much.
    """
    if not hasattr(os, "memfd_create"):
        msg = "shared arrays need memfd_create(2), which only Linux has"
        raise OSError(errno.ENOSYS, msg)
    if size > _posix.available_memory():
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
    status = os.fstat(fd)
    with _receiving[0]:
        known = _known.get((status.st_dev, status.st_ino))
        if known is not None:
            return known
        own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        try:
            return _mapped(own, status.st_size)
        except BaseException:
            os.close(own)
            raise


def _mapped(fd: int, size: int) -> SharedMemory:
    memory = _segments.mapped(SharedMemory, fd, size, mmap.MAP_SHARED)
    status = os.fstat(fd)
    memory.hold = _Hold()
    memory.identity = f"{status.st_dev}:{status.st_ino}"
    memory.fd = fd
    _known[status.st_dev, status.st_ino] = memory
    return memory


def _no_memory(size: int) -> MemoryError:
    return MemoryError(f"no room for {size:,} bytes of shared memory: the machine has not so much left, or a limit does not allow it")


class _Hold:
    """How this process holds the lock of a memory: which thread, how often, and through which file."""

    __slots__ = ("depth", "file", "thread")

    def __init__(self) -> None:
        self.thread = threading.RLock()
        self.depth = 0
        self.file = -1

    def __del__(self) -> None:
        if self.file >= 0:
            os.close(self.file)


class SharedLock:
    """Excludes all threads of all processes that have the same memory; the thread that holds it may take it again.

    It is a ``flock(2)`` on the memory: the kernel releases it when the process that holds it ends, however it ends. What that had half
    done stays half done.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    def acquire(self, blocking: bool = True) -> bool:
        """Take it; wait for it if ``blocking``. Whether it was taken."""
        hold = self._memory.hold
        if not hold.thread.acquire(blocking=blocking):
            return False
        try:
            taken = hold.depth > 0 or self._take(hold, blocking)
        except BaseException:
            hold.thread.release()
            raise
        if taken:
            hold.depth += 1
        else:
            hold.thread.release()
        return taken

    def _take(self, hold: _Hold, blocking: bool) -> bool:
        if hold.file < 0:
            # A file of its own: those that came by a socket are one for all processes, and exclude nobody.
            hold.file = os.open(f"/proc/self/fd/{self._memory.fd}", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(hold.file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it back.

        Raises:
            RuntimeError: this thread does not hold it.
        """
        hold = self._memory.hold
        if not hold.thread._is_owned():  # type: ignore[attr-defined] # noqa: SLF001 - it has no other way to ask
            msg = "this thread does not hold the lock"
            raise RuntimeError(msg)
        hold.depth -= 1
        if not hold.depth:
            fcntl.flock(hold.file, fcntl.LOCK_UN)
        hold.thread.release()

    def __enter__(self) -> SharedLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.release()

    def __repr__(self) -> str:
        held = "held by this process" if self._memory.hold.depth else "not held by this process"
        return f"<SharedLock of {len(self._memory)} bytes, {held}>"

    def reduced(self) -> Any:
        """How it travels in a message."""
        return lock_of, (pickle.PickleBuffer(self._memory),)


def lock_of(view: Any) -> SharedLock:
    """The lock of the memory that a message has brought."""
    return SharedLock(memory_of(view))


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


def _leave_locks() -> None:
    # The child holds none; what it inherited would keep the parent's taken after that has ended.
    _receiving[0] = threading.Lock()
    for memory in list(_known.values()):
        memory.hold = _Hold()


os.register_at_fork(after_in_child=_leave_locks)
