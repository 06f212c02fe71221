"""Counting lines on a budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._probe._budgets import Budgeted
from manyhands._probe._cost import Measured

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
    counter.open([])
    told.extend(counter.news())
    assert code in counter.again
    assert sum(news.runs for news in told if not news.error) == 10
