"""A worker's mappings of the segments that its tasks are given.

A mapping that nobody has written to shows what is in the segment, now and whenever that is used again. So it is kept, with its pages: to
map 100 MB anew and read it costs 11 ms, to see that no page of it was written to costs 1.5.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

from manyhands._wire import _segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Virtual memory that mappings may take which no task sees. They hold the segments' memory, should the sender have let go of it.
_KEPT = 128 << 20


class _Loan:
    """One mapping, and the number under which the sender knows that it is seen."""

    __slots__ = ("forks", "inode", "mapping", "number")

    def __init__(self, mapping: mmap.mmap, inode: int, number: int) -> None:
        self.mapping = mapping
        self.inode = inode
        self.number = number
        self.forks = _segments.forks()

    def is_seen(self) -> bool:
        """Whether any view of it is left: all of them together hold a reference."""
        return self.references() > _UNSEEN

    def references(self) -> int:
        """To the mapping."""
        return sys.getrefcount(self.mapping)


class Loans:
    """All of one worker; for its main thread."""

    def __init__(self) -> None:
        self._current: list[_Loan] = []
        self._views: list[memoryview] = []  # of the message that was unpacked last, and how many references there were to each
        self._counts: list[int] = []
        self._unseen: list[_Loan] = []
        self._kept: dict[int, mmap.mmap] = {}  # by inode of the segment; the one that was used last comes last

    def take(self, fd: int, number: int) -> memoryview:
        """All of a segment, writable; what is written stays here. ``fd`` can be closed.

        Raises:
            OSError: there is no room for it.
        """
        status = os.fstat(fd)
        mapping = self._kept.pop(status.st_ino, None) or _segments.mapped(mmap.mmap, fd, status.st_size, mmap.MAP_PRIVATE)
        self._current.append(_Loan(mapping, status.st_ino, number))
        return memoryview(mapping)

    def unpacked(self, views: Iterable[memoryview]) -> None:
        """A message has been put in its place: these are its own views."""
        self._views = list(views)
        self._counts = list(map(sys.getrefcount, self._views))

    def release_views(self) -> None:
        """Nobody will look at the message any more: its views go, but for those that somebody else has got hold of."""
        now = list(map(sys.getrefcount, self._views))
        for index, view in enumerate(self._views):
            if now[index] == self._counts[index]:
                with contextlib.suppress(BufferError):  # something rests on it
                    view.release()
        self._views, self._counts = [], []

    def returned(self) -> Iterator[tuple[int, bool]]:
        """``(number, spoiled)`` of those that nobody sees any more; told once. Spoiled: a child that was forked meanwhile may see it."""
        left: list[_Loan] = []
        current, self._current = self._current, left
        while current:
            loan = current.pop()
            if loan.is_seen():
                left.append(loan)
                continue
            spoiled = loan.forks != _segments.forks()
            if not spoiled:
                self._unseen.append(loan)
            yield loan.number, spoiled

    def settle(self) -> None:
        """Keep of what has been returned what can be used again. It takes a while: when the reply has been sent."""
        while self._unseen:
            loan = self._unseen.pop()
            if _is_clean(loan.mapping):
                self._keep(loan)

    def _keep(self, loan: _Loan) -> None:
        self._kept[loan.inode] = loan.mapping
        while sum(map(len, self._kept.values())) > _KEPT and len(self._kept) > 1:
            del self._kept[next(iter(self._kept))]


def _is_clean(mapping: mmap.mmap) -> bool:
    """Whether no page was written to: each is either the segment's own, or has not been touched."""
    import ctypes  # noqa: PLC0415 - numpy has loaded it

    first = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            try:
                return _scan(file.fileno(), first, len(mapping))
            except OSError:  # before Linux 6.7
                return _read(file.fileno(), first, len(mapping))
    except OSError:
        return False


def _scan(pages: int, first: int, length: int) -> bool:
    """PAGEMAP_SCAN (Documentation/admin-guide/mm/pagemap.rst): looks for a page that is there, or swapped out, and is not the file's."""
    size = struct.calcsize(_SCAN)
    found = array.array("Q", [0, 0, 0])  # room for one region
    address, _ = found.buffer_info()
    there = _PRESENT | _SWAPPED
    request = struct.pack(_SCAN, size, 0, first, first + length, 0, address, 1, 1, _FILE, _FILE, there, there | _FILE)
    return bool(fcntl.ioctl(pages, _PAGEMAP_SCAN, bytearray(request)) == 0)


_SCAN = "<12Q"
_PAGEMAP_SCAN = 0xC0606610
_FILE, _PRESENT, _SWAPPED = 4, 8, 16


def _read(pages: int, first: int, length: int) -> bool:
    """The same with the table of all pages (proc_pid_pagemap(5)), which takes twice as long."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    raw = os.pread(pages, 8 * (length // mmap.PAGESIZE), 8 * (first // mmap.PAGESIZE))
    # The upper bits: present, swapped, of a file.
    kinds = numpy.frombuffer(raw, "<u8") >> numpy.uint64(61)
    return len(kinds) == length // mmap.PAGESIZE and bool(((kinds == 5) | (kinds == 0)).all())


# References to a mapping that only its loan holds, counted as above.
_UNSEEN = _Loan(mmap.mmap(-1, mmap.PAGESIZE), 0, 0).references()
