"""Futures whose owner need not wait for another thread.

A standard ``Future`` is built with a Condition, which takes longer than all the rest of submitting a task, and that most never
need: here it is made when somebody asks for it. And a thread that waits for a result drives the pool itself.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
from collections import deque
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands import errors
from manyhands._codec import _failures, _packing, _pickling
from manyhands._engine import _calls
from manyhands._engine._interrupts import is_interrupt, tell_briefly
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from manyhands._core.tasks import Batch
    from manyhands._engine._calls import Ran
    from manyhands._engine._pool import ProcessPool
    from manyhands._wire._frames import Frame

T = TypeVar("T")

_PENDING = _base.PENDING
_CANCELLED = _base.CANCELLED_AND_NOTIFIED
_FINISHED = _base.FINISHED
# Of what a future gets only by need, and of the states of those that do not have it. Re-entrant: a finalizer or a signal's handler may
# end another future in the midst of it.
_making = threading.RLock()
_DONE = frozenset({_CANCELLED, _base.CANCELLED, _FINISHED})


def _renew_lock() -> None:
    """In a forked child: the thread that held it may not be there."""
    global _making  # noqa: PLW0603
    _making = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class _Lazy:
    """Makes what the standard library's ``wait`` and ``as_completed`` use when it is first asked for: ``_condition`` and ``_waiters``.

    What a future does not have costs no time, and the garbage collector need not visit it.
    """

    def __init__(self, made: str, make: Callable[[], object]) -> None:
        self._made = made  # the attribute that holds it; not found through ``__dict__``, which would have that made as well
        self._make = make

    def __get__(self, future: object, owner: object = None) -> Any:
        found = getattr(future, self._made)
        if found is None:
            with _making:
                found = getattr(future, self._made)
                if found is None:
                    made = self._make()
                    found = getattr(future, self._made)  # a finalizer may have been faster
                    if found is None:
                        setattr(future, self._made, made)
                        found = made
        return found


class Future(concurrent.futures.Future[T]):
    """The result of one task, like ``concurrent.futures.Future``, and in all its functions; a coroutine can ``await`` it.

    Attributes:
        worker: pid of the process that ran the task, well or badly; None before it has ended.
        started_at: when it started there, in seconds on the monotonic clock; None before it has ended.
        run_time: seconds it took there; None before it has ended.

    Results arrive while somebody waits for any of the pool's results, or, if nobody does, in a thread of the pool's own.
    """

    _condition = _Lazy("_made_condition", threading.Condition)
    _waiters = _Lazy("_made_waiters", list)

    def __init__(self, pool: ProcessPool) -> None:  # not super(): that would build the condition
        self._state = _PENDING
        self._result = None
        self._exception = None
        self._made_condition: threading.Condition | None = None
        self._made_waiters: list[Any] | None = None
        self._done_callbacks: list[Callable[[Any], object]] | None = None
        self._pool = pool
        self._batch: Batch | None = None
        self.worker: int | None = None
        self.started_at: float | None = None
        self.run_time: float | None = None

    # ------------------------------------------------------------ for the caller

    def done(self) -> bool:
        """Whether it has a result, an exception, or was cancelled."""
        return self._state in _DONE

    def running(self) -> bool:
        """Whether a worker has started the task and not finished it."""
        return self._state == _PENDING and self._batch is not None and self._pool.is_running(self._batch)

    def result(self, timeout: float | None = None) -> T:
        """The task's result, as soon as it is there.

        Raises:
            TimeoutError: it is not there after ``timeout`` seconds; the task goes on.
            CancelledError: the task was cancelled.
            Exception: what the task raised.
        """
        if self._state not in _DONE:
            self._await(timeout)
        return self._outcome()  # type: ignore[return-value]

    def _outcome(self) -> object:
        if self._state != _FINISHED:
            raise concurrent.futures.CancelledError
        if self._exception is None:
            return self._result
        try:
            raise self._exception
        finally:
            self = None  # type: ignore[assignment] # or the traceback keeps this future, and this future the traceback

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None; otherwise like :meth:`result`."""
        if self._state not in _DONE:
            self._await(timeout)
        if self._state != _FINISHED:
            raise concurrent.futures.CancelledError
        return self._exception

    def _await(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            ended = self._pool.wait(self.done, deadline)
        except KeyboardInterrupt as error:
            tell_briefly(error)
            raise
        if not ended:
            raise TimeoutError

    def __await__(self) -> Generator[Any, None, T]:
        """In a coroutine of asyncio (or uvloop): the result. The event loop goes on meanwhile.

        When the coroutine is cancelled while it waits, or its time is over (``asyncio.timeout``, ``wait_for``), so is the task, also if it
        has started: its worker is killed and replaced. To wait without that: ``asyncio.shield``, or ``asyncio.wrap_future``, which lets
        a task that has started go on.

        Example:
            >>> import asyncio
            >>> from manyhands import Executor
            >>> async def main(executor):
            ...     async with asyncio.timeout(5):
            ...         return await executor.submit(pow, 2, 10)
            >>> with Executor(2) as executor:
            ...     asyncio.run(main(executor))
            1024

        Raises:
            asyncio.CancelledError: the task was cancelled.
            Exception: what the task raised.
        """
        from manyhands._engine import _awaiting  # noqa: PLC0415 - asyncio takes 40 ms

        return _awaiting.outcome(self).__await__()

    def cancel(self, *, running: bool = False) -> bool:
        """Keep the task from running; False if it has started already.

        With ``running=True`` a task that has started is stopped as well: its worker is killed and replaced.
        """
        if self._state in _DONE:
            return self._state != _FINISHED
        batch = self._batch
        if batch is None or not self._pool.cancel_task(batch, running=running):
            return self._state in _DONE and self._state != _FINISHED
        self._end(_CANCELLED)
        self._pool.notify()
        return self._state != _FINISHED

    # ------------------------------------------------------------ for the pool

    def _ran(self, worker: int | None, started: int, nanoseconds: int) -> None:
        self.worker = worker
        self.started_at = started / 1e9
        self.run_time = nanoseconds / 1e9

    def set_result(self, result: T) -> None:
        """Only for whoever runs the task."""
        if self._state not in _DONE:
            self._result = result
        self._end(_FINISHED)

    def set_exception(self, exception: BaseException | None) -> None:
        """Only for whoever runs the task."""
        if self._state not in _DONE:
            self._exception = exception
        self._end(_FINISHED)

    def _end_quietly(self, worker: int, frame: Frame) -> bool:
        """Take a result that is an atom, if that calls nobody back; whether that was all."""
        if self._made_condition is not None or self._done_callbacks or self._state in _DONE:
            return False
        try:
            (self._result,) = _packing.split_atoms(frame.payload)  # type: ignore[assignment]
        except Exception:  # noqa: BLE001 - it is garbled: that is for set_exception, which calls back
            return False
        self._ran(worker, frame.a, frame.b)
        if self._become(_FINISHED):
            self._kept()
        return not self._done_callbacks

    def _end(self, state: str) -> None:
        if self._become(state):
            self._kept()
        # Those that are left as well, if Ctrl-C struck one of them and it is delivered again.
        if self._done_callbacks and not self._pool.puts_off(self._invoke_callbacks):
            self._invoke_callbacks()

    def _lose(self, error: BaseException) -> bool:
        """Its task will never end: be done, and call nobody back yet; False if it is done already."""
        if (batch := self._batch) is not None:
            batch.cancelled = True  # should it be found somewhere
        if self._state not in _DONE:
            self._exception = error
        lost = self._become(_FINISHED)
        self._kept()
        return lost

    def _kept(self) -> None:
        """It has what it was promised."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.call.sink.promised.discard(self)  # type: ignore[attr-defined]

    def _become(self, state: str) -> bool:
        """Be done, in this way; False if it is already. Whoever holds the condition, if there is one, sees no change of the state."""
        with _making:  # nobody makes a condition now
            condition = self._made_condition
            if condition is None:
                if self._state in _DONE:
                    return False
                self._state = state
                return True
        with condition:
            if self._state in _DONE:
                return False
            self._state = state
            self._tell(condition)
        return True

    def _tell(self, condition: threading.Condition) -> None:
        for waiter in self._waiters:
            if self._state == _FINISHED:
                tell = waiter.add_result if self._exception is None else waiter.add_exception
            else:
                tell = waiter.add_cancelled
            tell(self)
        condition.notify_all()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn`` with this future when it is done; at once if it is already."""
        callbacks = self._done_callbacks
        if callbacks is None:
            with _making:  # or two threads would make two
                if self._done_callbacks is None:
                    self._done_callbacks = []
                callbacks = self._done_callbacks
        callbacks.append(fn)
        if self._state in _DONE:
            # It may have ended just now, and called the callbacks without or with this one.
            try:
                callbacks.remove(fn)
            except ValueError:
                return
            try:
                fn(self)
            except Exception:  # noqa: BLE001 - what the standard library does with a callback that raises
                _base.LOGGER.exception("exception calling callback for %r", self)

    def _invoke_callbacks(self) -> None:
        callbacks = self._done_callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:  # another thread was faster
                return
            try:
                callback(self)
            except BaseException as error:  # as above; the driver cannot end for what the user's code raises
                if is_interrupt(error):
                    raise
                _base.LOGGER.exception("exception calling callback for %r", self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} state={self._standing()}>"

    def _standing(self) -> str:
        if self.running():
            return "running"
        state = self._state
        if state != _FINISHED:
            return state.split("_")[0].lower()
        error = self._exception
        return f"finished returned {type(self._result).__name__}" if error is None else f"finished raised {type(error).__name__}"


class FutureSink:
    """Gives results to the futures that are their batches' tags.

    ``promised`` are those that have not ended. ``work``: for each worker by its pid, how many tasks and how many nanoseconds, as long as
    somebody asks (``keeps_accounts``, of all): an executor may live long, and wear out many workers.
    """

    keeps_accounts = False

    def __init__(self) -> None:
        self.work: dict[int, list[int]] = {}
        self.on_death: Callable[[BaseException], object] | None = None  # called when a task has ended its worker
        self.promised: set[Future[Any]] = set()
        self._lost: deque[Future[Any]] = deque()  # whose callbacks have not been called

    def beside(self) -> FutureSink:
        """One for the same futures, with accounts of its own."""
        sink = FutureSink()
        sink.promised, sink.on_death = self.promised, self.on_death
        return sink

    def promise(self, future: Future[Any], batch: Batch) -> None:
        """``future`` is what waits for the one task of ``batch``."""
        future._batch = batch  # noqa: SLF001 - made for this
        self.promised.add(future)

    def take(self, batch: Batch, offset: int, frame: Frame, worker: int) -> bool:
        future: Future[object] = batch.tag  # type: ignore[assignment]
        # Nobody else can unpickle an atom, and nobody has to be told.
        return bool(frame.flags & _frames.ONE_PICKLE) and future._end_quietly(worker, frame)  # noqa: SLF001 - as below

    def deliver(self, batch: Batch, offset: int, frame: Frame, worker: int) -> None:
        future: Future[object] = batch.tag  # type: ignore[assignment]
        future._ran(worker, frame.a, frame.b)  # noqa: SLF001 - as below
        try:
            atom = frame.flags & _frames.ONE_PICKLE
            result = _packing.split_atoms(frame.payload)[0] if atom else _pickling.decode(frame.payload, frame.buffers, "result")
        except BaseException as error:  # __setstate__ may raise anything; then this task has failed
            if is_interrupt(error):
                raise
            error = _failures.of_unpickling(error, "the task's result")
            _calls.save_failure(batch, error, (worker, frame.a, frame.b), is_result=True)
            future.set_exception(error)
        else:
            future.set_result(result)

    def failed(self, batch: Batch, error: BaseException, ran: Ran | None) -> None:
        future: Future[object] = batch.tag  # type: ignore[assignment]
        if ran is not None:
            future._ran(*ran)  # noqa: SLF001 - one of the two that know how a task ran
            if ran[0] is not None and isinstance(error, _calls.deadly()):
                self.account(ran[0], 1, ran[2])  # what returns or raises is accounted for where it is reported
        future.set_exception(error)
        if self.on_death is not None and isinstance(error, errors.WorkerDied):
            self.on_death(error)

    def cancelled(self, batch: Batch) -> None:
        future: Future[object] = batch.tag  # type: ignore[assignment]
        future._end(_CANCELLED)  # noqa: SLF001 - set_exception would not make it cancelled()

    def account(self, worker: int, tasks: int, nanoseconds: int) -> None:
        if self.keeps_accounts:
            work = self.work.setdefault(worker, [0, 0])
            work[0] += tasks
            work[1] += nanoseconds

    def lost(self, error: BaseException) -> None:
        for future in self.promised.copy():
            if future._lose(error):  # noqa: SLF001 - as above
                self._lost.append(future)
        # Not before all have ended: a callback of one may wait for another.
        while self._lost:
            future = self._lost.popleft()
            try:
                future._invoke_callbacks()  # noqa: SLF001 - as above
            except BaseException:  # Ctrl-C: those that are left are called when this is delivered again
                self._lost.appendleft(future)
                raise
