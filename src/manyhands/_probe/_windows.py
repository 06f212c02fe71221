"""Counting lines in windows, some a second, for ``sys.settrace``: that cannot leave out single lines. What is missed is estimated.

How often a line runs is told from processor time. Tracing slows a program down ten times, and what a line takes without it is small
beside that: estimates of tight loops may be wrong by more than half, and say so.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from manyhands._probe._budgets import FIRST_BUDGET, adapted
from manyhands._probe._clock import Clock
from manyhands._probe._counts import Counter, News, Place
from manyhands._probe._estimates import QUICKEST, REMEMBERED, likely, spread
from manyhands._probe._looks import Looks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from manyhands._probe._cost import Measured

_MUCH = 100_000  # lines at first, so that what begins is seen whole
_COST_ERROR = 0.25  # how wrong the cost of counting a line may be
_SLOWED = 5  # times, a thread with a trace function that is not called
_CALL = 2  # what half a call takes, in lines


class Windowed(Counter):
    """Each line is counted until all together have run so often as the budget says. ``cost``: what counting one takes."""

    def __init__(self, no_more: object, cost: Measured, budget: int = 10 * FIRST_BUDGET, clock: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock or Clock()
        self._looks = Looks(self._clock)
        self._budget = budget
        self._left = 1
        self._is_slowed = False
        self._calls = 0  # that were told of in the window
        self._cost = cost
        self._begun: int | None = None  # when the first line ran
        self._closed: int | None = None
        self._rates: dict[Place, deque[float]] = {}
        self._opened = self._ended = self._clock()
        self.count = self._count

    def open(self) -> None:
        self._begun, self._closed, self._left = None, None, 1
        self._opened = self._clock()
        if isinstance(self._clock, Clock):
            self._clock.leave_out_this_thread()

    def looked(self, places: Callable[[], list[Place]]) -> None:
        self._looks.note(places())

    def _count(self, code: CodeType, line: int) -> object:
        self.files[code.co_filename][line] += 1
        self._left -= 1
        if self._left > 0:
            return None
        if self._begun is None:
            self._begun, self._left = self._clock(), self._budget
            self._calls = self.calls
            return None
        if self._closed is None:
            self._closed = self._clock()
            self._calls = self.calls - self._calls
            # The trace function of another thread is not taken away, and slows it down also where nothing is counted.
            self._is_slowed = threading.current_thread() is not threading.main_thread()
        return self._no_more

    def news(self) -> list[News]:
        closed, now = self._closed, self._clock()
        news = super().news()
        counted = sum(each.runs for each in news)
        if closed is not None:
            news += self._missed({(each.file, each.line): each.runs for each in news}, counted, closed, now)
        spent = (counted + (0 if closed is None else self._calls)) * self._cost.counting
        self._budget = adapted(self._budget, spent / max(now - self._ended, 1), is_short=closed is not None)
        self._opened = self._ended = now
        return news

    def _missed(self, counts: dict[Place, int], counted: int, closed: int, now: int) -> list[News]:
        spent = self._cost.counting * (counted + self._calls)
        begun = self._opened if self._begun is None else self._begun
        took, error = likely(closed - begun - spent, _COST_ERROR * spent, (counted + _CALL * self._calls) * self._cost.plain)
        lasted = max(took, counted * QUICKEST)
        gap = max(0, now - closed) + max(0, self._opened - self._ended)
        share = self._looks.share(counts)
        if self._is_slowed:
            gap //= _SLOWED
            share = share._replace(error=share.error + 1)
        news = []
        for place in counts.keys() | self._rates.keys():
            rates = self._rates.setdefault(place, deque(maxlen=REMEMBERED))
            rates.append(counts.get(place, 0) / lasted)
            most = rates[-1] * gap
            error_of_it, bias = spread(rates) * gap * share.value, most * (error / lasted + share.error)
            news.append(News(*place, round(most * share.value), 0, max(1, round(error_of_it)), round(bias)))
        return news


class Seen(Windowed):
    """Which lines have run, as far as windows show it: tracing slows down all that runs, also where nothing new can come."""

    def __init__(self, no_more: object, cost: Measured) -> None:
        super().__init__(no_more, cost, _MUCH)
        self._seen: set[Place] = set()

    def news(self) -> list[News]:
        found = [each for each in super().news() if (each.file, each.line) not in self._seen and not each.error]
        self._seen.update((each.file, each.line) for each in found)
        return [each._replace(runs=1) for each in found]
