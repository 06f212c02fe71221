"""Pieces of shared memory: what records, arrays and typed values lie in, how pieces are given out, and how they travel.

Small pieces of one size lie side by side in one memory, so that thousands of them cost a few descriptors. A piece that only this process
has ever had is used again when it goes; one that has been given away, or that a forked child may have, is not: nobody tells when the others
do not use it any more. Its memory goes with that of its neighbours.

In messages between a program and its workers a piece brings the descriptor of its memory along. In any other pickle there is the address of
a process that has it: see :func:`_fetched`.
"""

from __future__ import annotations

import os
import pickle
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._wire import _segments, _shared

if TYPE_CHECKING:
    from types import TracebackType

    from manyhands._wire._shared import SharedMemory

_ALIGNED = 64
_SMALL = 32 << 10  # what is larger has a memory of its own
_FIRST_MEMORY, _LARGEST_MEMORY = 16 << 10, 1 << 20


class Piece(_shared.Part):
    """A piece of memory that is one thing, in all processes that have it, with a lock of its own."""

    __slots__ = ("_face", "_forks", "_slab")

    def __init__(self, memory: SharedMemory, offset: int, size: int, slab: _Slab | None = None) -> None:
        super().__init__(memory, offset, size)
        self._slab = slab
        self._forks = _segments.forks()
        self._face: weakref.ref[Any] | None = None
        memory.parts[offset] = self

    @property
    def face(self) -> Any:
        """The object of this process that all of the piece belongs to, if it has been sent or has come."""
        return None if self._face is None else self._face()

    @face.setter
    def face(self, obj: object) -> None:
        self._face = weakref.ref(obj)

    def array(self, shape: tuple[int, ...], dtype: Any, offset: int) -> Any:
        """An array in it."""
        from manyhands.sharing import _arrays  # noqa: PLC0415 - it needs numpy

        return _arrays.over(self, shape, dtype, offset)

    def keep(self) -> None:
        """Never use it for anything else: somebody may have it, of whom nobody will tell when he has not."""
        self._slab = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.keep()
        return _fetched, (self.memory.identity, _ways_to(self.memory), self.offset, self.size)

    def reduced(self) -> Any:
        """How it travels in a message that brings descriptors."""
        self.keep()
        return _arrived, (pickle.PickleBuffer(self.memory), self.offset, self.size)

    @property
    def identity(self) -> str:
        """The same in all processes."""
        return f"{self.memory.identity} {self.offset} {self.size}"

    def __del__(self) -> None:
        if self._slab is not None and self._forks == _segments.forks():
            self._slab.give_back(self.offset)


class PrivatePiece:
    """Memory of one process, for a snapshot of a record, and for one that comes from a file."""

    face = None

    def __init__(self, size: int, data: bytes = b"") -> None:
        self.size = size
        self.words = memoryview(bytearray(data or size + 7 & ~7)).cast("q")
        self.lock = threading.RLock()
        self.abandoned = False

    def keep(self) -> None:
        """It is kept by who uses it."""

    def acquire(self, timeout: float = -1) -> bool:
        """Take its lock."""
        return self.lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Give it back."""
        self.lock.release()

    def array(self, shape: tuple[int, ...], dtype: Any, offset: int) -> Any:
        """An array in it."""
        import numpy as np  # noqa: PLC0415 - who uses no arrays need not have it

        return np.ndarray(shape, dtype, self.words, offset)

    def __reduce__(self) -> Any:
        return PrivatePiece, (self.size, bytes(self.words))


def kept(piece: Piece) -> Any:
    """How what is in a piece is stored in a file."""
    return PrivatePiece, (piece.size, bytes(piece.words[:-1]))


class SharedLock:
    """Excludes all threads of all processes that have the same piece of memory; the thread that holds it may take it again.

    The kernel releases it when the process that holds it ends, however it ends. What that had half done stays half done.
    """

    __slots__ = ("_piece",)

    def __init__(self, piece: Piece) -> None:
        self._piece = piece

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take it; wait for it if ``blocking``, at most ``timeout`` seconds. Whether it was taken."""
        return self._piece.acquire((-1 if timeout is None else max(timeout, -1)) if blocking else 0)

    def release(self) -> None:
        """Give it back.

        Raises:
            RuntimeError: this thread does not hold it.
        """
        self._piece.release()

    def __enter__(self) -> SharedLock:
        self._piece.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._piece.release()

    def __reduce__(self) -> Any:
        return SharedLock, (self._piece,)

    def __repr__(self) -> str:
        held = "held by this process" if self._piece.is_held else "not held by this process"
        return f"<SharedLock of {self._piece.size} bytes, {held}>"


# ---------------------------------------------------------------- giving out


class _Slab:
    """A memory with pieces of one size. Its attributes are for who holds the lock of its shelf."""

    __slots__ = ("_free", "_next", "count", "memory", "shelf", "stride")

    def __init__(self, shelf: _Shelf, stride: int, count: int) -> None:
        self.shelf = shelf
        self.stride = stride
        self.count = count
        self.memory = _shared.create(stride * count)
        self._free: list[int] = []
        self._next = 0  # before it, all have been given out at least once

    def take(self) -> int | None:
        """Where there is room for a piece of zeros; None: nowhere."""
        if self._free:
            offset = self._free.pop()
            self.memory[offset : offset + self.stride] = bytes(self.stride)
            return offset
        if self._next == self.count:
            return None
        self._next += 1
        return (self._next - 1) * self.stride

    def put_back(self, offset: int) -> None:
        """It is free again."""
        self._free.append(offset)

    def is_unused(self) -> bool:
        """Whether all that were given out are free again."""
        return len(self._free) == self._next

    def give_back(self, offset: int) -> None:
        """A piece is gone. Called by the garbage collector, anywhere: it does not wait."""
        self.shelf.returned.append((self, offset))
        self.shelf.tidy_if_free()


class _Shelf:
    """The pieces of one size, of this process."""

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._lock = threading.Lock()
        self.returned: deque[tuple[_Slab, int]] = deque()
        self._slabs: list[_Slab] = []  # that have room, or have had it when they were looked at last; the last is used
        self._made = 0
        self._is_closed = False

    def take(self, size: int) -> Piece:
        """A piece of zeros."""
        with self._lock:
            if self.returned:
                self._tidy()
            while self._slabs:
                slab = self._slabs[-1]
                offset = slab.take()
                if offset is not None:
                    return Piece(slab.memory, offset, size, slab)
                self._slabs.pop()
            slab = self._new_slab()
            first = slab.take()
            assert first is not None
            return Piece(slab.memory, first, size, slab)

    def _new_slab(self) -> _Slab:
        bytes_ = min(_FIRST_MEMORY << self._made, _LARGEST_MEMORY)
        slab = _Slab(self, self._stride, max(1, bytes_ // self._stride))
        self._made = min(self._made + 1, 20)
        self._slabs.append(slab)
        return slab

    def tidy_if_free(self) -> None:
        """Take back what has been returned; if somebody has the lock, perhaps this very thread, he does so later."""
        if self._lock.acquire(blocking=False):
            try:
                self._tidy()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Give out no more, and keep nothing of what comes back: slabs refer to their shelf, and would wait for the garbage collector."""
        with self._lock:
            self._is_closed = True
            self._slabs.clear()

    def _tidy(self) -> None:
        while self.returned:
            slab, offset = self.returned.popleft()
            slab.put_back(offset)
            if self._is_closed:
                continue
            if slab not in self._slabs:
                self._slabs.insert(0, slab)
            if slab.is_unused() and slab is not self._slabs[-1]:  # one is kept for what comes next
                self._slabs.remove(slab)


_shelves: dict[int, _Shelf] = {}


def new(size: int) -> Piece:
    """A piece of zeros.

    Raises:
        MemoryError: there is not so much.
    """
    room = _shared.room(size)
    if room > _SMALL:
        return Piece(_shared.create(room), 0, size)
    stride = -(-room // _ALIGNED) * _ALIGNED
    shelf = _shelves.get(stride) or _shelves.setdefault(stride, _Shelf(stride))
    return shelf.take(size)


# ---------------------------------------------------------------- arriving


def _arrived(view: Any, offset: int, size: int) -> Piece:
    """What a message has brought."""
    return _part_of(_shared.memory_of(view), offset, size)


def _part_of(memory: SharedMemory, offset: int, size: int) -> Piece:
    with _arriving[0]:
        found: Piece | None = memory.parts.get(offset)
        return Piece(memory, offset, size) if found is None else found


_arriving = [threading.Lock()]  # a part has one lock for all threads of a process


def _ways_to(memory: SharedMemory) -> tuple[tuple[str, int], ...]:
    """Where others can have it: of this process, and of the one of which this has it. It is kept for them, as long as proxies are."""
    from manyhands.sharing import _arrivals  # noqa: PLC0415 - most pieces travel with a descriptor

    return (_arrivals.leased(memory), *memory.ways)


def _fetched(identity: str, ways: tuple[tuple[str, int], ...], offset: int, size: int) -> Piece:
    """What a pickle tells of: had from a process that has it, unless it is here.

    Raises:
        OwnerDied: none of them is there any more.
        NotShared: they have not got it any more.
    """
    memory = _shared.known(identity) or _had_from(ways)
    return _part_of(memory, offset, size)


def _had_from(ways: tuple[tuple[str, int], ...]) -> SharedMemory:
    from manyhands.sharing import _arrivals  # noqa: PLC0415 - as above

    for number, (address, entry) in enumerate(ways):
        try:
            fd = _arrivals.descriptor_of(address, entry)
        except (errors.OwnerDied, errors.NotShared, errors.ShareRefused):
            if number + 1 == len(ways):
                raise
            continue
        try:
            memory = _shared.received(fd)
        finally:
            os.close(fd)
        memory.ways = ways[:2]
        return memory
    raise AssertionError


def shut_down() -> None:
    """Keep no memory for what comes next."""
    while _shelves:
        _shelves.popitem()[1].close()


def _forked() -> None:
    _shelves.clear()  # what there is is the parent's to give out
    _arriving[0] = threading.Lock()


os.register_at_fork(after_in_child=_forked)
