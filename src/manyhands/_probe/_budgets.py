"""Counting lines on a budget: each is counted as long as that costs little. What is missed is estimated by :mod:`._estimates`."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from manyhands._probe._clock import Clock
from manyhands._probe._counts import NO_LOOPS, Calls, Counter, News, Place, told_of
from manyhands._probe._estimates import Closing, Cost, Hot, Period, Spent
from manyhands._probe._looks import Looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType

    from manyhands._probe._cost import Measured

FIRST_BUDGET = 5000
_LEAST, _MOST = 400, 100_000
_SHARE = 0.04  # of the processor's time may go into counting
_WAITING = 0.1  # so much of all time counts as well: what works in short bursts and waits in between has to be seen, too
_ALONG = 0.01  # so often for each run of a line, others run along with it
_NOTHING = Spent(0, 0.0, {}, {})


class Budgeted(Counter):
    """Each line is counted until it has run so often as its budget says; what is missed until the next period is estimated.

    What a list holds is what is left of each line's budget. ``cost``: what counting one line takes.
    """

    def __init__(self, no_more: object, cost: Measured, budget: int = FIRST_BUDGET, clock: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock or Clock()
        self._looks = Looks(self._clock)
        self._budget = budget
        self._given: dict[str, list[int]] = {}
        self._closed: deque[tuple[_HotCode, Closing]] = deque()
        self._closed_places: set[tuple[str, int]] = set()  # of this period, and those that are not to be counted in it
        self._halves: dict[Place, Spent] = {}  # where the second part of a budget begins
        self._cost = Cost(cost)
        self._hot: dict[int, _HotCode] = {}  # by the identity of the code
        self._opened = self._ended = self._clock()
        self._refilled = time.monotonic_ns()
        self.count, self.jumped, self._favour = self._sparingly()

    def has_room(self, file: str, lines: int) -> bool:
        if not super().has_room(file, lines):
            return False
        given, left = self._given.setdefault(file, []), self.files[file]
        half = _half(self._budget)
        for line in range(len(given), len(left)):
            left[line] = half
        given += [half] * (len(left) - len(given))
        return True

    def is_closed(self, file: str, line: int) -> bool:
        return self.files[file][line] <= 0

    def favour(self, code: CodeType | None, loops: Mapping[int, int] = NO_LOOPS) -> None:
        self._favour(code, loops)

    def open(self) -> None:
        for hot in list(self._hot.values()):
            hot.open(self._given, self.files)
        self._opened = self._clock()
        if isinstance(self._clock, Clock):
            self._clock.leave_out_this_thread()

    def looked(self, places: Callable[[], list[Place]]) -> None:
        self._looks.note(places())

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
        given, left = self._given[place[0]], self.files[place[0]]
        if place not in self._halves and place not in self._closed_places:
            self._halves[place] = _NOTHING
            # What was given to it is given again, so that it is seen what it takes from here on. No other thread runs in between.
            more = given[line]
            given[line] += more
            left[line] += more
            half = self._spent(code)[1]
            self._halves[place] = half._replace(at=self._clock() - self._opened)  # from here on: that took some time
            return None
        if place not in self._closed_places:  # there may be several places in the code for one line
            if left[line] > 0:  # another thread was here
                return None
            self._closed_places.add(place)
            hot, spent = self._spent(code)
            self._closed.append((hot, Closing(line, spent, self._halves.get(place, _NOTHING))))
            if all((hot.file, each) in self._closed_places for each in hot.told):
                # Lines of loops in one line are looked up at each turn, even where they are not told of.
                self.rest(code)
                return None
        return self._no_more

    def _spent(self, code: CodeType) -> tuple[_HotCode, Spent]:
        at = self._clock() - self._opened
        hot = self._hot.get(id(code)) or _HotCode(code, self._cost)
        counts = hot.counts(self._given, self.files)
        along = {number: each.counts(self._given, self.files) for number, each in list(self._hot.items()) if each is not hot}
        events = sum(self._hot[number].weigh(each, self.weights) for number, each in along.items() if number in self._hot)
        runs = {number: sum(each.values()) for number, each in along.items()}
        return hot, Spent(at, events + hot.weigh(counts, self.weights), counts, runs)

    def news(self) -> list[News]:
        partly: dict[str, set[int]] = {}
        for file, line in list(self._closed_places):
            partly.setdefault(file, set()).add(line)
        closings = self._take_closed()
        now = self._clock()
        counts = dict(self._take())
        events = sum(count * self.weights.get(place, 1.0) for place, count in counts.items())
        news = [News(file, line, count) for (file, line), count in counts.items()]
        period = Period(now - self._opened, max(0, self._opened - self._ended), events, {})
        for number, hot in list(self._hot.items()):
            share = self._looks.share(self._along(hot, closings))
            of_code = period._replace(closed=partly.get(hot.file, ()), share=share)
            news += hot.missed(of_code, counts, closings.get(number, ()))
        told = time.monotonic_ns()
        spent = events * self._cost.value / max(now - self._ended + _WAITING * (told - self._refilled), 1)
        self._budget = adapted(self._budget, spent, is_short=bool(closings))
        self._refill(counts)
        self._opened = self._ended = now
        self._refilled = told
        return news

    def _along(self, hot: _HotCode, closings: dict[int, list[Closing]]) -> set[Place]:
        """Hot lines of a code, and of others that run along with it."""
        own = closings.get(id(hot.code), [])
        runs = sum(closing.runs for closing in own)
        numbers = {number for closing in own for number, along in closing.along().items() if along >= max(1.0, _ALONG * runs)}
        found = set()
        for each in (hot, *(self._hot[number] for number in numbers if number in self._hot)):
            closed = (closing.line for closing in closings.get(id(each.code), ()))
            found |= {(each.file, line) for line in (*each.estimates.lines, *closed)}
        return found

    def _take_closed(self) -> dict[int, list[Closing]]:
        found: dict[int, list[Closing]] = {}
        while self._closed:
            hot, closing = self._closed.popleft()
            self._hot.setdefault(id(hot.code), hot)
            if closing.line in closing.end.counts:  # else the period ended just then: all that was counted belongs to it
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
        self._halves.clear()
        budgets = dict.fromkeys(counts, self._budget)
        for number, hot in list(self._hot.items()):
            budgets |= hot.budgets(self._budget)
            if not hot.estimates.lines:
                del self._hot[number]
        self._closed_places = {place for place, budget in budgets.items() if not budget}
        for (file, line), budget in budgets.items():
            change = (_half(budget) if budget else 0) - self._given[file][line]
            self._given[file][line] += change
            self.files[file][line] += change  # it may have run meanwhile


def _half(budget: int) -> int:
    """It is given in two parts."""
    return max(1, budget // 2)


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
            # Also where that is none: what was not counted all the time is not exact.
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
