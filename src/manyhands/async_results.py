"""Results that are still to come, as ``multiprocessing.Pool`` gives them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from manyhands._core.policy import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands.backends._contract import OngoingStream
    from manyhands.backends._ending import Readable

T = TypeVar("T")


def _too_late() -> NoReturn:
    import multiprocessing  # noqa: PLC0415 - 10 ms; who catches its TimeoutError has imported it

    raise multiprocessing.TimeoutError


class AsyncResult(Generic[T]):
    """What ``apply_async`` returns: the result of one call."""

    def __init__(
        self,
        future: Future[T],
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = future
        if callback is not None or error_callback is not None:
            future.add_done_callback(lambda done: _call_back(done, callback, error_callback))

    def get(self, timeout: float | None = None) -> T:
        """The result, as soon as it is there.

        Raises:
            multiprocessing.TimeoutError: it is not there after ``timeout`` seconds; the task goes on.
            Exception: what the task raised.
        """
        if timeout is not None:  # then it has to be told apart from a TimeoutError of the task's own
            self.wait(timeout)
            if not self._future.done():
                _too_late()
        return self._future.result()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, or ``timeout`` seconds have passed."""
        with contextlib.suppress(TimeoutError, CancelledError):
            self._future.exception(timeout)

    def ready(self) -> bool:
        """Whether it is there."""
        return self._future.done()

    def successful(self) -> bool:
        """Whether the call ended without an exception.

        Raises:
            ValueError: it has not ended.
        """
        if not self.ready():
            msg = f"{self!r} not ready"
            raise ValueError(msg)
        return not self._future.cancelled() and self._future.exception() is None


def _call_back(future: Future[T], callback: Callable[[T], object] | None, error_callback: Callable[[BaseException], object] | None) -> None:
    try:
        value = future.result()
    except BaseException as error:  # noqa: BLE001 - the task's own, or that it was cancelled
        if error_callback is not None:
            error_callback(error)
    else:
        if callback is not None:
            callback(value)


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
            Exception: what its task, or the iterable of inputs, has raised.
        """
        with self._lock:
            while not self._values:
                self._values.extend(self._next_chunk(timeout))
            value = self._values.popleft()
        if type(value) is Failed:
            raise value.error
        return value  # type: ignore[no-any-return]

    def _next_chunk(self, timeout: float | None) -> list[Any]:
        self._stream.deadline = None if timeout is None else time.monotonic() + timeout
        try:
            return next(self._chunks)[1]
        except TimeoutError:
            self._chunks = self._stream.chunks()
            _too_late()
        except StopIteration:
            self.close()
            self._inputs.check()
            raise

    def finish(self) -> None:
        """Read the inputs that are left, and wait until every task has ended; the results are kept."""
        self._stream.finish()

    def close(self) -> None:
        """End the call: what has not started does not run."""
        self._let_go(self)
        self._stream.close()
