"""Counting lines on a budget: each is counted as long as that costs little. What is missed is estimated by :mod:`._estimates`."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from manyhands._probe._counts import NO_LOOPS, Calls, Counter, News, Place, told_of
from manyhands._probe._estimates import Closing, Cost, Hot, Period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType

    from manyhands._probe._cost import Measured

FIRST_BUDGET = 2000
_LEAST, _MOST = 100, 100_000
_SHARE = 0.04  # of the processor's time may go into counting


class Budgeted(Counter):
    """Each line is counted until it has run so often as its budget says; what is missed until the next period is estimated.

    What a list holds is what is left of each line's budget. ``cost``: what counting one line takes.
    """

    def __init__(
        self, no_more: object, cost: Measured, budget: int = FIRST_BUDGET, clock: Callable[[], int] = time.process_time_ns
    ) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock
        self._budget = budget
        self._given: dict[str, list[int]] = {}
        self._closed: deque[tuple[_HotCode, Closing]] = deque()
        self._closed_places: set[tuple[str, int]] = set()  # of this period, and those that are not to be counted in it
        self._marks: list[tuple[list[int], int, int]] = []
        self._cost = Cost(cost)
        self._hot: dict[int, _HotCode] = {}  # by the identity of the code
        self._opened = self._ended = clock()
        self.count, self.jumped, self._favour = self._sparingly()

    def has_room(self, file: str, lines: int) -> bool:
        if not super().has_room(file, lines):
            return False
        given, left = self._given.setdefault(file, []), self.files[file]
        for line in range(len(given), len(left)):
            left[line] = self._budget
        given += [self._budget] * (len(left) - len(given))
        return True

    def is_closed(self, file: str, line: int) -> bool:
        return self.files[file][line] <= 0

    def favour(self, code: CodeType | None, loops: Mapping[int, int] = NO_LOOPS) -> None:
        self._favour(code, loops)

    def open(self, places: list[tuple[str, int]]) -> None:
        """A period tells something of the time around it only if one of the places comes again in it."""
        for hot in list(self._hot.values()):
            hot.open(self._given, self.files)
        self._opened = self._clock()
        # A line that rests is hot: a thread that is there is not on its way for long.
        is_hot = any(place in self._closed_places for place in places)
        self._marks = [] if is_hot else [(left, line, left[line]) for file, line in places if line < len(left := self.files.get(file, []))]

    def _sparingly(self) -> Calls:
        files, close = self.files, self._close
        favourite: CodeType | None = None
        favoured: list[int] = []
        favoured_loops = NO_LOOPS

        def count(code: CodeType, line: int) -> object:
            lines = favoured if code is favourite else files[code.co_filename]
            left = lines[line] = lines[line] - 1
            if left <= 0:
                return close(code, line)
            return None

        def jumped(code: CodeType, offset: int, to: int) -> object:
            if code is favourite and to in favoured_loops:
                line = favoured_loops[to]
                left = favoured[line] = favoured[line] - 1
                if left <= 0:
                    return close(code, line)
                return None
            return self.elsewhere(code, offset, to)

        def favour(code: CodeType | None, loops: Mapping[int, int]) -> None:
            nonlocal favourite, favoured, favoured_loops
            favourite = None
            if code is not None:
                favoured, favoured_loops = files[code.co_filename], loops
                favourite = code

        return Calls(count, jumped, favour)

    def _close(self, code: CodeType, line: int) -> object:
        place = code.co_filename, line
        if place not in self._closed_places:  # there may be several places in the code for one line
            self._closed_places.add(place)
            at = self._clock() - self._opened
            again = max((before - left[marked] for left, marked, before in self._marks), default=None)
            hot = self._hot.get(id(code)) or _HotCode(code, self._cost)
            counts = hot.counts(self._given, self.files)
            events = sum(
                each.weigh(each.counts(self._given, self.files), self.weights) for each in list(self._hot.values()) if each is not hot
            )
            self._closed.append((hot, Closing(line, at, events + hot.weigh(counts, self.weights), counts, again)))
            if all((hot.file, each) in self._closed_places for each in hot.told):
                # Lines of loops in one line are looked up at each turn, even where they are not told of.
                self.rest(code)
                return None
        return self._no_more

    def news(self) -> list[News]:
        partly: dict[str, set[int]] = {}
        for file, line in list(self._closed_places):
            partly.setdefault(file, set()).add(line)
        closings = self._take_closed()
        now = self._clock()
        counts = dict(self._take())
        events = sum(count * self.weights.get(place, 1.0) for place, count in counts.items())
        news = [News(file, line, count) for (file, line), count in counts.items()]
        period = Period(now - self._opened, self._opened - self._ended, events, {})
        for number, hot in list(self._hot.items()):
            news += hot.missed(period._replace(closed=partly.get(hot.file, ())), counts, closings.get(number, ()))
        spent = events * self._cost.value / max(now - self._ended, 1)
        self._budget = adapted(self._budget, spent, is_short=bool(closings))
        self._refill(counts)
        self._opened = self._ended = now
        return news

    def _take_closed(self) -> dict[int, list[Closing]]:
        found: dict[int, list[Closing]] = {}
        while self._closed:
            hot, closing = self._closed.popleft()
            self._hot.setdefault(id(hot.code), hot)
            if closing.line in closing.counts:  # else the period ended just then: all that was counted belongs to it
                found.setdefault(id(hot.code), []).append(closing)
        return found

    def _take(self) -> Iterator[tuple[Place, int]]:
        """What has been counted since the last time."""
        for file, left in list(self.files.items()):
            now, given = left[:], self._given[file]
            if now != given:
                for line, after in enumerate(now):
                    before = given[line]
                    if before != after:
                        given[line] = after
                        yield (file, line), before - after

    def _refill(self, counts: dict[Place, int]) -> None:
        """Give all lines their budgets, but for those that are not to be counted in the next period."""
        self.again = [hot.code for hot in self._hot.values()]
        budgets = dict.fromkeys(counts, self._budget)
        for number, hot in list(self._hot.items()):
            budgets |= hot.budgets(self._budget)
            if not hot.estimates.lines:
                del self._hot[number]
        self._closed_places = {place for place, budget in budgets.items() if not budget}
        for (file, line), budget in budgets.items():
            change = budget - self._given[file][line]
            self._given[file][line] += change
            self.files[file][line] += change  # it may have run meanwhile


class _HotCode:
    """Code whose lines have been closed; it is kept as long as that is so."""

    def __init__(self, code: CodeType, cost: Cost) -> None:
        self.code = code
        self.estimates = Hot(cost)
        self.file = code.co_filename
        self._lines = sorted({line for _, _, line in code.co_lines() if line is not None})
        self.told = told_of(code)
        self._before: dict[int, int] = {}  # what was counted in a period before it was opened

    def open(self, given: dict[str, list[int]], left: dict[str, list[int]]) -> None:
        """A period begins."""
        self._before = {}
        self._before = self.counts(given, left)

    def counts(self, given: dict[str, list[int]], left: dict[str, list[int]]) -> dict[int, int]:
        """How often its lines have been counted since."""
        of_file, rest, before = given[self.file], left[self.file], self._before
        return {line: count for line in self._lines if (count := of_file[line] - rest[line] - before.get(line, 0))}

    def weigh(self, counts: dict[int, int], weights: dict[Place, float]) -> float:
        """What these cost, in lines."""
        return sum(count * weights.get((self.file, line), 1.0) for line, count in counts.items())

    def missed(self, period: Period, counts: dict[Place, int], closings: Iterable[Closing]) -> Iterator[News]:
        """What was missed in a period."""
        own = {line: count for line in self._lines if (count := counts.get((self.file, line)))}
        for line, (runs, error, bias) in self.estimates.turn(period._replace(counts=own), closings).items():
            if runs >= 1 or error >= 1:
                yield News(self.file, line, round(runs), 0, max(1, round(error)), round(bias))

    def budgets(self, budget: int) -> dict[Place, int]:
        """Of those that have been closed, for the next period."""
        lines, reference = self.estimates.lines, self.estimates.reference
        if not self.estimates.is_sparse:
            return {(self.file, line): budget for line in lines}
        return {(self.file, line): budget * len(lines) if line == reference else 0 for line in lines}


def adapted(budget: int, spent: float, *, is_short: bool) -> int:
    """The budget of the next window, if counting has taken that share of the processor's time."""
    if spent <= _SHARE and not is_short:
        return budget
    return round(min(_MOST, max(_LEAST, budget * min(2.0, _SHARE / max(spent, 1e-9)))))
