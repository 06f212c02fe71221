"""Where a file is read from: anything with ``read()``, a descriptor, or a map of it."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import xxhash

from manyhands._files import _format, _threads
from manyhands.errors import StoreCorrupt

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

_STEP = 1 << 24  # what is believed of a length, at a time
_READ = 1 << 20  # what is read, and summed, at a time: most of it is still in the processor's cache, and the lock changes hands seldom
_FOR_THREADS = 4 * _format.BLOCK  # for less, starting them takes longer than it saves


class Source:
    """Gives bytes in order. ``position``: how many have been given; ``name``: of the file, for messages."""

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self.position = 0
        self._file = file

    def read(self, size: int, part: str = "it") -> Any:
        """So many bytes.

        Raises:
            StoreCorrupt: there are less.
        """
        data = self._file.read(min(size, _STEP))
        if len(data) != size:
            data = self._more(data, size, part)
        self.position += size
        return data

    def _more(self, data: bytes, size: int, part: str) -> bytes:
        parts, left = [data], size - len(data)
        while left > 0:
            more = self._file.read(min(left, _STEP))
            if not more:
                raise self.cut_short(part)
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    def cut_short(self, part: str) -> StoreCorrupt:
        """The error that says so."""
        return StoreCorrupt(self.name, part, "the file is cut short")

    def skip(self, size: int) -> None:
        """Leave out so many."""
        while size > 0:
            step = min(size, _STEP)
            self.read(step)
            size -= step

    def holds(self, size: int, part: str) -> None:
        """Room is about to be made for so many bytes.

        Raises:
            StoreCorrupt: there are not so many.
        """

    def fill(self, view: memoryview, part: str) -> int:
        """Read as many bytes as there is room for; their checksum.

        Raises:
            StoreCorrupt: there are less.
        """
        return _format.sum_of([self._fill_block(view[start:stop], part) for start, stop in _format.blocks(len(view))] or [_NOTHING])

    def _fill_block(self, view: memoryview, part: str) -> bytes:
        state = xxhash.xxh3_64()
        for start in range(0, len(view), _READ):
            step = view[start : start + _READ]
            self._read_into(step, part)
            state.update(step)
        self.position += len(view)
        return state.digest()

    def _read_into(self, view: memoryview, part: str) -> None:
        read_into = getattr(self._file, "readinto", None)
        while len(view):
            if read_into is None:
                data = self._file.read(len(view))
                view[: len(data)] = data
                done = len(data)
            else:
                done = read_into(view)
            if not done:
                raise self.cut_short(part)
            view = view[done:]


class Compressed(Source):
    """A file object that decompresses what it reads. Whatever it raises of damaged data is said in one way."""

    def peek(self, size: int) -> bytes:
        """What is to come, up to so many bytes."""
        with self._explained():
            begin: bytes = self._file.peek(size)
        return begin[:size]

    def read(self, size: int, part: str = "it") -> Any:
        with self._explained():
            return super().read(size, part)

    def fill(self, view: memoryview, part: str) -> int:
        with self._explained():
            return super().fill(view, part)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (StoreCorrupt, MemoryError):
            raise
        except Exception as error:
            if getattr(error, "errno", None) is not None:  # of the operating system
                raise
            raise StoreCorrupt(self.name, "its compressed data", str(error) or type(error).__name__) from error


_NOTHING = xxhash.xxh3_64_digest(b"")


class Descriptor(Source):
    """A regular file, from ``start`` on."""

    def __init__(self, file: Any, name: str, start: int = 0) -> None:
        super().__init__(file, name)
        self.start = start
        self._size = os.fstat(file.fileno()).st_size - start

    def holds(self, size: int, part: str) -> None:
        if size > self._size - self.position:
            raise self.cut_short(part)

    def skip(self, size: int) -> None:
        self.holds(size, "it")
        self._file.seek(size, os.SEEK_CUR)
        self.position += size

    def fill(self, view: memoryview, part: str) -> int:
        if len(view) < _FOR_THREADS or _threads.count() < 2:
            return super().fill(view, part)
        begin = self.start + self.position
        read = functools.partial(self._read_at, self._file.fileno(), begin, view, part)
        digests = _threads.shared(read, list(_format.blocks(len(view))))
        self._file.seek(begin + len(view))
        self.position += len(view)
        return _format.sum_of(digests)

    def _read_at(self, fd: int, begin: int, view: memoryview, part: str, block: tuple[int, int]) -> bytes:
        start, stop = block
        state = xxhash.xxh3_64()
        while start < stop:
            step = view[start : min(start + _READ, stop)]
            done = os.preadv(fd, [step], begin + start)
            if not done:
                raise self.cut_short(part)
            state.update(step[:done])
            start += done
        return state.digest()


class Mapped(Source):
    """A file in memory, from ``start`` on."""

    def __init__(self, memory: mmap.mmap, name: str, start: int) -> None:
        super().__init__(None, name)
        self.memory = memory
        self.start = start

    def read(self, size: int, part: str = "it") -> Any:
        begin = self.start + self.position
        data = self.memory[begin : begin + size]
        if len(data) != size:
            raise self.cut_short(part)
        self.position += size
        return data

    def skip(self, size: int) -> None:
        self.holds(size, "it")
        self.position += size

    def holds(self, size: int, part: str) -> None:
        if self.start + self.position + size > len(self.memory):
            raise self.cut_short(part)
