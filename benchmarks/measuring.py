"""What rows are made of: their description, targets, clocks, and what is compared with what."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders import Contender

    Figures = dict[str, float]
    Medians = Mapping[str, float]  # one metric: contender -> median over the rounds

BARE = "bare"
OWN = "manyhands"
WORKERS = 2
MANY = 64  # far more than there are processors
MILLI, MICRO, MEGA = 1e3, 1e6, 1e-6


@dataclass(frozen=True, slots=True)
class Target:
    """What manyhands promises of a metric: in words, and as a test of the medians."""

    text: str
    met: Callable[[Medians], bool]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table."""

    key: str
    title: str
    unit: str
    target: Target | None = None
    compared: bool = True  # beside the peers; a ratio of one's own figures is not


@dataclass(frozen=True, slots=True)
class Row:
    """A function that measures, and how it is run.

    Attributes:
        size: how many tasks (or repetitions, where the row has no such number).
        quick: the same with ``--quick``.
        timeout: seconds that one contender may take for one round.
        rounds: at most so many; rows that take long and vary little need fewer.
        bare: measures the floor.
    """

    name: str
    metrics: tuple[Metric, ...]
    measure: Callable[[type[Contender], int], Figures]
    size: int
    quick: int
    timeout: float = 60.0
    rounds: int = 100
    bare: Callable[[int], Figures] | None = None


def at_most(limit: float, text: str = "") -> Target:
    return Target(text or f"≤ {limit:g}", lambda medians: medians[OWN] <= limit)


def all_equal(results: Sequence[Any], inputs: Sequence[Any]) -> None:
    """A fast wrong answer is none."""
    assert list(results) == list(inputs), "results are missing or out of order"


def seconds_of(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def median_time(function: Callable[[], object], repeats: int) -> float:
    """The median; at most two seconds of it, which are more than enough of the slow ones."""
    moments = [time.perf_counter()]
    while len(moments) <= repeats and (moments[-1] - moments[0] < 2 or len(moments) < 4):
        function()
        moments.append(time.perf_counter())
    return statistics.median(end - begin for begin, end in pairwise(moments))


def micros_a_task(run: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]], count: int) -> float:
    inputs = range(count)
    gc.collect()
    begin = time.perf_counter()
    results = run(tasks.noop, inputs)
    seconds = time.perf_counter() - begin
    all_equal(results, inputs)
    return MICRO * seconds / count
