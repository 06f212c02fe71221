"""How often lines have run while they were not counted. Pure.

Time is cut into periods, some a second. In each, a line is counted until its budget is spent; then it is closed until the next begins.
What it does meanwhile is told from another line of the same code, its **reference**: in so many runs of the reference it has run so
often. That is a ratio, which counting does not change, though it slows down what is counted five times.

- The best reference is one that is not so hot that it is ever closed: it is counted all the time.
- In a tight loop there is none. Then the slowest of the hot lines is the reference, and how often it runs is told from processor time: in
  each second period no other hot line of the code is counted, so that counting changes little, and what it changes is taken away. How
  much that is for each line is told by the difference between the two kinds of periods.

Processor time stands still while a program waits, so that it does not matter whether work comes in bursts. Two things have to be known:

- how long the line takes from one run to the next: seen in the second half of its budget, so that what was done before it began is no part;
- what share of the time that is left goes into it at all. A period begins when the thread that samples gets Python's lock, so often just
  when a burst begins, or after a long call of C code: what comes first is no sample of the rest. So looks at the threads tell
  (:mod:`._looks`); where there were none while the program computed, it is taken to go on with what it did, and the error says so.

How much the rates of periods differ, and how wrong the share and the cost of counting may be, is the error.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from manyhands._probe._looks import Share

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from manyhands._probe._cost import Measured

REMEMBERED = 16  # periods
_LAST = 7  # of those from which a rate is told
_ENOUGH = 10  # runs of a reference
_MANY = 10_000  # lines that a period has to have for its time to be worth anything
_FURTHEST = 1.5  # the program's lines cost at most so many times what ours do
_MOST_ERROR = 1.1  # of what a run of a line takes: it may be three times quicker
QUICKEST = 8.0  # nanoseconds that a line takes at least
_UNLIKE = 0.6  # how much a line of a tight loop differs from one of ours
_GUESSED, _MEASURED = 0.25, 0.1  # how wrong the cost of counting a line may be


class Spent(NamedTuple):
    """How far a period is.

    Attributes:
        at: processor time of the process since it began, in nanoseconds.
        events: how many lines have been counted in it, by what they cost.
        counts: how often lines of one code have.
        along: how often lines of each other hot code have, all together.
    """

    at: int
    events: float
    counts: Mapping[int, int]
    along: Mapping[int, int]


class Closing(NamedTuple):
    """A line's budget was spent at ``end``. ``half``: where its second half began; what is between shows how quickly it runs."""

    line: int
    end: Spent
    half: Spent = Spent(0, 0.0, {}, {})

    def since(self, line: int) -> int:
        """Runs of a line of its code in the second half."""
        return self.end.counts.get(line, 0) - self.half.counts.get(line, 0)

    @property
    def runs(self) -> int:
        """Its own in that."""
        return self.since(self.line)

    @property
    def lasted(self) -> int:
        """Nanoseconds that it took."""
        return self.end.at - self.half.at

    @property
    def events(self) -> float:
        """Lines that were counted in it, by what they cost."""
        return self.end.events - self.half.events

    def along(self) -> dict[int, int]:
        """Lines of other codes that ran in it."""
        return {number: runs - self.half.along.get(number, 0) for number, runs in self.end.along.items()}


class Period(NamedTuple):
    """What was counted in one.

    Attributes:
        lasted: processor time in which lines were counted, in nanoseconds.
        shut: the same before that, in which none was, since the last one.
        events: lines that were counted, by what they cost.
        counts: those of one code.
        closed: lines of its file that were not counted all the time.
        share: how much of the time in which its lines were not counted went into them.
    """

    lasted: int
    shut: int
    events: float
    counts: Mapping[int, int]
    closed: Collection[int] = ()
    share: Share = Share(1.0, 0.0)


class Missed(NamedTuple):
    """How often a line has run uncounted.

    ``error``: one standard deviation; ``bias``: what may be wrong in the same direction each time.
    """

    runs: float
    error: float = 0.0
    bias: float = 0.0


class Cost:
    """What counting a line takes: guessed at first, by a loop of our own; later measured by the program's."""

    def __init__(self, guess: Measured) -> None:
        self._guess = guess.counting
        self.plain = guess.plain
        self._measured: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def value(self) -> float:
        """In nanoseconds."""
        if len(self._measured) < 3:
            return self._guess
        return sorted(self._measured)[len(self._measured) // 2]

    @property
    def error(self) -> float:
        """How wrong that may be, of 1."""
        count = len(self._measured)
        if count < 3:
            return _GUESSED
        ordered = sorted(self._measured)
        between = ordered[-1 - count // 4] - ordered[count // 4]
        return max(_MEASURED, min(_GUESSED, between / self.value / math.sqrt(count)))

    def measure(self, dense: tuple[float, float], sparse: tuple[float, float]) -> None:
        """``dense``, ``sparse``: for each run of a line, the time and the lines that were counted, when many were and when few."""
        if dense[1] - sparse[1] >= 0.5:
            value = (dense[0] - sparse[0]) / (dense[1] - sparse[1])
            self._measured.append(min(_FURTHEST * self._guess, max(self._guess / _FURTHEST, value)))


class _Ratio(NamedTuple):
    anchor: int
    value: float
    error: float


class Hot:
    """Lines of one code that have been closed.

    Attributes:
        lines: those that are.
        reference: the line that tells of them.
        is_sparse: whether no line but the reference is counted in this period.
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._ratios: dict[tuple[int, int], deque[float]] = {}
        self._rates: dict[int, deque[float]] = {}
        self._dense: tuple[float, float] | None = None
        self._anchor: int | None = None
        self.lines: set[int] = set()
        self.reference: int | None = None
        self.is_sparse = False

    def turn(self, period: Period, closings: Iterable[Closing]) -> dict[int, Missed]:
        """A period has ended; what was missed in it. Says by its attributes how the next one is to be."""
        # What a thread closes while another looks may have been counted for the period before: it tells nothing of this one.
        told = [closing for closing in closings if closing.end.counts.get(closing.line)]
        closed = {closing.line: closing for closing in sorted(told, key=lambda closing: closing.end.at)}
        if not self.is_sparse:
            self._choose(closed, period.closed)
        reference = self._missed_by_reference(period, closed)
        found = {line: self._missed(line, period, closed, reference) for line in self.lines | closed.keys() if line != self.reference}
        if self.reference in closed:
            found[self.reference] = reference
        # In a dense period all are counted; a sparse one follows where time is the measure.
        self.is_sparse = not self.is_sparse and self.reference in self.lines
        return found

    def _choose(self, closed: dict[int, Closing], partly: Collection[int]) -> None:
        """The reference, after a period in which all lines were counted."""
        self.lines, self.reference, self._dense = set(closed), None, None
        if not closed:
            return
        first, last = next(iter(closed.values())), list(closed)[-1]
        counted = {line: count for line, count in first.end.counts.items() if line not in partly and count >= _ENOUGH}
        self.reference = max(counted, key=counted.__getitem__) if counted else last
        for line, closing in closed.items():
            if (runs := closing.end.counts.get(self.reference, 0)) >= _ENOUGH and line != self.reference:
                self._remember(self._ratios, (line, self.reference), closing.end.counts[line] / runs)
        if self.reference == last and (runs := first.since(last)) >= _ENOUGH:
            self._dense = first.lasted / runs, first.events / runs

    def _missed_by_reference(self, period: Period, closed: dict[int, Closing]) -> Missed:
        """How often the reference has run uncounted."""
        closing = closed.get(self.reference) if self.reference is not None else None
        if closing is None:
            return Missed(0.0)
        runs = closing.runs
        if self.is_sparse and self._dense is not None and closing.events >= _MANY:
            self._cost.measure(self._dense, (closing.lasted / runs, closing.events / runs))
        if (ratio := self._anchored(closing, period.closed)) is not None:
            rest = max(0, period.counts.get(ratio.anchor, 0) - closing.end.counts.get(ratio.anchor, 0))
            return Missed(ratio.value * rest, ratio.error * rest)
        has_rate = len(self._rates.get(closing.line, ())) > 0
        return self._by_time(period, closing, is_draw=self.is_sparse or not has_rate)

    def _anchored(self, closing: Closing, partly: Collection[int]) -> _Ratio | None:
        """To which line that is counted all the time the reference has had a ratio that tells anything."""
        anchors = {line: count for line, count in closing.end.counts.items() if line not in partly and count >= _ENOUGH}
        if anchors:
            self._anchor = anchor = max(anchors, key=anchors.__getitem__)
            self._remember(self._ratios, (closing.line, anchor), closing.end.counts[closing.line] / anchors[anchor])
        ratios = self._ratios.get((closing.line, self._anchor)) if self._anchor is not None else None
        return None if ratios is None or self._anchor is None else _Ratio(self._anchor, ratios[-1], spread(ratios))

    def _by_time(self, period: Period, closing: Closing, *, is_draw: bool = True) -> Missed:
        took, error = self._took(closing)
        if is_draw:
            self._remember(self._rates, closing.line, 1 / took)
        rates = self._rates[closing.line]
        gap = max(0.0, period.lasted - closing.end.at - self._cost.value * (period.events - closing.end.events)) + period.shut
        most = usual(rates) * gap
        more = math.exp(min(_MOST_ERROR, error / took)) - 1  # how much more it is if a run takes so much less
        return Missed(most * period.share.value, spread(rates) * gap * period.share.value, most * (more + period.share.error))

    def _took(self, closing: Closing) -> tuple[float, float]:
        """Nanoseconds from one run of a line to the next without counting, and how wrong that may be."""
        runs = max(closing.runs, 1)
        spent = self._cost.value * closing.events / runs
        took, error = closing.lasted / runs - spent, self._cost.error * spent
        lines = closing.events / runs if self._dense is None else self._dense[1]
        took, error = likely(took, error, lines * self._cost.plain)
        return max(took, QUICKEST), error

    def _missed(self, line: int, period: Period, closed: dict[int, Closing], reference: Missed) -> Missed:
        """How often another line has."""
        closing = closed.get(line)
        ratios = self._ratios.get((line, self.reference)) if self.reference is not None else None
        if not ratios or self.reference is None:
            return Missed(0.0) if closing is None else self._by_time(period, closing)
        since = 0 if closing is None else closing.end.counts.get(self.reference, 0)
        runs = max(0, period.counts.get(self.reference, 0) - since) + reference.runs
        ratio = ratios[-1]
        error = math.hypot(spread(ratios) * runs, ratio * reference.error)
        return Missed(ratio * runs, error, ratio * reference.bias)

    def _remember(self, where: dict, key: object, value: float) -> None:  # type: ignore[type-arg]
        where.setdefault(key, deque(maxlen=REMEMBERED)).append(value)


def likely(took: float, error: float, ours: float) -> tuple[float, float]:
    """What lines take without counting, and how wrong that may be; ``ours``: what as many of our own loop take.

    In a tight loop it is a small difference of large numbers. But then its lines take about what ours do.
    """
    if took - 2 * error >= 2 * ours:
        return took, error
    weight = (_UNLIKE * ours) ** 2 / ((_UNLIKE * ours) ** 2 + error**2)
    return weight * took + (1 - weight) * ours, math.sqrt(weight) * error


def usual(draws: deque[float]) -> float:
    """What is in the middle of the last of them: one alone may be a small difference of large numbers."""
    last = sorted(list(draws)[-_LAST:])
    return (last[(len(last) - 1) // 2] + last[len(last) // 2]) / 2


def spread(draws: deque[float]) -> float:
    """How much they differ; while there are few, they may be a quarter as wrong as they are large."""
    if len(draws) < 3:
        return max(draws) / 4
    mean = sum(draws) / len(draws)
    few = 1 + 2.3 / (len(draws) - 1)  # Student's factor for 95 %, beside 2
    return few * math.sqrt(sum((draw - mean) ** 2 for draw in draws) / (len(draws) - 1))
