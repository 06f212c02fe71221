"""Large data in anonymous shared memory: written by the sender, mapped copy-on-write by the receiver.

::

    sender                                   receiver
    lease(size) ── a segment that is free,
                   else a new one
    lease.fill(pieces)
    frame with the descriptor ─────────────▶ Mapping: private, writable, no copy
                                             ... the last view of it is gone
    the lease ends ◀──────────────────────── its number
    the segment is free again

Memory that is written to for the first time costs more than the copy (25 MB: 10 ms against 1.6 measured), so segments are used again; not
before every mapping of them is reported gone, since a private mapping shows later writes to pages that it has not written to itself. They
have no names: whatever is killed, nothing is left.
"""

from __future__ import annotations

import itertools
import mmap
import os
import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    M = TypeVar("M", bound=mmap.mmap)
    Bytes = bytes | bytearray | memoryview

_ALIGN = 64
_PAGE = mmap.PAGESIZE


class _Segment:
    """A piece of memory. ``shown``: the sender's own view of it, once it is used again."""

    __slots__ = ("fd", "shown", "size", "written")

    def __init__(self, size: int) -> None:
        self.fd = -1
        self.size = size
        self.shown: mmap.mmap | None = None
        self.written = 0  # bytes from the start that have pages
        self.fd = os.memfd_create("manyhands", os.MFD_CLOEXEC)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.shown = None

    def __del__(self) -> None:
        self.close()


class Lease:
    """A segment for as long as anybody may read what was put into it: it is free again when this object goes.

    ``spoiled``: somebody may see it even then, so it is not used again.
    """

    __slots__ = ("__weakref__", "_pool", "_segment", "spoiled")
    is_shared_memory = False  # each receiver has a view of its own

    def __init__(self, pool: Segments, segment: _Segment) -> None:
        self._pool = pool
        self._segment = segment
        self.spoiled = False

    @property
    def fd(self) -> int:
        """Its descriptor, open as long as this object lives."""
        return self._segment.fd

    def fill(self, pieces: Sequence[Bytes]) -> list[int]:
        """Put pieces into it, one behind the other; where each begins.

        Raises:
            OSError: there is no memory for it.
        """
        segment = self._segment
        offsets, position = [], 0
        for piece in pieces:
            offsets.append(position)
            end = position + len(piece)
            if segment.shown is None or end > segment.written:
                # Not through a mapping: that would be SIGBUS where there is no memory, and takes longer the first time.
                _write_at(segment.fd, piece, position)
                segment.written = max(segment.written, end)
            else:
                segment.shown[position : position + len(piece)] = piece
            position += _aligned(len(piece))
        return offsets

    def read(self, offset: int, length: int) -> bytes:
        """A copy of what is in it."""
        return os.pread(self._segment.fd, length, offset)

    def shown(self) -> memoryview:
        """All of it, to be read.

        Raises:
            OSError: there is no room for it.
        """
        if self._segment.shown is None:
            self._segment.shown = mmap.mmap(self._segment.fd, self._segment.size)
        return memoryview(self._segment.shown).toreadonly()

    def __del__(self) -> None:
        self._pool.give_back(self._segment, self.spoiled)


class Segments:
    """The segments of one process. Any thread may lease; leases may end anywhere, also in the midst of that."""

    def __init__(self, *, most: int | None = None, kept: int | None = None) -> None:
        self._free: dict[int, deque[_Segment]] = {}  # by size
        self._alive: set[int] = set()  # descriptors
        self._most = _most_descriptors() if most is None else most
        self._kept = kept_bytes() if kept is None else kept
        self._closed = False

    def lease(self, pieces: Sequence[Bytes]) -> tuple[Lease, list[int]] | None:
        """A segment with pieces in it, and where each begins. None: the system has none to give; then the data must go another way."""
        size = _size_class(sum(_aligned(len(piece)) for piece in pieces))
        try:
            segment = self._reused(size) or self._new(size)
            if segment is None:
                return None
            lease = Lease(self, segment)
            return lease, lease.fill(pieces)
        except (OSError, ValueError, OverflowError):
            return None

    def _reused(self, size: int) -> _Segment | None:
        free = self._free.get(size)
        if not free:
            return None
        try:
            segment = free.pop()
        except IndexError:  # another thread was faster
            return None
        if segment.shown is None:
            try:
                segment.shown = mmap.mmap(segment.fd, size)
            except OSError:
                self._destroy(segment)
                raise
        return segment

    def _new(self, size: int) -> _Segment | None:
        if len(self._alive) >= self._most:
            return None
        segment = _Segment(size)
        os.ftruncate(segment.fd, size)
        self._alive.add(segment.fd)
        return segment

    def _destroy(self, segment: _Segment) -> None:
        self._alive.discard(segment.fd)
        segment.close()

    def give_back(self, segment: _Segment, spoiled: bool) -> None:
        """A lease has ended. Takes no lock: the garbage collector may call this anywhere."""
        idle = sum(size * len(free) for size, free in list(self._free.items()))
        if spoiled or self._closed or idle + segment.size > self._kept:
            self._destroy(segment)
        else:
            self._free.setdefault(segment.size, deque()).append(segment)

    def close(self) -> None:
        """Let all go that is free, and what is still leased as soon as it is."""
        self._closed = True
        for free in list(self._free.values()):
            while free:
                self._destroy(free.pop())


class Mapping(mmap.mmap):
    """The receiver's private view of a segment. When it goes, ``gone(number, spoiled)`` is called; by any thread, anywhere."""

    gone: Callable[[int, bool], object] = staticmethod(lambda number, spoiled: None)
    number: int = 0
    forks: int = 0

    def __del__(self) -> None:
        # A child that was forked meanwhile sees it, too, and nobody tells when it no longer does.
        self.gone(self.number, self.forks != _forked[0])


def map_privately(fd: int, number: int, gone: Callable[[int, bool], object]) -> memoryview:
    """All of a segment, writable; what is written stays here. ``fd`` can be closed.

    Raises:
        OSError: there is no room for it.
    """
    mapping = mapped(Mapping, fd, os.fstat(fd).st_size, mmap.MAP_PRIVATE)
    mapping.gone, mapping.number, mapping.forks = gone, number, _forked[0]
    return memoryview(mapping)


if sys.version_info >= (3, 13):

    def mapped(make: type[M], fd: int, size: int, how: int) -> M:
        """A view of all of a file, readable and writable, which holds no descriptor. ``how``: ``MAP_PRIVATE`` or ``MAP_SHARED``."""
        return make(fd, size, how, mmap.PROT_READ | mmap.PROT_WRITE, trackfd=False)

else:

    def mapped(make: type[M], fd: int, size: int, how: int) -> M:
        """A view of all of a file, readable and writable, which holds no descriptor. ``how``: ``MAP_PRIVATE`` or ``MAP_SHARED``."""
        # mmap would keep a descriptor for each, and a program may hold more large results than it may open files.
        import ctypes  # noqa: PLC0415 - numpy has loaded it, as a rule

        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        mapping = make(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        place = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        there = libc.mmap(place, size, mmap.PROT_READ | mmap.PROT_WRITE, how | _MAP_FIXED, fd, 0)
        if there != place:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return mapping


_MAP_FIXED = 0x10


def forks() -> int:
    """How often this process has forked."""
    return _forked[0]


_forked = [0]


def _note_fork() -> None:
    _forked[0] += 1


os.register_at_fork(before=_note_fork, after_in_parent=_note_fork)  # other threads map meanwhile


def _write_at(fd: int, piece: Bytes, position: int) -> None:
    view = memoryview(piece).cast("B") if not isinstance(piece, bytes) else memoryview(piece)
    while view:
        written = os.pwrite(fd, view, position)
        view, position = view[written:], position + written


def _aligned(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN


def _size_class(size: int) -> int:
    """At least ``size``, and at most an eighth more, so that one segment serves for many sizes."""
    step = max(_PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def _most_descriptors() -> int:
    import resource  # noqa: PLC0415 - who sends nothing large need not load it

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(512, soft // 8) if hasattr(os, "memfd_create") and sys.platform == "linux" else 0


def kept_bytes() -> int:
    """How much memory may lie idle: a hundredth of the machine's, at most 256 MB."""
    return min(256 << 20, os.sysconf("SC_PHYS_PAGES") * _PAGE // 100)


class Original:
    """A segment that has come and is kept, to be mapped as often as it is needed."""

    __slots__ = ("_fd", "_size")

    def __init__(self, fd: int) -> None:
        self._size = os.fstat(fd).st_size
        self._fd = os.dup(fd)

    def __getitem__(self, part: slice) -> OriginalPart:
        return OriginalPart(self, part)

    def view(self) -> memoryview:
        """All of it, writable; what is written stays there.

        Raises:
            OSError: there is no room for it.
        """
        return memoryview(mapped(mmap.mmap, self._fd, self._size, mmap.MAP_PRIVATE))

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)


class OriginalPart:
    """A part of one."""

    __slots__ = ("_original", "_part")

    def __init__(self, original: Original, part: slice) -> None:
        self._original = original
        self._part = part

    def view(self) -> memoryview:
        """A view of its own, as above."""
        return self._original.view()[self._part]


numbers = itertools.count(1)  # of messages
