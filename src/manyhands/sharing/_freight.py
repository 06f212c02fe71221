"""Large buffers of requests and replies, in anonymous memory whose descriptor goes with the frame.

::

    sender                                    receiver
    a segment that is free, else a new one
    a second open file of it, with a lock
    what is to be sent, put into it
    that file ──────────────────────────────▶ a mapping: private, writable, no copy
                                              ... the last view of it is gone: so are the file, and the lock
    the segment is free: nobody has a lock

A reply has no way back on which the receiver could say that it is done. The lock says it: it belongs to the open file that was sent, which
each mapping of it holds, those of forked children too. So it ends with the last of them, with a message that nobody reads, and with
whoever is killed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING

from manyhands._wire import _segments

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable, Sequence

    Bytes = bytes | bytearray | memoryview

LARGE = 1 << 18  # bytes of a buffer from which on it pays. Measured: 80 to 130 µs against 350; half as much takes 130 either way
_MOST = 4000  # buffers: where they lie fits into a packet
_WATCHED = 32  # segments that somebody sees; to look whether one is free takes 0.3 µs
_PLACE = struct.Struct("<QQ")  # of a piece: where it begins, and how long it is


def apart(views: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """What a pickler asks of each buffer: whether it is to be in the pickle. Those that are not are added to ``views``."""

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LARGE or len(views) == _MOST:
            return True
        views.append(raw)
        return False

    return is_in_band


class Freight:
    """A frame in memory of its own, to be sent once.

    Attributes:
        fd: of the memory.
        places: where the pieces lie in it: a pickle, and its buffers.
    """

    __slots__ = ("fd", "places")

    def __init__(self, fd: int, places: bytes) -> None:
        self.fd = fd
        self.places = places

    def __len__(self) -> int:
        return sys.maxsize  # whatever is not longer than a packet is sent as it is

    def close(self) -> None:
        """It has been sent, or will not be."""
        fd = getattr(self, "fd", -1)
        if fd >= 0:
            self.fd = -1
            os.close(fd)

    __del__ = close


class Arrived(bytes):
    """The pickle of a frame that has come so.

    Attributes:
        error: there was no room for it in this process.
    """

    _buffers: Sequence[memoryview] = ()
    error: OSError | None = None

    @classmethod
    def of(cls, pieces: Sequence[memoryview]) -> Arrived:
        """The pickle, and its buffers."""
        self = cls(pieces[0])
        self._buffers = pieces[1:]
        return self

    @classmethod
    def without_room(cls, error: OSError) -> Arrived:
        """As above."""
        self = cls(b"\x80c")  # it is no failure of the other side
        self.error = error
        return self

    def buffers(self) -> Sequence[memoryview]:
        """They are the caller's.

        Raises:
            OSError: as above.
        """
        if self.error is not None:
            raise self.error
        return self._buffers


def received(receive: Callable[[], int | None], places: bytes) -> Arrived:
    """A frame whose descriptor comes next.

    Raises:
        ConnectionError: it does not.
    """
    fd = None
    try:
        fd = receive()
        if fd is None:
            raise ConnectionResetError
        whole = _whole(fd, os.fstat(fd).st_size)
        return Arrived.of([whole[offset : offset + length] for offset, length in _PLACE.iter_unpack(places)])
    except ConnectionError:
        raise
    except OSError as error:
        return Arrived.without_room(error)
    finally:
        if fd is not None:
            os.close(fd)


def _whole(fd: int, size: int) -> memoryview:
    try:
        return memoryview(_segments.mapped(mmap.mmap, fd, size, mmap.MAP_PRIVATE))
    except OSError:  # a process may have so many mappings
        whole = memoryview(bytearray(size))
        os.preadv(fd, [whole], 0)
        return whole


class _Lent:
    """The segments of this process. Any thread may lend, and a signal handler in the midst of that: there is no lock.

    Who has taken a lease out of the queue alone decides what becomes of it. Until nobody sees its segment, that is spoiled: whatever
    interrupts this, it is not used again.
    """

    def __init__(self) -> None:
        self._segments = _segments.Segments()
        self._lent: deque[tuple[_segments.Lease, int]] = deque()  # and the size of each; the oldest first

    def lend(self, pieces: Sequence[Bytes]) -> tuple[int, list[int]] | None:
        """A descriptor of memory with pieces in it, to be sent, and where each begins. None: the system has none to give."""
        self._take_back()
        leased = self._segments.lease(pieces)
        if leased is None:
            return None
        lease, offsets = leased
        lease.spoiled = True
        try:
            fd = os.open(f"/proc/self/fd/{lease.fd}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)  # nobody else has one
        self._lent.append((lease, os.fstat(fd).st_size))
        return fd, offsets

    def _take_back(self) -> None:
        """What nobody sees any more is free. Of the rest the latest are watched; the memory of others goes with their mappings."""
        count = room = 0
        for _ in range(len(self._lent)):
            try:
                lease, size = self._lent.pop()
            except IndexError:  # another thread was faster
                return
            if _is_unseen(lease.fd):
                lease.spoiled = False
                continue
            count, room = count + 1, room + size
            if count <= _WATCHED and room <= _segments.kept_bytes():
                self._lent.appendleft((lease, size))

    def close(self) -> None:
        """Keep none."""
        self._segments.close()
        self._lent.clear()


def _is_unseen(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


_lent = [_Lent()]


def load(payload: bytes, buffers: Sequence[memoryview]) -> Freight | None:
    """A frame of a pickle and its buffers, as they are now. None: it has to go another way."""
    pieces: list[Bytes] = [payload, *buffers]
    lent = _lent[0].lend(pieces)
    if lent is None:
        return None
    fd, offsets = lent
    return Freight(fd, b"".join(_PLACE.pack(offset, len(piece)) for offset, piece in zip(offsets, pieces, strict=True)))


def shut_down() -> None:
    """Keep no memory for what comes next."""
    _lent[0].close()
    _lent[0] = _Lent()


def forked() -> None:
    """In a child: the open files are the parent's, who alone can say what is free."""
    _lent[0] = _Lent()
