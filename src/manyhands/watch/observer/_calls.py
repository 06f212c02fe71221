"""What is known of calls, tasks and failures. Pure; times are nanoseconds of the monotonic clock."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from manyhands._core.ledger import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.watch.observer._threads import Text

NS = 1_000_000_000
_LEAST_WINDOW = 10 * NS  # how far back a rate looks, at least
_MOST_NOTED = 4096
_MOST_TASKS = 20  # of a failure, by number
_MOST_LONGEST = 10


class Rate:
    """Tasks a second, lately."""

    def __init__(self, begun: int) -> None:
        self._begun = begun
        self._total = 0
        self._noted: deque[tuple[int, int]] = deque(maxlen=_MOST_NOTED)  # when, how many there were before

    def note(self, at: int, count: int) -> None:
        """So many have ended."""
        if self._noted and at - self._noted[-1][0] < NS // 20:  # one entry for what comes nearly at once
            at = self._noted[-1][0]
        else:
            self._noted.append((at, self._total))
        self._total += count

    def lately(self, now: int, window: int = _LEAST_WINDOW) -> float:
        """Over so many nanoseconds, or since the begin where that was later."""
        begin = max(self._begun, now - window)
        before = next((total for at, total in self._noted if at >= begin), self._total)
        return (self._total - before) * NS / max(NS // 5, now - begin)


class Spread:
    """How long tasks take, and how much they differ, told of in groups of which only the sum is known."""

    def __init__(self) -> None:
        self.tasks = 0
        self.busy = 0
        self._groups = 0
        self._mean = 0.0  # nanoseconds a task
        self._squares = 0.0

    def note(self, count: int, busy: int) -> None:
        """So many tasks took so long together."""
        self.tasks += count
        self.busy += busy
        self._groups += 1
        each = busy / count
        before = each - self._mean
        self._mean += before * count / self.tasks
        self._squares += before * (each - self._mean) * count

    @property
    def mean(self) -> float:
        """Nanoseconds that a task takes."""
        return self._mean

    @property
    def variation(self) -> float:
        """The standard deviation over the mean. The mean of a group varies less than its tasks, by the root of their number."""
        if self._groups < 2 or self._mean <= 0:
            return 0.0
        return math.sqrt(self._squares / (self._groups - 1)) / self._mean


@dataclass
class Task:
    """One that runs. ``call``: the number of its call in ``program``, the process that tells of it; 0: of none."""

    number: int
    function: Text
    arguments: Text
    since: int
    call: int = 0
    attempt: int = 1
    program: int = 0


@dataclass
class Call:
    """One ``map``, ``Parallel`` and so on.

    Attributes:
        total: how many tasks; None: not known yet.
        ended: when; None: it is under way.
        submitted: how many tasks have been read from the inputs.
        sent, received: bytes, to and from workers; ``spared``: of those sent, what did not have to be moved.
        preparing, collecting, away: milliseconds that the program spent on inputs, on results, and elsewhere.
        reading: nanoseconds of the first in which it was seen inside of the inputs.
        first_start: when the first task began.
        chunk: the most tasks in a message; ``is_fixed``: the user has chosen that.
        hired: workers were started for it.
        work: by worker, how many tasks and nanoseconds.
        spread: how long its tasks take.
        slowest: nanoseconds of the task that took longest, and its number.
        program: the process that has made it.
    """

    number: int
    function: Text
    total: int | None
    workers: int
    backend: Text
    begun: int
    done: int = 0
    failed: int = 0
    ended: int | None = None
    has_failed: bool = False
    submitted: int = 0
    sent: int = 0
    received: int = 0
    spared: int = 0
    preparing: int = 0
    collecting: int = 0
    away: int = 0
    reading: int = 0
    first_start: int = NEVER
    chunk: int = 0
    is_fixed: bool = False
    hired: bool = False
    work: dict[int, list[int]] = field(default_factory=dict)
    spread: Spread = field(default_factory=Spread)
    slowest: tuple[int, int] = (0, 0)
    program: int = 0

    def __post_init__(self) -> None:
        self.rate = Rate(self.begun)

    def worked(self, worker: int, first: int, count: int, busy: int) -> None:
        """Tasks have ended in a worker, well or badly."""
        work = self.work.get(worker)
        if work is None:
            work = self.work[worker] = [0, 0]
        work[0] += count
        work[1] += busy
        self.spread.note(count, busy)
        if (each := busy // count) >= self.slowest[0]:
            self.slowest = max(self.slowest, (each, first))

    def progressed(self, at: int, done: int, failed: int) -> None:
        """So many have ended, altogether."""
        if done > self.done:
            self.rate.note(at, done - self.done)
        self.done, self.failed = done, failed

    def absorb(self, other: Call) -> None:
        """Be a sum of calls."""
        self.done, self.failed = self.done + other.done, self.failed + other.failed
        self.submitted += other.done if other.total is None else other.total
        self.sent, self.received = self.sent + other.sent, self.received + other.received
        self.spared += other.spared

    @property
    def known(self) -> int | None:
        """How many tasks there are; None: nobody knows, since they are read as workers need them."""
        if self.total is not None or (self.ended is None and self.chunk):
            return self.total
        return self.submitted

    @property
    def busy(self) -> int:
        """Nanoseconds in tasks that have ended."""
        return self.spread.busy

    @property
    def usual(self) -> float:
        """Nanoseconds that a task takes, but for the one that took longest."""
        others = self.spread.tasks - 1
        return max(0, self.busy - self.slowest[0]) / others if others > 0 else self.spread.mean


class FailedTask(NamedTuple):
    """One that has failed. ``error``: what its error is known by; ``is_repeated``: it is tried again."""

    at: int
    worker: int
    number: int
    attempt: int
    is_repeated: bool
    error: str = ""


class Longest:
    """The tasks of a run that took longest, of those that are told one by one."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Text]] = []
        self._tie = itertools.count()

    def note(self, lasted: int, number: int, worker: int, function: Text) -> None:
        """A task has ended after so many nanoseconds."""
        if len(self._heap) < _MOST_LONGEST:
            heapq.heappush(self._heap, (lasted, next(self._tie), number, worker, function))
        elif lasted > self._heap[0][0]:
            heapq.heapreplace(self._heap, (lasted, next(self._tie), number, worker, function))

    def __iter__(self) -> Iterator[tuple[int, int, int, Text]]:
        """Nanoseconds, number, worker and function, the longest first."""
        for lasted, _, number, worker, function in sorted(self._heap, key=lambda each: (-each[0], each[1])):
            yield lasted, number, worker, function


class Given(NamedTuple):
    """What a task that has failed was called with, in words (empty: that may not be shown), and the command that runs it again."""

    task: int
    call: str
    replay: str

    def arguments(self) -> str:
        """Of the call; empty if they are not known."""
        return self.call.partition("(")[2].removesuffix(")")


@dataclass
class Failure:
    """Errors that are alike: of one type, whose texts differ in numbers alone.

    Attributes:
        kind, message, traceback: of the first of them.
        function: whose tasks they are.
        count: tasks that have failed for good.
        attempts: how often it came; some of the tasks were tried again.
        first, last: when it came first, and last.
        tasks: numbers of some tasks.
        given: of some of them, what they were called with.
    """

    kind: str
    message: str
    traceback: str = ""
    function: str = ""
    count: int = 0
    attempts: int = 0
    first: int = 0
    last: int = 0
    tasks: list[int] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)

    def came(self, at: int, task: int | None, *, is_repeated: bool = False) -> None:
        """Once more. ``is_repeated``: the task is tried again."""
        self.attempts += 1
        self.count += not is_repeated
        self.first = min(self.first or at, at)
        self.last = max(self.last, at)
        if task is not None and len(self.tasks) < _MOST_TASKS and task not in self.tasks:
            self.tasks.append(task)
