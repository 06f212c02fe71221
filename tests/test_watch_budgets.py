"""Counting lines on a budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._probe._budgets import Budgeted
from manyhands._probe._cost import Measured
from manyhands._probe._looks import Looks

if TYPE_CHECKING:
    from collections.abc import Callable


def task() -> int:
    return 1


def test_a_line_whose_budget_is_spent_just_as_a_period_ends():
    """The period ends between two steps of the thread that counts: it is made to by the clock that is asked there."""
    just_then: list[Callable[[], object]] = []

    def clock() -> int:
        if just_then:
            just_then.pop()()
        return time.process_time_ns()

    code, line = task.__code__, task.__code__.co_firstlineno + 1
    counter = Budgeted(object(), Measured(50.0, 10.0), budget=10, clock=clock)
    counter.has_room(code.co_filename, line)
    counter.rest = [].append
    for _ in range(9):
        counter.count(code, line)
    told = []
    just_then.append(lambda: told.extend(counter.news()))
    counter.count(code, line)
    counter.open()
    told.extend(counter.news())
    assert code in counter.again
    assert sum(news.runs for news in told if not news.error) == 10


def test_a_line_that_was_closed_is_never_told_as_exact():
    """Also where no time was left in which it could have run."""
    code, line = task.__code__, task.__code__.co_firstlineno + 1
    counter = Budgeted(object(), Measured(50.0, 10.0), budget=10, clock=lambda: 0)
    counter.has_room(code.co_filename, line)
    counter.rest = [].append
    for _ in range(10):
        counter.count(code, line)
    assert any(news.line == line and news.error for news in counter.news())


def test_what_looks_find_is_the_share_of_the_time():
    now = [0]
    looks = Looks(lambda: now[0])

    def look(*places: tuple[str, int]) -> None:
        now[0] += 1 << 40  # much processor time, so that it computed
        looks.note(list(places))

    unknown = looks.share({("a.py", 1)})
    assert unknown.value > 0.5
    assert unknown.value - unknown.error < 0.2
    for _ in range(10):
        look(("a.py", 1))
        look(("a.py", 9))
    looks.note([("a.py", 9)])  # it waits: that is not where its time goes
    half = looks.share({("a.py", 1)})
    assert abs(half.value - 0.5) < 0.05
    assert half.error < unknown.error / 2
