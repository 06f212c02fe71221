"""Many tasks over a ``concurrent.futures.Executor``: for threads, and for executors that are not ours."""

from __future__ import annotations

import contextlib
import functools
import heapq
import queue
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.batching import READING, FunctionCost, Pace, batches_ahead
from manyhands._core.failing import FirstFailure
from manyhands._core.ledger import Ledger
from manyhands._core.ordering import Reorder
from manyhands._core.policy import Failed, add_note, attempt_line
from manyhands.backends._contract import Counts, watched
from manyhands.backends._saving import Saving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from manyhands._core.policy import Policy
    from manyhands.backends._contract import Plan

Row = tuple["Callable[..., object]", tuple[object, ...], dict[str, object]]


class Started:
    """Tells when a task has started, where it runs in this process."""

    __slots__ = ("at", "worker")

    def __init__(self) -> None:
        self.at: float | None = None
        self.worker: object = None


class _Shipment:
    """Tasks that were given to the executor together."""

    __slots__ = ("attempt", "first", "rows", "started", "submitted")

    def __init__(self, first: int, rows: Sequence[Row], attempt: int = 1) -> None:
        self.first = first
        self.rows = rows
        self.attempt = attempt
        self.started = Started()
        self.submitted = time.monotonic()


class ExecutorStream:
    """A call over many inputs, with batches, limits, repetitions and order, on any executor.

    ``abandon(future)`` is called for a task that has exceeded its time and cannot be stopped. ``local`` tells that tasks run in this
    process, so that their start can be seen; elsewhere the clock of a timeout starts when a task is handed over.
    """

    def __init__(
        self,
        executor: Executor,
        plan: Plan,
        inputs: Iterator[object],
        *,
        local: bool,
        abandon: Callable[[Future[Any]], object] | None = None,
    ) -> None:
        self._executor = executor
        self._plan = plan
        self._inputs = inputs
        self._local = local
        self._abandon = abandon
        self._cost = FunctionCost()
        self._pace = Pace()
        self._under_way: dict[Future[Any], _Shipment] = {}
        self._finished: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()  # None: the call was ended by another thread
        self._ready: deque[tuple[int, list[object]]] = deque()  # outcomes that have not been handed out
        self._delayed: list[tuple[float, int, _Shipment]] = []
        self._tie = count()
        self._order: Reorder[object] = Reorder()
        self._first_failure = FirstFailure()
        self.deadline: float | None = None
        self._history: dict[int, list[str]] = {}
        self._exhausted = self._closed = False
        self.at_once: bool = False  # given up without waiting: not to be waited for by who closes it again, in another thread
        self._submitted = self._ended = self._taken = self._failures = 0
        self._work: dict[object, list[int]] = {}
        self._ledger = Ledger()
        self._save = Saving(plan.policy.record, is_after=local)

    # ------------------------------------------------------------ chunks

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Results as the contract has them."""
        arriving = self._as_they_come()
        if self._plan.watch is not None:
            arriving = watched(arriving, self._plan.watch)
        for chunk in self._order.chunks(arriving) if self._plan.ordered else arriving:
            yield chunk
            self._taken += len(chunk[1])
            if self._closed:  # meanwhile; there may be more that has waited for what came before
                return
        if self._first_failure.index is not None and (failed := self.leftovers()):
            yield failed[0].index, list(failed)

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._failures

    def leftovers(self) -> list[Failed]:
        """Failures that were in no chunk."""
        unseen = [value for _, values in self._ready for value in values]
        return [value for value in [*self._order.drain(), *unseen] if type(value) is Failed]

    def _as_they_come(self) -> Iterator[tuple[int, list[object]]]:
        ready = self._ready
        while not self._closed and not self._first_failure.is_final(time.monotonic()):
            self._fill()
            if self._under_way or self._delayed:
                self._wait()
            elif self._exhausted and not ready:
                return
            while ready and not self._closed:
                yield ready.popleft()

    def _wait(self) -> None:
        deadline = self._next_deadline()
        left = None if deadline is None else _until(deadline)
        try:
            future = self._finished.get(timeout=left)
        except queue.Empty:
            self._send_delayed()
            self._stop_overdue()
            if self.deadline is not None and self.deadline <= time.monotonic():
                raise TimeoutError from None
            return
        shipment = None if future is None else self._under_way.pop(future, None)
        if future is not None and shipment is not None:  # otherwise it was given up
            self._take_in(shipment, future)

    def _take_in(self, shipment: _Shipment, future: Future[Any]) -> None:
        """The outcomes of tasks that have ended are ready to be handed out."""
        try:
            values, nanoseconds, worker = future.result()
        except (CancelledError, Exception) as error:  # noqa: BLE001 - the executor's own failure: of these tasks, not of others
            for index, row in enumerate(shipment.rows, shipment.first):
                self._failed(index, row, shipment.attempt, error)
            return
        self._cost.measured(len(values), nanoseconds, 0)
        work = self._work.setdefault(worker, [0, 0])
        work[0] += len(values)
        work[1] += nanoseconds
        self._ledger.slowest.add(nanoseconds, len(values), functools.partial(describe, shipment.first, shipment.rows[0]))
        start = 0
        for position, value in enumerate(values):
            if type(value) is not Failed:
                continue
            self._ended_well(shipment.first + start, values[start:position])
            self._failed(shipment.first + position, shipment.rows[position], shipment.attempt, value.error)
            start = position + 1
        self._ended_well(shipment.first + start, values[start:])

    def _ended_well(self, first: int, values: list[object]) -> None:
        if values:
            self._ended += len(values)
            self._ready.append((first, values))

    def _failed(self, index: int, row: Row, attempt: int, error: BaseException) -> None:
        policy: Policy = self._plan.policy
        first = self._first_failure.index
        if policy.repeats(error, attempt) and not self._closed and (first is None or index < first):
            self._history.setdefault(index, []).append(attempt_line(attempt, error))
            again = _Shipment(index, [row], attempt + 1)
            heapq.heappush(self._delayed, (time.monotonic() + policy.delay(attempt) / 1e9, next(self._tie), again))
            self._send_delayed()
            return
        history = self._history.pop(index, [])
        for line in history:
            add_note(error, f"earlier {line}")
        self._save(index, row, call_of, error, attempt, history)
        self._ended += 1
        self._failures += 1
        self._ready.append((index, [Failed(index, error)]))
        if self._plan.fail_fast and self._plan.ordered and self._first_failure.note(index, time.monotonic()):
            self._cut(index)

    def _cut(self, end: int) -> None:
        """Read no more, and have no task start from index ``end`` on."""
        self._exhausted = True
        self._delayed = [entry for entry in self._delayed if entry[2].first < end]
        heapq.heapify(self._delayed)
        for future, shipment in list(self._under_way.items()):
            if shipment.first >= end and future.cancel():
                del self._under_way[future]

    # ------------------------------------------------------------ time

    def _next_deadline(self) -> float | None:
        times = [self._delayed[0][0]] if self._delayed else []
        if self.deadline is not None:
            times.append(self.deadline)
        if self._first_failure.until is not None:
            times.append(self._first_failure.until)
        timeout = self._plan.policy.timeout
        if timeout is not None:
            for shipment in self._under_way.values():
                since = self._since(shipment)
                times.append((since or time.monotonic()) + timeout)
                if since is None:  # looked at again after the time that it may take; those behind it have not started either
                    break
        return min(times, default=None)

    def _since(self, shipment: _Shipment) -> float | None:
        return shipment.started.at if self._local else shipment.submitted

    def _stop_overdue(self) -> None:
        timeout = self._plan.policy.timeout
        if timeout is None:
            return
        now = time.monotonic()
        for future, shipment in list(self._under_way.items()):
            since = self._since(shipment)
            if since is None or since + timeout > now or future.done():
                continue
            del self._under_way[future]
            self._give_up(shipment, future, timeout)

    def _give_up(self, shipment: _Shipment, future: Future[Any], timeout: float) -> None:
        if not future.cancel() and self._abandon is not None:
            self._abandon(future)
        name = describe(shipment.first, shipment.rows[0])
        self._failed(shipment.first, shipment.rows[0], shipment.attempt, errors.TaskTimeout(name, seconds=timeout))

    # ------------------------------------------------------------ inputs

    def _batch_size(self) -> int:
        plan = self._plan
        if plan.policy.timeout is not None:
            return 1  # each has a clock of its own
        if plan.chunk is not None:
            return plan.chunk
        remaining = None if plan.total is None else max(1, plan.total - self._submitted)
        size = self._cost.batch_size(plan.workers, remaining)
        return size if plan.settled else min(size, self._pace.most)

    def _room(self, size: int) -> int:
        plan = self._plan
        ahead = size * batches_ahead(self._cost, size, plan.workers) if plan.ahead is None else plan.ahead
        room = ahead - (self._submitted - self._ended)
        if not plan.eager:
            buffer = plan.buffer if plan.buffer is not None else 4 * ahead
            room = min(room, buffer - (self._submitted - self._taken))
        return room

    def _fill(self) -> None:
        begin = time.monotonic_ns()
        until = begin + READING
        in_full = self._plan.eager or self._plan.ahead is not None  # so many are asked for
        while not (self._exhausted or self._closed):
            if begin > until and not (in_full or self._finished.empty()):
                return  # results that are there do not wait for inputs
            size = self._batch_size()
            room = self._room(size)
            if room <= 0:
                return
            if not self._plan.eager or self._plan.ahead is not None:
                size = min(size, room)
            inputs = list(islice(self._inputs, size))
            self._exhausted = len(inputs) < size
            before, begin = begin, time.monotonic_ns()
            self._pace.read(len(inputs), begin - before)
            if inputs:
                first, self._submitted = self._submitted, self._submitted + len(inputs)
                self._ship(_Shipment(first, [self._row(value) for value in inputs]))

    def _row(self, value: Any) -> Row:
        function = self._plan.function
        if function is None:
            return value  # type: ignore[no-any-return]
        return (function, tuple(value), {}) if self._plan.star else (function, (value,), {})

    def _ship(self, shipment: _Shipment) -> None:
        run = functools.partial(run_rows, shipment.first, shipment.rows)
        try:
            future: Future[Any] = self._executor.submit(run, shipment.started) if self._local else self._executor.submit(run)
        except RuntimeError:
            if self._closed:  # by another thread, meanwhile, and the executor with it
                return
            raise
        self._under_way[future] = shipment
        self._ledger.batches += 1
        self._ledger.chunk = max(self._ledger.chunk, len(shipment.rows))
        self._ledger.dispatched(self._submitted - self._ended)
        if self._closed:  # the same, and it has not seen this one
            future.cancel()
        future.add_done_callback(self._finished.put)

    def _send_delayed(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._ship(heapq.heappop(self._delayed)[2])

    # ------------------------------------------------------------ the end

    def start(self) -> None:
        """Begin before the first result is asked for."""
        self._fill()

    def finish(self) -> None:
        """Read all inputs, and wait until every task has ended; the results are kept."""
        self.deadline = None
        self._plan = self._plan._replace(eager=True)
        while not self._closed:
            self._fill()
            if not (self._under_way or self._delayed):
                return
            self._wait()

    def is_complete(self) -> bool:
        """Whether every input has been read and every task has ended, before anybody closed it. Not all results may have been taken."""
        return self._exhausted and not (self._closed or self._under_way or self._delayed)

    def close(self, *, at_once: bool = False) -> None:
        """Cancel what has not started and wait for what runs, no longer than it may take, unless ``at_once``."""
        self._closed = self._exhausted = True
        self.at_once = self.at_once or at_once
        self._delayed.clear()
        running = [(future, shipment) for future, shipment in list(self._under_way.items()) if not future.cancel()]
        self._under_way.clear()
        self._finished.put(None)
        if not self.at_once:
            for future, shipment in running:
                self._see_end(shipment, future)

    def _see_end(self, shipment: _Shipment, future: Future[Any]) -> None:
        """Wait for what cannot be cancelled any more. Its failures count: they may be the first in the order of the inputs."""
        timeout = self._plan.policy.timeout
        left = None if timeout is None else _until((self._since(shipment) or time.monotonic()) + timeout)
        with contextlib.suppress(TimeoutError, CancelledError):
            future.exception(left)
        if timeout is None or future.done():
            self._take_in(shipment, future)
        else:
            self._give_up(shipment, future, timeout)

    def counts(self) -> Counts:
        """Where the call stands."""
        busy = sum(future.running() for future in list(self._under_way))
        return Counts(self._submitted, self._ended, self._failures, busy, dict(self._work), self._ledger)


def _until(deadline: float) -> float:
    """Seconds until then. What locks and queues wait has an end, what a user may set as a timeout has none."""
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)


def run_rows(first: int, rows: Sequence[Row], started: Started | None = None) -> tuple[list[object], int, object]:
    """Run calls one after the other: values (or ``Failed``), nanoseconds for all, and who ran them."""
    import os  # noqa: PLC0415 - may run in another process, which then needs only this function

    worker: object = threading.current_thread().name if started is not None else os.getpid()
    if started is not None:
        started.worker = worker
        started.at = time.monotonic()
    begin = time.monotonic_ns()
    values: list[object] = []
    for index, row in enumerate(rows, first):
        function, args, kwargs = row
        try:
            values.append(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the task's own
            values.append(Failed(index, note_task(error, index, row)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, while tasks run in the main thread itself
            failure = errors.RemoteError(type_name=type(error).__name__, text=str(error), traceback="")
            values.append(Failed(index, note_task(failure, index, row)))
    return values, time.monotonic_ns() - begin, worker


def note_task(error: BaseException, index: int, row: Row) -> BaseException:
    """Name the task on its error, once."""
    add_note(error, f"raised by {describe(index, row)}")
    return error


def describe(index: int, row: Row) -> str:
    """``task 3: square(3)``."""
    return f"task {index}: {call_of(row)}"


def call_of(row: Row) -> str:
    """``square(3)``."""
    import reprlib  # noqa: PLC0415 - only for failures

    function, args, kwargs = row
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        shown = ", ".join([reprlib.repr(a) for a in args] + [f"{k}={reprlib.repr(v)}" for k, v in kwargs.items()])
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a user's __repr__, which may even call sys.exit
        shown = "<arguments that cannot be shown>"
    return f"{name}({shown})"
