"""Memory that a watched process shares with the observer: figures in words, and a ring of records.

Any thread of the process may write, with no lock. A record's number is given out by a counter, which Python's lock makes atomic; the number
is in the record's last word, so the reader sees one that is not written yet, or that has been written over. ``HEAD`` is a hint of how far
the writers are: it may go back for a moment when two threads write at once.

The assumptions about memory are those of :mod:`manyhands._wire._slot`.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from manyhands._wire import _posix

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 2
RECORDS = 1 << 14
MANY = 1 << 17  # for a program, which tells of all tasks, also while the observer gets no processor for seconds; the unused take none
_RECORD = struct.Struct("<8Q")
_HEADER = 4096
_SIZES = {_HEADER + records * _RECORD.size: records for records in (RECORDS, MANY)}
_AT_ONCE = 256  # records that are copied together
_MASK = (1 << 64) - 1

# Words of the header.
HEAD = 0  # how many records have been begun
PID = 1
STARTED = 2  # when the probe was, in nanoseconds of the monotonic clock
LOOKED = 3  # when the sampler looked last
COST = 4  # processor time that the probe has taken, in nanoseconds
LEVEL = 5  # how lines are counted, see LEVELS
TASK = 6  # number of the task that runs, of those that this process has been given; 0: none
TASK_SINCE = 7
TASKS = 8  # that have ended
BUSY = 9  # nanoseconds in tasks that have ended
UNSAID = 10  # texts that could not be sent, because the observer was behind
FIGURES = 16

LEVELS = ("off", "sample", "touch", "auto", "exact")

# Kinds of records, and what their words are; times are nanoseconds of the monotonic clock, texts and stacks numbers of :mod:`._naming`.
SAMPLE = 1  # thread, stack, processor time of the thread since the last one, task of the main thread, 1 if it is at one of its own
THREAD = 2  # thread, its name (text), 1 if it has ended, its identity in Python
LINES = 3  # file (code without a name), line, runs since the last record of it; of an estimate, standard deviation (else 0) and bias
# Tasks that took less than a millisecond may be told of together. A worker is a process id, or, of a thread that runs tasks, its number.
CALL_BEGUN = 6  # call, function (text), how many tasks + 1 (0: not known), workers, backend (text)
CALL_ENDED = 7  # call, 1 if by an error
TASKS_DONE = 8  # call (0: none), first << 32 | how many, worker << 32 | function (text), begun when, nanoseconds in them
TASK_FAILED = 9  # call, index << 16 | attempt << 1 | 1 if another follows, error (text), worker << 32 | function (text), begun when
WORKER_BEGUN = 10  # thread, its name (text): it runs tasks
WORKER_ENDED = 11  # pid, 1 if that was meant, how (text)
PROGRESS = 12  # call, done << 32 | failed, bytes sent, bytes received, nanoseconds preparing << 32 in ms | collecting in ms
CACHE = 13  # function (text), hits << 32 | misses, nanoseconds saved, nanoseconds computing; since the last record of it
SHARED = 14  # object (text), calls, waits, nanoseconds waited; since the last record of it
LEDGER = 15  # call, tasks submitted, when the first began, ms the program was elsewhere, tasks in a message << 2 | 1 fixed << 1 | 1 hired
SPARED = 17  # call, bytes that were sent and did not have to be moved
PAUSED = 18  # worker, 1 if it is paused from now on, 0 if it goes on
RUNNING = 16  # worker, call << 32 | index, function (text), arguments (text; 0: not shown), attempt; its time is when it began


class Record(NamedTuple):
    """Something that has happened, at a time."""

    kind: int
    at: int
    a: int
    b: int
    c: int
    d: int
    e: int


class Writer:
    """The watched process's side."""

    def __init__(self, level: int = 1, records: int = RECORDS) -> None:
        size = _HEADER + records * _RECORD.size
        self._records = records
        self.fd = _posix.anonymous_memory(size)
        try:
            self._map = _posix.map_shared(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        self.words = memoryview(self._map)[: FIGURES * 8].cast("Q")
        self._next = itertools.count().__next__
        self.words[PID], self.words[STARTED], self.words[LEVEL] = os.getpid(), time.monotonic_ns(), level

    def write(self, kind: int, at: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> None:
        """Add a record. What is below 0 or above 64 bits raises ``struct.error``: it is a fault of ours."""
        number = self._next()
        _pack(self._map, _HEADER + (number % self._records) * 64, at, a, b, c, d, e, kind, number + 1)
        self.words[HEAD] = number + 1

    def forget(self) -> None:
        """Give back the descriptor, when the observer has its own. The memory goes with this object: threads may still write to it."""
        os.close(self.fd)


_pack = _RECORD.pack_into


class Reader:
    """The observer's side.

    Attributes:
        lost: records that were written over before they were read.
    """

    def __init__(self, fd: int) -> None:
        """``fd`` can be closed.

        Raises:
            ValueError, OSError: it is no such memory.
        """
        size = os.fstat(fd).st_size
        if size not in _SIZES:
            raise ValueError("not the memory of a probe")
        self._records = _SIZES[size]
        # The writer may be anybody of this user's: nothing is read twice that is to be the same.
        self._map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        self._words = memoryview(self._map)[: FIGURES * 8].cast("Q")
        self._at = 0
        self.lost = 0

    def figures(self) -> tuple[int, ...]:
        """The words of the header."""
        return tuple(self._words)

    def read(self) -> Iterator[Record]:
        """What has been written since the last time, in order. Ends where a writer has not finished."""
        head = self._words[HEAD]
        if head - self._at > self._records:
            self._skip_to(head - self._records)
        while self._at < head:
            place = self._at % self._records
            begin = _HEADER + place * 64
            copied = self._map[begin : begin + min(head - self._at, self._records - place, _AT_ONCE) * 64]
            kept = self._words[HEAD] - self._records  # what comes before that has been written over, perhaps while it was copied
            for *fields, kind, number in _RECORD.iter_unpack(copied):
                if number <= self._at:  # not there yet
                    return
                if number > self._at + 1 or self._at < kept:
                    self._skip_to(max(self._at + 1, kept + self._records // 8))
                    break
                self._at += 1
                yield Record(kind, *fields)

    def _skip_to(self, number: int) -> None:
        self.lost += number - self._at
        self._at = number

    def close(self) -> None:
        """Unmap it."""
        self._words.release()
        self._map.close()
