"""What every backend promises and offers: an executor and frozen capabilities.

**Guarantees**, whatever the backend (``tests/test_backends.py`` checks each over all of them)

- Each task ends exactly once: with its value, or with an error of its own, which is no other task's concern.
- Indices are those of the inputs. Inputs are read in the thread that takes the results, no further ahead than the buffer.
- When a stream has been closed, none of its tasks starts; where ``can_kill`` holds, none runs any more either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from manyhands._core.policy import Failed, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    from manyhands._core.ledger import Ledger
    from manyhands._core.options import Options


class Capabilities(NamedTuple):
    """What a backend can do.

    Attributes:
        name: its name in options and messages.
        isolated: a task that crashes costs only itself.
        by_value: a task works on copies of its arguments.
        can_kill: a running task is stopped by a timeout, and when its call is given up.
        parallel: Python code of several tasks runs at the same time.
    """

    name: str
    isolated: bool
    by_value: bool
    can_kill: bool
    parallel: bool


class Plan(NamedTuple):
    """One call over many inputs.

    ``function`` None: inputs are triples ``(function, args, kwargs)``.
    ``star``: inputs are tuples of positional arguments.
    ``settled``: the inputs exist beforehand, so that reading one cannot change another.
    ``quiet``: from the first to the last, no code of the user's runs in this process, neither to read an input nor with a result.
    ``buffer``: how many tasks may be read whose results have not been taken; ``ahead``: that have not ended.
    ``eager``: all results are kept as soon as they are there, so that ``buffer`` does not count.
    ``on_stale``: what is to happen where a worker has other code for the function: ``"send"`` it, or ``"raise"``.
    ``watch``: is told, in the thread that takes the results, how many tasks have just ended, their turn or not.
    ``fail_fast``: when a task has failed, nothing later starts; those before it have a moment to end, then it comes, its turn or not.
    """

    function: Callable[..., object] | None
    star: bool = False
    settled: bool = False
    quiet: bool = False
    workers: int = 1
    chunk: int | None = None
    buffer: int | None = None
    ahead: int | None = None
    policy: Policy = Policy()
    priority: int = 0
    on_stale: str = "send"
    ordered: bool = True
    eager: bool = False
    fail_fast: bool = False
    total: int | None = None
    watch: Callable[[int], object] | None = None


# Reading these runs no code of the user's.
_SETTLED = frozenset({list, tuple, range, str, bytes, set, frozenset, dict})


def are_settled(iterables: Iterable[object]) -> bool:
    """Whether these are inputs that exist beforehand: no code of the user's runs between two of them."""
    return all(type(iterable) in _SETTLED for iterable in iterables)


class Counts(NamedTuple):
    """Where a stream stands. ``work``: for each worker (pid, or name of a thread) how many tasks, and nanoseconds.

    ``ledger``: what it has cost besides, where that is known; ``number``: of the call in the events of its pool, if it has one.
    """

    submitted: int
    ended: int
    failed: int
    busy: int
    work: Mapping[Any, list[int]]
    ledger: Ledger | None = None
    number: int = 0


class TaskStream(Protocol):
    """A call under way. Used by one thread."""

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""

    def leftovers(self) -> list[Failed]:
        """After the end: failures that are known and were in no chunk."""

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """``(index of the first, values)``; a task that failed is a ``Failed``."""

    def start(self) -> None:
        """Begin before the first result is asked for."""

    def close(self, *, at_once: bool = False) -> None:
        """Give the call up. ``at_once``: without letting running tasks end by themselves."""

    def counts(self) -> Counts:
        """Where it stands. May be called from any thread."""


def watched(chunks: Iterator[tuple[int, list[object]]], watch: Callable[[int], object]) -> Iterator[tuple[int, list[object]]]:
    """The same chunks; ``watch`` is told of each: see :class:`Plan`."""
    for chunk in chunks:
        watch(len(chunk[1]))
        yield chunk


class OngoingStream(TaskStream, Protocol):
    """A stream of an executor: it goes on when nobody takes its results."""

    deadline: float | None
    """By when the next results have to be there, on the monotonic clock: else ``chunks`` raises TimeoutError, and can be asked anew."""

    def finish(self) -> None:
        """Read all inputs, and wait until every task has ended; the results are kept."""

    def is_complete(self) -> bool:
        """Whether every input has been read and every task has ended, before anybody closed it. Not all results may have been taken."""


class Backend(Protocol):
    """A way to run tasks."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def stream(self, plan: Plan, inputs: Iterator[object], options: Options) -> TaskStream:
        """Begin a call over many inputs."""

    def executor(self, options: Options) -> Executor:
        """A ``concurrent.futures.Executor`` with workers of its own."""
