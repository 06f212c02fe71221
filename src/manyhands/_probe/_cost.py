"""What counting a line costs: measured with a loop of our own."""

from __future__ import annotations

import time
from typing import NamedTuple


class Unavailable(Exception):
    """Lines cannot be counted; says why."""


_TURNS = 1000
_LEAST = 5.0


def timed() -> int:
    """Nanoseconds that the loop takes."""
    begun = time.perf_counter_ns()
    turns(_TURNS)
    return time.perf_counter_ns() - begun


class Measured(NamedTuple):
    """Nanoseconds that it takes to count a line, and that a line takes which does little."""

    counting: float
    plain: float


def each(plain: float, counted: float) -> Measured:
    """For one line, of what the loop took without and with counting."""
    return Measured(max(_LEAST, (counted - plain) / (2 * _TURNS)), plain / (2 * _TURNS))


def turns(count: int) -> int:
    """Two lines, again and again."""
    total = 0
    for number in range(count):
        total += number
    return total
