"""The calling thread, one task after the other: for debugging, and where one worker is all there is."""

from __future__ import annotations

import concurrent.futures
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands import errors
from manyhands._core import worker_ids
from manyhands._core.ledger import Ledger
from manyhands._core.policy import Failed, add_note, attempt_line
from manyhands._core.slowest import LEAST
from manyhands.backends._contract import Capabilities, Counts
from manyhands.backends._saving import Saving
from manyhands.backends._streaming import call_of, describe, run_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands._core.options import Options
    from manyhands.backends._contract import Plan
    from manyhands.backends._streaming import Row

T = TypeVar("T")

CAPABILITIES = Capabilities("sequential", isolated=False, by_value=False, can_kill=False, parallel=False)


class SequentialBackend:
    """No worker at all: tasks run where results are taken."""

    capabilities = CAPABILITIES

    def stream(self, plan: Plan, inputs: Iterator[object], options: Options) -> SequentialStream:
        """Begin a call in the calling thread."""
        return SequentialStream(plan, inputs)

    def executor(self, options: Options) -> SequentialExecutor:
        """An executor that runs each task when it is submitted."""
        return SequentialExecutor()


class SequentialStream:
    """Each task runs when its result is asked for.

    A task that takes longer than its timeout cannot be stopped; it fails with ``TaskTimeout`` when it returns, as it would elsewhere.
    """

    def __init__(self, plan: Plan, inputs: Iterator[object]) -> None:
        self._plan = plan
        self._inputs = inputs
        self._index = self._ended = self._failures = 0
        self._busy = 0
        self._nanoseconds = 0
        self._ledger = Ledger()
        self._ledger.chunk = self._ledger.ahead = 1
        self._closed = False
        self._save = Saving(plan.policy.record, is_after=True)

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Results as the contract has them."""
        plan = self._plan
        for value in self._inputs:
            index = self._index
            self._index += 1
            if plan.function is None:
                row: Row = value  # type: ignore[assignment]
            else:
                row = (plan.function, tuple(value) if plan.star else (value,), {})  # type: ignore[arg-type]
            self._busy = 1
            self._ledger.batches += 1
            outcome = self._run(index, row)
            self._busy = 0
            self._ended += 1
            self._failures += type(outcome) is Failed
            if plan.watch is not None:
                plan.watch(1)
            yield index, [outcome]
            if self._closed:  # meanwhile; the loop would go on with the inputs that it has begun with
                return

    def _run(self, index: int, row: Row) -> object:
        policy = self._plan.policy
        history: list[str] = []
        attempt = 1
        while True:
            outcome = self._attempt(index, row)
            if type(outcome) is not Failed:
                return outcome
            error = outcome.error
            if not policy.repeats(error, attempt):
                for line in history:
                    add_note(error, f"earlier {line}")
                self._save(index, row, call_of, error, attempt, history)
                return outcome
            history.append(attempt_line(attempt, error))
            time.sleep(policy.delay(attempt) / 1e9)
            attempt += 1

    def _attempt(self, index: int, row: Row) -> object:
        ids, outside = worker_ids.of_thread, worker_ids.current() is None
        if outside:
            ids.number = 0  # this thread is the one worker that there is
        try:
            values, nanoseconds, _ = run_rows(index, [row])
        finally:
            if outside:
                ids.number = None
        self._nanoseconds += nanoseconds
        if nanoseconds >= LEAST:
            self._ledger.slowest.add(nanoseconds, 1, partial(describe, index, row))
        timeout = self._plan.policy.timeout
        if timeout is not None and nanoseconds > timeout * 1e9 and type(values[0]) is not Failed:
            return Failed(index, errors.TaskTimeout(describe(index, row), seconds=timeout, took=nanoseconds / 1e9))
        return values[0]

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._failures

    def leftovers(self) -> list[Failed]:
        """None: a failure is handed out as soon as there is one."""
        return []

    def start(self) -> None:
        """Nothing runs before its result is asked for."""

    def close(self, *, at_once: bool = False) -> None:
        """Run nothing more."""
        self._closed = True
        self._inputs = iter(())

    def counts(self) -> Counts:
        """Where the call stands."""
        work = {"this thread": [self._ended, self._nanoseconds]}
        return Counts(self._index, self._ended, self._failures, self._busy, work, self._ledger)


class SequentialExecutor(concurrent.futures.Executor):
    """Runs each task in the calling thread, when it is submitted."""

    def __init__(self) -> None:
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` now; the future is done when this returns.

        Raises:
            PoolClosed: the executor has been shut down.
        """
        if self._closed:
            msg = "cannot schedule new futures after shutdown; create a new executor"
            raise errors.PoolClosed(msg)
        future: Future[T] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's to see; Ctrl-C ends the program as it should
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more."""
        self._closed = True
