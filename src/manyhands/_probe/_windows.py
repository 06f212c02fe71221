"""Counting lines in windows, some a second, for ``sys.settrace``: that cannot leave out single lines. What is missed is estimated.

How often a line runs is told from processor time. Tracing slows a program down ten times, and what a line takes without it is small
beside that: estimates of tight loops may be wrong by more than half, and say so.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from manyhands._probe._budgets import FIRST_BUDGET, adapted
from manyhands._probe._counts import Counter, News, Place
from manyhands._probe._estimates import AGAIN, QUICKEST, REMEMBERED, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from manyhands._probe._cost import Measured

_MUCH = 100_000  # lines at first, so that what begins is seen whole
_COST_ERROR = 0.2  # how wrong the cost of counting a line may be


class Windowed(Counter):
    """Each line is counted until all together have run so often as the budget says. ``cost``: what counting one takes."""

    def __init__(
        self, no_more: object, cost: Measured, budget: int = FIRST_BUDGET, clock: Callable[[], int] = time.process_time_ns
    ) -> None:
        super().__init__()
        self._no_more = no_more
        self._clock = clock
        self._budget = self._left = budget
        self._cost = cost.counting
        self._closed: tuple[int, bool] | None = None  # when, and whether the window tells anything of the time around it
        self._marks: list[tuple[list[int], int, int]] = []
        self._rates: dict[Place, deque[float]] = {}
        self._opened = self._ended = clock()
        self.count = self._count

    def open(self, places: list[tuple[str, int]]) -> None:
        self._marks = [(counts, line, counts[line]) for file, line in places if line < len(counts := self.files.get(file, []))]
        self._closed, self._left = None, self._budget
        self._opened = self._clock()

    def _count(self, code: CodeType, line: int) -> object:
        self.files[code.co_filename][line] += 1
        self._left -= 1
        if self._left > 0:
            return None
        if self._closed is None:
            again = max((counts[at] - before for counts, at, before in self._marks), default=AGAIN)
            self._closed = self._clock(), again >= AGAIN
        return self._no_more

    def news(self) -> list[News]:
        closed, now = self._closed, self._clock()
        news = super().news()
        counted = sum(each.runs for each in news)
        lived = max(now - self._ended, 1)
        if closed is not None:
            news += self._missed({(each.file, each.line): each.runs for each in news}, counted, closed[0], now, tells=closed[1])
        self._budget = adapted(self._budget, counted * self._cost / lived, is_short=closed is not None)
        self._opened = self._ended = now
        return news

    def _missed(self, counts: dict[Place, int], counted: int, closed: int, now: int, *, tells: bool) -> list[News]:
        spent = self._cost * counted
        lasted = max(closed - self._opened - spent, counted * QUICKEST)
        gap = now - closed + self._opened - self._ended
        bias = _COST_ERROR * spent / lasted
        news = []
        for place in counts.keys() | self._rates.keys():
            rates = self._rates.setdefault(place, deque(maxlen=REMEMBERED))
            rates.append(counts.get(place, 0) / lasted if tells else 0.0)
            count, error = round(rates[-1] * gap), round(spread(rates) * gap)
            if count or error:
                news.append(News(*place, count, 0, max(1, error), round(count * bias)))
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
