"""Tasks of a run over time, by worker. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

FAILED, CACHED = 1, 2  # flags
_FACTOR = 8  # of the length of a bucket, from one level to the next
_LEVELS = 9
_SHORTEST = 10_000  # nanoseconds of a bucket of the lowest level


class Bar(NamedTuple):
    """Tasks that are drawn as one.

    Attributes:
        begin, end: in nanoseconds.
        busy: nanoseconds of tasks in between.
        count: how many tasks.
        function: of the task that took longest.
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


class _Level:
    """Bars, in order: no two of them end in the same bucket."""

    __slots__ = ("begin", "busy", "end", "first", "length", "longest", "what")

    def __init__(self, length: int) -> None:
        self.length = length
        self.begin, self.end, self.busy = array("Q"), array("Q"), array("Q")
        self.what, self.first = array("Q"), array("Q")  # function << 40 | how many << 8 | flags
        self.longest = 0  # nanoseconds of the one task that the last bar is named for

    def add(self, bar: Bar) -> None:
        if self.end and self.length and self.end[-1] // self.length == bar.end // self.length:
            self._merge(bar)
            return
        self.begin.append(bar.begin)
        self.end.append(bar.end)
        self.busy.append(bar.busy)
        self.what.append(_packed(bar.function, bar.count, bar.flags))
        self.first.append(bar.first)
        self.longest = bar.end - bar.begin

    def _merge(self, bar: Bar) -> None:
        what = self.what[-1]
        function, count, flags = what >> 40, what >> 8 & 0xFFFFFFFF, what & 0xFF
        if bar.end - bar.begin > self.longest:
            function, self.longest = bar.function, bar.end - bar.begin
        self.begin[-1] = min(self.begin[-1], bar.begin)
        self.end[-1] = bar.end
        self.busy[-1] += bar.busy
        self.what[-1] = _packed(function, count + bar.count, flags | bar.flags)

    def bars(self, begin: int, end: int) -> list[Bar]:
        found = []
        for index in range(bisect_left(self.end, begin), len(self.end)):
            what = self.what[index]
            bar = Bar(
                self.begin[index], self.end[index], self.busy[index], what >> 8 & 0xFFFFFFFF, what >> 40, what & 0xFF, self.first[index]
            )
            if bar.begin < end:
                found.append(bar)
            elif bar.begin - end > self.length:
                break
        return found


def _packed(function: int, count: int, flags: int) -> int:
    return function << 40 | min(count, 0xFFFFFFFF) << 8 | flags


class Timeline:
    """Tasks of one worker: as they were, and at levels of detail, each of which has buckets eight times as long as the one before.

    Of a million tasks, it takes 40 bytes each for the lowest level, and little for the others.

    Attributes:
        count: how many tasks.
    """

    def __init__(self) -> None:
        self._levels = [_Level(0), *(_Level(_SHORTEST * _FACTOR**n) for n in range(_LEVELS))]
        self.count = 0

    def __len__(self) -> int:
        return len(self._levels[0].end)

    def add(
        self, begin: int, end: int, *, count: int = 1, function: int = 0, flags: int = 0, first: int = 0, busy: int | None = None
    ) -> None:
        """Tasks have ended. Whatever tells of it, they are kept in the order of their ends."""
        self.count += count
        last = self._levels[0].end[-1] if len(self) else 0
        end = max(end, last)
        bar = Bar(min(begin, end), end, end - begin if busy is None else busy, count, function, flags, first)
        for level in self._levels:
            level.add(bar)

    def bars(self, begin: int, end: int, width: int) -> list[Bar]:
        """What is between two times, in as much detail as a picture of so many pixels can show."""
        pixel = max(1, (end - begin) // max(1, width))
        level = self._levels[0]
        for coarser in self._levels[1:]:
            if coarser.length > pixel:
                break
            level = coarser
        return level.bars(begin, end)
