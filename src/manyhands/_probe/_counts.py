"""How often lines have run, by file and line: what is called for each line, and what is told of it.

Counts are in plain lists, one for each file, by line number. They are written by whatever thread runs a line, and read by the one that samples:
Python's lock is only given up at the end of a call and where a loop goes back, and there is neither between reading a count and writing it.
No code object is a key anywhere: its hash, which is one of all of its byte code, takes longer than all else.

A counter of a level is called with a code object and a line, as ``sys.monitoring`` does it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from manyhands._probe._estimates import Closing, Estimates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

    from manyhands._probe._estimates import Missed, Place

_LONGEST = 1_000_000  # lines of a file
_FIRST_BUDGET = 2000
_LEAST, _MOST = 100, 100_000
_SHARE = 0.04  # of the processor time may go into counting


class News(NamedTuple):
    """A line has run ``count`` times more, at ``at``, or just now if that is 0.

    Attributes:
        error: one standard deviation of what is estimated of that; 0: it is exact.
        bias: by how much it may be wrong in the same direction each time.
    """

    file: str
    line: int
    count: int
    at: int = 0
    error: int = 0
    bias: int = 0


class Counter:
    """What all levels have in common.

    Attributes:
        files: by name; the lists only grow, in place.
        count: called for each line.
        again: code whose lines are to be counted again.
    """

    count: Callable[[CodeType, int], object]

    def __init__(self) -> None:
        self.files: dict[str, list[int]] = {}
        self.again: list[CodeType] = []
        self._told: dict[str, list[int]] = {}

    def has_room(self, file: str, lines: int) -> bool:
        """Whether a file's lines up to that one can be counted."""
        counts = self.files.get(file)
        if counts is None:
            counts = self.files[file] = []
        missing = lines + 1 - len(counts)
        if missing > 0:
            if lines >= _LONGEST:
                return False
            counts += [0] * missing
        return True

    def favour(self, code: CodeType | None) -> None:
        """The code that runs most, as far as is known; it is looked for first."""

    def open(self, places: list[tuple[str, int]]) -> None:
        """A window opens: all lines are counted again. Threads are just now at these places."""

    def news(self) -> list[News]:
        """What has not been told yet; that is the end of a window. Code in :attr:`again` has to be armed for the next one.

        For one thread at a time.
        """
        return list(self._differences())

    def _differences(self) -> Iterator[News]:
        for file, counts in list(self.files.items()):
            now = counts[:]
            told = self._told.get(file)
            if now == told:
                continue
            told = self._told.setdefault(file, [])
            told += [0] * (len(now) - len(told))
            for line, count in enumerate(now):
                if count != told[line]:
                    yield News(file, line, count - told[line])
                    told[line] = count


class Exact(Counter):
    """Each line is counted each time."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self._favour = _exactly(self.files)

    def favour(self, code: CodeType | None) -> None:  # noqa: D102 - as above
        self._favour(code)


def _exactly(files: dict[str, list[int]]) -> tuple[Callable[[CodeType, int], object], Callable[[CodeType | None], None]]:
    favourite: CodeType | None = None
    favoured: list[int] = []

    def count(code: CodeType, line: int) -> None:
        if code is favourite:
            favoured[line] += 1
        else:
            files[code.co_filename][line] += 1

    def favour(code: CodeType | None) -> None:
        nonlocal favourite, favoured
        # In this order no line is counted in another file, wherever the thread is stopped.
        favourite = None
        if code is not None:
            favoured = files[code.co_filename]
            favourite = code

    return count, favour


class Touch(Counter):
    """Which lines have run, and when first. ``no_more``: what tells that a place in the code is not to be asked about again."""

    def __init__(self, no_more: object) -> None:
        super().__init__()
        files = self.files
        self._first: deque[tuple[str, int, int, int]] = deque()
        first = self._first

        def count(code: CodeType, line: int) -> object:
            file = code.co_filename
            if not files[file][line]:
                files[file][line] = 1
                first.append((file, line, 1, time.monotonic_ns()))
            return no_more

        self.count = count

    def news(self) -> list[News]:  # noqa: D102 - as above
        return [News(*self._first.popleft()) for _ in range(len(self._first))]


class Budgeted(Counter):
    """Each line is counted until it has run so often as its budget says; what is missed until the window opens again is estimated.

    What a list holds is what is left of each line's budget. ``cost``: nanoseconds that counting one line takes.
    """

    def __init__(self, no_more: object, cost: float, budget: int = _FIRST_BUDGET, clock: Callable[[], int] = time.process_time_ns) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock
        self._budget = budget
        self._given: dict[str, list[int]] = {}
        self._closed: deque[tuple[CodeType, Closing]] = deque()
        self._closed_places: set[tuple[str, int]] = set()
        self._marks: list[tuple[list[int], int, int]] = []
        self._estimates = Estimates(cost)
        self._cost = cost
        self._opened = self._ended = clock()
        self.count, self._favour = self._sparingly()

    def has_room(self, file: str, lines: int) -> bool:  # noqa: D102 - as above
        if not super().has_room(file, lines):
            return False
        given, left = self._given.setdefault(file, []), self.files[file]
        for line in range(len(given), len(left)):
            left[line] = self._budget
        given += [self._budget] * (len(left) - len(given))
        return True

    def favour(self, code: CodeType | None) -> None:  # noqa: D102 - as above
        self._favour(code)

    def open(self, places: list[tuple[str, int]]) -> None:
        """What a window tells holds for the time until the next one only if one of the places came again in it."""
        self._opened = self._clock()
        self._marks = [(left, line, left[line]) for file, line in places if line < len(left := self.files.get(file, []))]

    def _sparingly(self) -> tuple[Callable[[CodeType, int], object], Callable[[CodeType | None], None]]:
        files, close = self.files, self._close
        favourite: CodeType | None = None
        favoured: list[int] = []

        def count(code: CodeType, line: int) -> object:
            lines = favoured if code is favourite else files[code.co_filename]
            left = lines[line] = lines[line] - 1
            if left <= 0:
                return close(code, line)
            return None

        def favour(code: CodeType | None) -> None:
            nonlocal favourite, favoured
            favourite = None
            if code is not None:
                favoured = files[code.co_filename]
                favourite = code

        return count, favour

    def _close(self, code: CodeType, line: int) -> object:
        place = code.co_filename, line
        if place not in self._closed_places:  # there may be several places in the code for one line
            self._closed_places.add(place)
            again = max((before - left[at] for left, at, before in self._marks), default=None)
            self._closed.append((code, Closing(*place, self._clock(), again)))
        return self._no_more

    def news(self) -> list[News]:  # noqa: D102 - as above
        closed = list(self._take_closed())
        now = self._clock()
        counts = dict(self._refill())
        missed = self._estimates.missed(counts, closed, self._opened, now, self._opened - self._ended)
        spent = sum(counts.values()) * self._cost / max(now - self._ended, 1)
        self._budget = adapted(self._budget, spent, is_short=bool(closed))
        self._opened = self._ended = now
        return list(_all_news(counts, missed))

    def _take_closed(self) -> Iterator[Closing]:
        self.again = []
        while self._closed:
            code, closing = self._closed.popleft()
            self._closed_places.discard((closing.file, closing.line))
            if not any(code is other for other in self.again):
                self.again.append(code)
            yield closing

    def _refill(self) -> Iterator[tuple[tuple[str, int], int]]:
        budget = self._budget
        for file, left in list(self.files.items()):
            now, given = left[:], self._given[file]
            if now == given:
                continue
            for line, after in enumerate(now):
                before = given[line]
                if before != after:
                    left[line] += budget - after  # it may have run meanwhile
                    given[line] = budget
                    yield (file, line), before - after


class Windowed(Counter):
    """Each line is counted until all together have run so often as the budget says: for ``sys.settrace``, which cannot leave out single lines.

    ``cost``: nanoseconds that counting one line takes.
    """

    def __init__(self, no_more: object, cost: float, budget: int = _FIRST_BUDGET, clock: Callable[[], int] = time.process_time_ns) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock
        self._budget = self._left = budget
        self._closed: tuple[int, int | None] | None = None
        self._marks: list[tuple[list[int], int, int]] = []
        self._estimates = Estimates(cost)
        self._cost = cost
        self._opened = self._ended = clock()
        self.count = self._count

    def open(self, places: list[tuple[str, int]]) -> None:  # noqa: D102 - as above
        self._marks = [(counts, line, counts[line]) for file, line in places if line < len(counts := self.files.get(file, []))]
        self._closed, self._left = None, self._budget
        self._opened = self._clock()

    def _count(self, code: CodeType, line: int) -> object:
        self.files[code.co_filename][line] += 1
        self._left -= 1
        if self._left <= 0:
            if self._closed is None:
                again = max((counts[at] - before for counts, at, before in self._marks), default=None)
                self._closed = self._clock(), again
            return self._no_more
        return None

    def news(self) -> list[News]:  # noqa: D102 - as above
        closed, now = self._closed, self._clock()
        counts = {(news.file, news.line): news.count for news in self._differences()}
        closings = [] if closed is None else [Closing(*place, *closed) for place in counts.keys() | self._estimates.known()]
        missed = self._estimates.missed(counts, closings, self._opened, now, self._opened - self._ended)
        spent = sum(counts.values()) * self._cost / max(now - self._ended, 1)
        self._budget = adapted(self._budget, spent, is_short=closed is not None)
        self._opened = self._ended = now
        return list(_all_news(counts, missed))


def adapted(budget: int, spent: float, *, is_short: bool) -> int:
    """The budget of the next window, if counting has taken that share of the processor's time."""
    if spent <= _SHARE and not is_short:
        return budget
    return round(min(_MOST, max(_LEAST, budget * min(2.0, _SHARE / max(spent, 1e-9)))))


def _all_news(counts: dict[Place, int], missed: dict[Place, Missed]) -> Iterator[News]:
    for (file, line), count in counts.items():
        yield News(file, line, count)
    for (file, line), (count, error, bias) in missed.items():
        if count >= 1 or error >= 1:
            yield News(file, line, round(count), 0, max(1, round(error)), round(bias))
