"""One call over many inputs: fed, driven and collected by the caller's thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures, _packing, _pickling
from manyhands._core.batching import READING, Pace, batches_ahead
from manyhands._core.failing import FirstFailure
from manyhands._core.ledger import Ledger
from manyhands._core.ordering import Reorder
from manyhands._core.policy import Failed, add_note
from manyhands._core.slowest import LEAST
from manyhands._core.tasks import Batch
from manyhands._engine import _calls, _echo
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands._engine._calls import PoolCall, Ran
    from manyhands._engine._feed import Feed
    from manyhands._engine._pool import ProcessPool
    from manyhands._wire._frames import Bytes, Frame


# Nanoseconds of reading after which what was read is sent at once.
_SLOW = 1_000_000
# Nanoseconds of reading inputs or taking results after which workers are looked after, too.
_ABSORBED = 2_000_000
# After so many of them the clock is looked at.
_SOME = 16
# So few numbers or texts take no longer to read than looking at the clock does.
_FEW = 64


def _describe(batch: Batch, offset: int) -> str:
    return _calls.describe(batch.cut(offset, offset + 1))


class Arrivals:
    """The sink of a stream: results as they came, still encoded.

    ``fault``: why those that are awaited will not come, if the pool has failed.

    Whoever drives brings them, and counts each when it lies here; the caller takes them, and counts what it could not send or read.
    """

    def __init__(self) -> None:
        self.raw: deque[tuple[Batch, int, Frame]] = deque()
        self.failed_tasks: deque[Failed] = deque()
        self.fault: BaseException | None = None
        self.ledger = Ledger()
        self.work: dict[int, list[int]] = {}  # pid of a worker: [tasks, nanoseconds]
        self._came = 0
        self._failed = 0
        self._unsent = 0
        self._unread = 0

    @property
    def ended(self) -> int:
        """How many tasks have. Ask first, and look for results afterwards."""
        return self._came + self._unsent

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._failed + self._unsent + self._unread

    def take(self, batch: Batch, offset: int, frame: Frame, worker: int) -> bool:
        self.raw.append((batch, offset, frame))
        self._came += frame.count
        ledger = self.ledger
        ledger.received += len(frame.payload)
        if frame.buffers:
            ledger.received += sum(map(len, frame.buffers))
        if frame.a < ledger.first_start:
            ledger.first_start = frame.a
        if frame.b >= LEAST:
            ledger.slowest.add(frame.b, frame.count, partial(_describe, batch, offset))
        return True

    def deliver(self, batch: Batch, offset: int, frame: Frame, worker: int) -> None:
        self.take(batch, offset, frame, worker)

    def failed(self, batch: Batch, error: BaseException, ran: Ran | None) -> None:
        self.failed_tasks.append(Failed(batch.first, error))
        self._failed += 1
        self._came += 1
        if ran is not None:
            if isinstance(error, _calls.deadly()) and ran[0] is not None:
                self.account(ran[0], 1, ran[2])  # what returns or raises is accounted for where it is reported
            self.ledger.first_start = min(self.ledger.first_start, ran[1])
            self.ledger.slowest.add(ran[2], 1, partial(_describe, batch, 0))

    def cancelled(self, batch: Batch) -> None:
        if batch.call.cancelled:
            return  # nobody asks for it any more
        from concurrent.futures import CancelledError  # noqa: PLC0415 - 5 ms; only if the pool is ended under a call

        self.failed(batch, CancelledError("the pool was shut down"), None)

    def lost(self, error: BaseException) -> None:
        self.fault = error

    def account(self, worker: int, tasks: int, nanoseconds: int) -> None:
        work = self.work.get(worker)
        if work is None:
            work = self.work[worker] = [0, 0]
        work[0] += tasks
        work[1] += nanoseconds

    def unsent(self, index: int, error: BaseException) -> None:
        """Task ``index`` cannot be sent."""
        self.failed_tasks.append(Failed(index, error))
        self._unsent += 1

    def unread(self) -> None:
        """A result cannot be read."""
        self._unread += 1

    def __bool__(self) -> bool:
        return bool(self.raw or self.failed_tasks)


class Stream:
    """Results of one call in chunks: ``(index of the first, list of values)``; a task that failed is a :class:`Failed`.

    The input is read in the thread that takes the results, no further ahead of them than ``buffer`` tasks. ``total`` is the number
    of inputs where it is known; ``chunk`` fixes the size of a batch.
    """

    def __init__(
        self,
        pool: ProcessPool,
        call: PoolCall,
        arrivals: Arrivals,
        feed: Feed,
        *,
        total: int | None,
        chunk: int | None,
        buffer: int | None,
        ahead: int | None,
        eager: bool,
        fail_fast: bool,
    ) -> None:
        self._pool = pool
        self.call = call
        self.arrivals = arrivals
        self._feed = feed
        self.total = total
        self._chunk = chunk
        self._buffer = buffer
        self._ahead = ahead
        self._eager = eager  # results are taken as soon as they are there
        self._fail_fast = fail_fast
        self._order: Reorder[object] = Reorder()
        self._first_failure = FirstFailure()
        self._refusal: BaseException | None = None  # why no more is to be read
        self.watch: Callable[[int], object] | None = None  # is told how many tasks have just ended, their turn or not
        self.deadline: float | None = None  # by when all results have to be there, on the monotonic clock
        self._closed = False
        self._exhausted = False
        self._pace = Pace()
        self._slow = False  # reading keeps the caller from other things
        self._looked = 0  # when the workers were looked after last
        self._submitted = 0
        self._taken = 0
        self._filling = threading.RLock()

    def start(self) -> None:
        """Submit the first inputs without waiting."""
        self._fill()
        self._pool.hand_over()

    def finish(self) -> None:
        """Read all inputs, or, where these are read only as results are taken, no more; and wait until every task has ended.

        Results can be taken afterwards, also when the pool is gone.
        """
        if self._buffer is not None:
            self._refusal = errors.PoolClosed("the executor was shut down, so no more inputs are read")
        self._eager = self._buffer is None
        arrivals = self.arrivals
        while not self._closed and self._fault() is None and not self._complete():
            if self._buffer is None:
                self._fill()
            elif arrivals.ended == self._submitted:
                return
            self._pool.wait(lambda: bool(arrivals.fault) or arrivals.ended == self._submitted or self._may_read())

    def _may_read(self) -> bool:
        return self._eager and not self._exhausted and self._room() > 0

    def cancel_waiting(self) -> None:
        """Read no more, and cancel what has not started."""
        self._exhausted = True
        self._pool.cancel_waiting_of(self.call)

    # ------------------------------------------------------------ chunks

    def chunks(self, *, ordered: bool) -> Iterator[tuple[int, list[object]]]:
        """Chunks as they come, or in the order of the inputs; what has failed last, if those before it do not end in time."""
        arriving = self._as_they_come() if self.watch is None else self._told(self.watch)
        self._fail_fast = self._fail_fast and ordered  # otherwise each failure is given out at once
        for chunk in self._order.chunks(arriving) if ordered else arriving:
            given = time.monotonic_ns()
            yield chunk
            self.arrivals.ledger.away += time.monotonic_ns() - given
            self._taken += len(chunk[1])
        if self._first_failure.index is not None and (failed := self.held_back()):
            yield failed[0].index, list(failed)

    def _told(self, watch: Callable[[int], object]) -> Iterator[tuple[int, list[object]]]:
        for chunk in self._as_they_come():
            watch(len(chunk[1]))
            yield chunk

    def held_back(self) -> list[Failed]:
        """Failures whose turn has not come."""
        return [value for value in self._order.drain() if type(value) is Failed]

    def _as_they_come(self) -> Iterator[tuple[int, list[object]]]:
        arrivals = self.arrivals
        while not self._closed and not self._first_failure.is_final(time.monotonic()):
            self._fill()
            fault, complete = self._fault(), self._complete()  # first: another thread may bring the last results just now
            if arrivals:
                if not self._eager:
                    self._pool.hand_over()  # the caller may be busy with the results for a while
                count = 0
                while arrivals and not self._closed:
                    yield self._next_arrival()
                    count += 1
                    if self._eager and count % _SOME == 0:
                        self._look_in()
            elif complete:
                return
            elif fault is not None:
                raise fault
            elif self._pool.wait(self._has_news, self._until()):
                self._looked = time.monotonic_ns()
            elif self.deadline is not None and time.monotonic() >= self.deadline:
                raise TimeoutError

    def _until(self) -> float | None:
        return min((when for when in (self.deadline, self._first_failure.until) if when is not None), default=None)

    def _note_failure(self, index: int) -> None:
        """Read no more, and have nothing start that comes after it; what comes before may fail as well."""
        if not self._fail_fast or not self._first_failure.note(index, time.monotonic()):
            return
        self._exhausted = True
        if index > self._order.next:
            self._pool.cut_call(self.call, index)

    def _look_in(self) -> bool:
        """Look after the workers, if it was long ago that somebody did; whether it was."""
        now = time.monotonic_ns()
        if now - self._looked < _ABSORBED:
            return False
        self._looked = now
        self._pool.look_in()
        return True

    def _next_arrival(self) -> tuple[int, list[object]]:
        if self.arrivals.failed_tasks:
            failed = self.arrivals.failed_tasks.popleft()
            self._note_failure(failed.index)
            return failed.index, [failed]
        batch, offset, frame = self.arrivals.raw.popleft()
        first = batch.first + offset
        if frame.flags & _frames.ONE_PICKLE and frame.count < _FEW:
            return first, _packing.split_atoms(frame.payload)
        begin = time.monotonic_ns()
        if frame.flags & _frames.ONE_PICKLE:
            values = _packing.split_atoms(frame.payload)
            self.arrivals.ledger.collecting += time.monotonic_ns() - begin
            return first, values
        pickles = _packing.split_pickles(frame.payload, frame.count)
        values = [self._decode(index, pickled, frame, batch) for index, pickled in enumerate(pickles, first)]
        self.arrivals.ledger.collecting += time.monotonic_ns() - begin
        return first, values

    def _decode(self, index: int, pickled: Bytes, frame: Frame, batch: Batch) -> object:
        try:
            return _pickling.decode(pickled, frame.buffers, "result")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - __setstate__ may raise anything; then this task has failed
            self.arrivals.unread()
            self._note_failure(index)
            error = _failures.of_unpickling(error, f"the result of task {index}")
            _calls.save_failure(batch.cut(index - batch.first, index - batch.first + 1), error, is_result=True)
            return Failed(index, error)

    # ------------------------------------------------------------ inputs

    def _complete(self) -> bool:
        return self._exhausted and self.arrivals.ended == self._submitted

    def _fault(self) -> BaseException | None:
        """Why results that are awaited will not come. What befell the pool when none were does not concern this call."""
        arrivals = self.arrivals
        if arrivals.fault is not None and arrivals.ended == self._submitted:
            arrivals.fault = None
        return arrivals.fault

    def _has_news(self) -> bool:
        if self._complete() or self.arrivals or self._closed or self.arrivals.fault is not None:
            return True
        return not self._exhausted and self._room() > 0

    def _room(self) -> int:
        """How many more tasks should be submitted now."""
        size = self._batch_size()
        ahead = size * batches_ahead(self._feed.cost, size, self.call.limit) if self._ahead is None else self._ahead
        room = ahead - (self._submitted - self.arrivals.ended)
        if not self._eager:
            buffer = self._buffer if self._buffer is not None else 4 * ahead
            room = min(room, buffer - (self._submitted - self._taken))
        return room

    def _batch_size(self) -> int:
        if self._chunk is not None:
            return self._chunk
        remaining = None if self.total is None else max(1, self.total - self._submitted)
        size = self._feed.cost.batch_size(self.call.limit, remaining)
        return size if self._feed.settled else min(size, self._pace.most)

    def _fill(self) -> None:
        """Read inputs and submit them, as long as the workers or the buffer have room."""
        if self._exhausted or self._fault() is not None:
            return
        with self._filling:  # an executor that is shut down reads the inputs while another thread takes the results
            begin, before, ledger = time.monotonic_ns(), self._submitted, self.arrivals.ledger
            ledger.preparing_since = begin
            try:
                self._fill_alone(begin + READING)
            finally:
                ledger.preparing_since = 0
                if self._submitted > before:
                    ledger.preparing += time.monotonic_ns() - begin
                    ledger.dispatched(self._submitted - self.arrivals.ended)

    def _fill_alone(self, until: int) -> None:
        if self._exhausted:  # meanwhile
            return
        self._pool.check_usable()
        if self._refusal is not None and self._room() > 0:
            raise self._refusal
        while not self._exhausted and self.arrivals.fault is None and (room := self._room()) > 0:
            size = self._batch_size()
            if not self._eager or self._ahead is not None:
                size = min(size, room)
            for count in range(1, max(1, room // size) + 1):
                if self._read(size) or (self._slow and not self._eager):
                    break
                if count % _SOME == 0 and self._look_in():
                    break
            if self._slow and self.arrivals and not self._eager and self._ahead is None and time.monotonic_ns() > until:
                return  # results that are there do not wait for inputs

    def _read(self, size: int) -> bool:
        """Submit the next ``size`` inputs; whether there were no more."""
        begin = 0 if self._feed.settled else time.monotonic_ns()
        count, made = self._feed.take(self.call, self._submitted, size)
        if self._closed:  # meanwhile, by another thread
            return True
        self._submitted += count
        self.arrivals.ledger.batches += len(made)
        for batch in made:
            if isinstance(batch, Batch):
                self._pool.post(batch)
            else:
                index, error = batch
                add_note(error, f"so task {index} could not be sent")
                self.arrivals.unsent(index, error)
        self._exhausted = count < size
        if count > self.arrivals.ledger.chunk:
            self.arrivals.ledger.chunk = count
        if begin:
            took = time.monotonic_ns() - begin
            self._pace.read(count, took)
            self._slow = took > _SLOW
            if self._slow or (count == self._submitted and not self._exhausted):
                self._pool.hand_over()  # what was read is sent while the next is waited for
        return self._exhausted

    @property
    def submitted(self) -> int:
        """How many inputs have been read."""
        return self._submitted

    def is_complete(self) -> bool:
        """Whether every input has been read and every task has ended, before anybody closed it. Not all results may have been taken."""
        return not self._closed and self._complete()

    def close(self, *, at_once: bool = False) -> None:
        """End the call: when this returns, nothing of it runs any more."""
        self._closed = self._exhausted = True
        at_once = at_once or self._first_failure.is_final(time.monotonic())  # then they have had their time
        if self.arrivals.ended < self._submitted:
            self._pool.cancel_call(self.call, at_once=at_once)
            self._pool.notify()
        self._pool.watch()
        _echo.forget_open_lines()
