"""How often lines have run while they were not counted. Pure.

Time is cut into windows, some a second. In each, a line is counted until its budget is spent; then it is closed until the next window opens. While
it is closed it is taken to run as often, for each nanosecond of processor time, as while it was counted. Three things make that right:

- Counting slows down what is counted. What it took, so many nanoseconds for each line, is taken away again from the time of a window. How long
  one takes is measured, but not by the same program: that is the bias.
- A window opens when the thread that samples gets Python's lock, so often just after a long call of C code. What comes next is
  then no sample of the time before. Such a window is known by this: the line at which it was opened has not come again in it. It tells that just then
  all other lines rested.
- What a window tells is one draw of how often a line runs. How much these draws differ is the error.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place = tuple[str, int]  # a file, and a line of it

_REMEMBERED = 16  # windows
_AGAIN = 3  # so often the line at which a window was opened comes again in one that tells anything
_COST_ERROR = 0.15  # of what counting is taken to cost
_QUICKEST = 4.0  # nanoseconds that a line takes at least


class Closing(NamedTuple):
    """A line's budget was spent.

    Attributes:
        at: processor time of the process.
        again: how often the line at which the window was opened had come again; None: it was opened at none.
    """

    file: str
    line: int
    at: int
    again: int | None


class Missed(NamedTuple):
    """How often a line has run uncounted; the error is one standard deviation, the bias what may be wrong in the same direction each time."""

    count: float
    error: float
    bias: float


class Estimates:
    """``cost``: nanoseconds that counting one line takes."""

    def __init__(self, cost: float) -> None:
        self._cost = cost
        self._rates: dict[Place, deque[float]] = {}
        self._is_first = True

    def known(self) -> Iterable[Place]:
        """Lines of which anything was missed before."""
        return self._rates.keys()

    def missed(self, counts: Mapping[Place, int], closed: Iterable[Closing], opened: int, now: int, shut: int = 0) -> dict[Place, Missed]:
        """What was missed in a window that was open from ``opened`` to ``now``, and ``shut`` nanoseconds before it."""
        closings = {(closing.file, closing.line): closing for closing in closed}
        found = {}
        for place, closing in closings.items():
            before = self._cost * _events(counts, closings, opened, closing.at, now)
            after = self._cost * sum(counts.values()) - before
            found[place] = self._one(place, counts.get(place, 0), closing.at - opened, before, max(0.0, now - closing.at - after) + shut, closing)
        if closings:
            self._is_first = False
        return found

    def _one(self, place: Place, count: int, lasted: int, spent: float, gap: float, closing: Closing) -> Missed:
        lasting = max(lasted - spent, count * _QUICKEST)
        rate = count / max(lasting, 1.0)
        tells = self._is_first or closing.again is None or closing.again >= _AGAIN
        rates = self._rates.setdefault(place, deque(maxlen=_REMEMBERED))
        rates.append(rate if tells else 0.0)
        spread = statistics.stdev(rates) if len(rates) > 2 else rate
        bias = min(1.0, _COST_ERROR * spent / lasting) * rates[-1]
        return Missed(rates[-1] * gap, spread * gap, bias * gap)


def _events(counts: Mapping[Place, int], closings: Mapping[Place, Closing], opened: int, until: int, now: int) -> float:
    """How many lines were counted until then; each is taken to have come evenly until it was closed."""
    found = 0.0
    for place, count in counts.items():
        closing = closings.get(place)
        lasted = (now if closing is None else closing.at) - opened
        found += count * min(1.0, (until - opened) / max(lasted, 1))
    return found
