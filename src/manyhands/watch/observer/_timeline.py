"""Tasks of a run over time, by worker. Pure.

Each task takes 40 bytes, and another 6 in blocks: eight tasks make a block, eight blocks a larger one, and so on. A picture is made of the
largest blocks that are narrower than a pixel of it, so that it takes as long as it is wide, however many tasks there are.
"""

from __future__ import annotations

import functools
import operator
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from manyhands.watch.observer._usage import Lately

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED, CACHED = 1, 2  # flags
_TOGETHER = 8
_SHIFT = 3  # of the number of a task, to that of its block
_MOST = (1 << 32) - 1


class Bar(NamedTuple):
    """Tasks that are drawn as one.

    Attributes:
        begin, end: in nanoseconds.
        busy: nanoseconds of tasks in between.
        count: how many tasks.
        function: of those of them that took longest together.
        flags: of any of them.
        first: the number of the first of them.
    """

    begin: int
    end: int
    busy: int
    count: int  # type: ignore[assignment] # the field, not the method of tuples
    function: int
    flags: int
    first: int


def merged(bars: list[Bar]) -> Bar:
    """One in the place of several, which are in order."""
    begin, end, busy, count, function, flags, first = bars[0]
    if len(bars) == 1:
        return bars[0]
    longest = busy
    for bar in bars[1:]:
        begin = min(begin, bar.begin)
        end = bar.end
        busy += bar.busy
        count += bar.count
        flags |= bar.flags
        if bar.busy > longest:
            longest, function = bar.busy, bar.function
    return Bar(begin, end, busy, min(_MOST, count), function, flags, first)


class _Row:
    """Bars, in the order of their ends."""

    __slots__ = ("begin", "busy", "end", "first", "what")

    def __init__(self) -> None:
        self.begin, self.end, self.busy = array("Q"), array("Q"), array("Q")
        self.what, self.first = array("Q"), array("Q")  # function << 40 | how many << 8 | flags

    def __len__(self) -> int:
        return len(self.end)

    def add(self, begin: int, end: int, busy: int, what: int, first: int) -> None:
        """One bar more, as it is stored: for each task, and each block, no object is made."""
        self.begin.append(begin)
        self.end.append(end)
        self.busy.append(busy)
        self.what.append(what)
        self.first.append(first)

    def block(self) -> tuple[int, int, int, int, int]:
        """The last bars as one, as it is stored: what :func:`merged` makes of them."""
        busy, what = self.busy[-_TOGETHER:], self.what[-_TOGETHER:]
        count = sum([each >> 8 & _MOST for each in what])
        function = what[busy.index(max(busy))] >> 40
        flags = functools.reduce(operator.or_, what) & 0xFF
        packed = function << 40 | min(count, _MOST) << 8 | flags
        return min(self.begin[-_TOGETHER:]), self.end[-1], sum(busy), packed, self.first[-_TOGETHER]

    def __getitem__(self, index: int) -> Bar:
        what = self.what[index]
        return Bar(self.begin[index], self.end[index], self.busy[index], what >> 8 & _MOST, what >> 40, what & 0xFF, self.first[index])


class Timeline:
    """Tasks of one worker.

    Attributes:
        count: how many tasks.
        busy: nanoseconds in them.
        lately: which share of the time it has been at them.
    """

    def __init__(self) -> None:
        self._rows = [_Row()]  # tasks, blocks of them, blocks of blocks
        self.count = 0
        self.busy = 0
        self.lately = Lately()

    def __len__(self) -> int:
        return len(self._rows[0])

    @property
    def function(self) -> int:
        """Of the last of them, if there is any."""
        return self._rows[0].what[-1] >> 40

    @property
    def begin(self) -> int:
        """When the first of them began."""
        return self._rows[0].begin[0] if len(self) else 0

    @property
    def end(self) -> int:
        """When the last of them ended."""
        ends = self._rows[0].end
        return ends[-1] if ends else 0

    def add(
        self, begin: int, end: int, *, count: int = 1, function: int = 0, flags: int = 0, first: int = 0, busy: int | None = None
    ) -> None:
        """Tasks have ended. Whatever tells of it, they are kept in the order of their ends."""
        row = self._rows[0]
        if row.end and end < row.end[-1]:
            end = row.end[-1]
        if begin > end:
            begin = end
        took = end - begin if busy is None else busy
        self.count += count
        self.busy += took
        self.lately.note(begin, end, took)
        row.add(begin, end, took, function << 40 | (count if count < _MOST else _MOST) << 8 | flags, first)
        if not len(row.end) % _TOGETHER:
            self._make_blocks()

    def _make_blocks(self) -> None:
        level = 0
        while len(self._rows[level]) % _TOGETHER == 0:
            block = self._rows[level].block()
            level += 1
            if level == len(self._rows):
                self._rows.append(_Row())
            self._rows[level].add(*block)

    def tasks(self) -> Iterator[Bar]:
        """All of them, in the order of their ends; those that were told of together as one."""
        row = self._rows[0]
        for index in range(len(row)):
            yield row[index]

    def bars(self, begin: int, end: int, width: int) -> list[Bar]:
        """What is between two times, in as much detail as a picture of so many pixels can show."""
        return list(self.drawn(begin, end, width))

    def drawn(self, begin: int, end: int, width: int) -> Iterator[Bar]:
        """The same, one after the other."""
        pixel = max(1, (end - begin) // max(1, width))
        waiting: list[Bar] = []  # what is to be drawn as one
        for bar in self._narrow(begin, end, pixel):
            if waiting and bar.end - waiting[0].begin > pixel:
                yield merged(waiting)
                waiting.clear()
            waiting.append(bar)
        if waiting:
            yield merged(waiting)

    def _narrow(self, begin: int, end: int, pixel: int) -> Iterator[Bar]:
        """Tasks, and blocks that are no wider than a pixel."""
        tasks = self._rows[0]
        at = bisect_right(tasks.end, begin)
        if at and at == len(tasks) and tasks.end[-1] == begin:
            return
        while at < len(tasks) and tasks.begin[at] < end:
            level = 0
            while level + 1 < len(self._rows) and self._is_narrow(at, level + 1, pixel):
                level += 1
            yield self._rows[level][at >> _SHIFT * level]
            at += 1 << _SHIFT * level

    def _is_narrow(self, at: int, level: int, pixel: int) -> bool:
        """Whether a block of a level begins with a task, is whole, and no wider than a pixel."""
        row, index = self._rows[level], at >> _SHIFT * level
        return index << _SHIFT * level == at and index < len(row) and row.end[index] - row.begin[index] <= pixel
