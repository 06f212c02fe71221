"""Results that are still to come, as ``multiprocessing.Pool`` gives them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from manyhands._core.policy import Failed
from manyhands._engine._interrupts import is_interrupt
from manyhands.errors import PoolClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands.backends._contract import OngoingStream
    from manyhands.backends._ending import Readable

T = TypeVar("T")

TERMINATED = "the pool was terminated while this call was under way"


def _too_late() -> NoReturn:
    import multiprocessing  # noqa: PLC0415 - 10 ms; who catches its TimeoutError has imported it

    raise multiprocessing.TimeoutError


class AsyncResult(Generic[T]):
    """What ``apply_async`` returns: the result of one call. It is there when the callback has returned, as in the standard library."""

    def __init__(
        self,
        future: Future[T],
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = future
        self._callback: _Callback | None = None
        if callback is not None or error_callback is not None:
            self._callback = _Callback(callback, error_callback)
            self._callback.attach(future)

    @property
    def calling(self) -> threading.Thread | None:
        """The thread that has been started for the callback, if the call had ended before it could be known."""
        return None if self._callback is None else self._callback.thread

    def get(self, timeout: float | None = None) -> T:
        """The result, as soon as it is there.

        Raises:
            multiprocessing.TimeoutError: it is not there after ``timeout`` seconds; the task goes on.
            Exception: what the task raised.
        """
        if timeout is not None or self._callback is not None:  # a time-out has to be told apart from a TimeoutError of the task's own
            self.wait(timeout)
            if not self.ready():
                _too_late()
        return self._future.result()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, or ``timeout`` seconds have passed."""
        deadline = None if timeout is None or self._callback is None else time.monotonic() + timeout
        with contextlib.suppress(TimeoutError, CancelledError):
            self._future.exception(timeout)
        if self._callback is not None and self._future.done():
            self._callback.wait(None if deadline is None else deadline - time.monotonic())

    def ready(self) -> bool:
        """Whether it is there."""
        return self._future.done() and (self._callback is None or self._callback.is_over())

    def successful(self) -> bool:
        """Whether the call ended without an exception.

        Raises:
            ValueError: it has not ended.
        """
        if not self.ready():
            msg = f"{self!r} not ready"
            raise ValueError(msg)
        return not self._future.cancelled() and self._future.exception() is None


_within = threading.local()  # ``callbacks``: how many of them this thread is in the midst of


class _Callback:
    """What is called with the result before anybody who waits is given it.

    **Guarantee**: it is waited for until it has returned or raised, except by a callback: that may be the one, or keep the thread that
    would call it.
    """

    __slots__ = ("_attaching", "_called", "_on_error", "_on_value", "_waiters", "thread")

    def __init__(self, on_value: Callable[[Any], object] | None, on_error: Callable[[BaseException], object] | None) -> None:
        self._on_value = on_value
        self._on_error = on_error
        self._called = False
        self._waiters: list[threading.Event] = []  # few ever have to wait, and an event is five objects
        self._attaching: int | None = None  # the thread that does
        self.thread: threading.Thread | None = None

    def attach(self, future: Future[Any]) -> None:
        """Be called when ``future`` is done; not by this thread now, which may hold a lock that the user's code needs."""
        self._attaching = threading.get_ident()
        try:
            future.add_done_callback(self)
        finally:
            self._attaching = None

    def __call__(self, future: Future[Any]) -> None:
        if self._attaching == threading.get_ident():  # it is done already
            self.thread = threading.Thread(target=self._run, args=(future,), name="manyhands-callback", daemon=True)
            with contextlib.suppress(RuntimeError):  # no room for a thread
                self.thread.start()
                return
            self.thread = None
        self._run(future)

    def _run(self, future: Future[Any]) -> None:
        outer = getattr(_within, "callbacks", 0)
        _within.callbacks = outer + 1
        try:
            self._call(future)
        except BaseException as error:  # whatever it is, it must not end the thread that others wait for
            if is_interrupt(error):
                raise
            logging.getLogger("concurrent.futures").exception("exception calling callback for %r", future)
        finally:
            _within.callbacks = outer
            self._called = True
            for event in self._waiters.copy():
                event.set()

    def _call(self, future: Future[Any]) -> None:
        try:
            value = future.result()
        except BaseException as error:  # noqa: BLE001 - the task's own, or that it was cancelled
            if self._on_error is not None:
                self._on_error(error)
        else:
            if self._on_value is not None:
                self._on_value(value)

    def is_over(self) -> bool:
        """Whether it has been called, and need not be waited for."""
        return self._called or getattr(_within, "callbacks", 0) > 0

    def wait(self, timeout: float | None) -> None:
        """Wait until it has been called, or ``timeout`` seconds have passed."""
        if not self.is_over():
            event = threading.Event()
            self._waiters.append(event)
            if not self._called:  # which is set before those who wait are looked for
                event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class MapResult(AsyncResult[list[T]]):
    """What ``map_async`` and ``starmap_async`` return: the results of all calls, as a list, or what the first that failed has raised."""


class IMapIterator(Generic[T]):
    """What ``imap`` and ``imap_unordered`` return: results one by one. What a task raises is raised at its turn, and the next follows.

    Inputs are read as results are taken, a bounded number ahead, in the thread that takes them; those that are left when the pool is
    joined, then.
    """

    def __init__(self, stream: OngoingStream, inputs: Readable, let_go: Callable[[IMapIterator[T]], object]) -> None:
        self._stream = stream
        self._inputs = inputs
        self._let_go = let_go
        self._chunks: Iterator[tuple[int, list[Any]]] = stream.chunks()
        self._values: deque[Any] = deque()
        self._lock = threading.RLock()
        self._ended = False  # there are no more results
        self.terminated: bool = False  # the pool has been, which cancels what has not started
        stream.start()

    def __iter__(self) -> IMapIterator[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next result.

        Raises:
            multiprocessing.TimeoutError: it is not there after ``timeout`` seconds; ask again.
            StopIteration: there are no more.
            PoolClosed, WorkerDied: the pool was terminated before all tasks had ended.
            Exception: what its task, or the iterable of inputs, has raised.
        """
        with self._lock:
            while not self._values:
                self._values.extend(self._next_chunk(timeout))
            value = self._values.popleft()
        if type(value) is Failed:
            cancelled = self.terminated and type(value.error) is CancelledError
            raise PoolClosed(TERMINATED) if cancelled else value.error
        return value  # type: ignore[no-any-return]

    def _next_chunk(self, timeout: float | None) -> list[Any]:
        self._stream.deadline = None if timeout is None else time.monotonic() + timeout
        try:
            return next(self._chunks)[1]
        except TimeoutError:
            self._chunks = self._stream.chunks()
            _too_late()
        except StopIteration:
            if not (self._ended or self._stream.is_complete()):
                raise PoolClosed(TERMINATED) from None
            self.close()
            self._inputs.check()
            raise

    def finish(self) -> None:
        """Read the inputs that are left, and wait until every task has ended; the results are kept."""
        self._stream.finish()

    def close(self) -> None:
        """End the call: what has not started does not run."""
        self._ended = True
        self._let_go(self)
        self._stream.close()
