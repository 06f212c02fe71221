"""The ``multiprocessing.Pool`` face: :class:`Pool` and :class:`ThreadPool`."""

from __future__ import annotations

import concurrent.futures
import threading
import warnings
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands._core.living import Living
from manyhands._core.options import UNSET, checked_count
from manyhands._core.policy import Failed, Policy
from manyhands._engine._interrupts import tell_briefly
from manyhands._wire._cpus import cpu_count
from manyhands.async_results import TERMINATED, AsyncResult, IMapIterator, MapResult
from manyhands.backends import Plan
from manyhands.backends._ending import Readable
from manyhands.backends._process_executor import Executor
from manyhands.backends._worker_handle import WorkerHandle
from manyhands.backends.threads import ThreadExecutor
from manyhands.errors import PoolClosed
from manyhands.reports import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from os import PathLike
    from typing import NoReturn, Self

    from manyhands.backends._contract import OngoingStream

T = TypeVar("T")

_RUN, _CLOSED, _TERMINATED = "RUN", "CLOSE", "TERMINATE"
_ALL = 2**62  # more tasks than there are


class _Base:
    """What pools of processes and of threads have in common: calls on an executor."""

    _executor: Executor | ThreadExecutor
    _backend: str
    _state = _TERMINATED  # until it has been made
    _processes = 0  # how many; programs look here

    def _begin(self, executor: Executor | ThreadExecutor, size: int, policy: Policy = Policy()) -> None:  # noqa: B008 - it is immutable
        self._executor = executor
        self._processes = size
        self._plan = partial(Plan, workers=size, policy=policy)  # of calls with many inputs
        self._iterators: set[IMapIterator[Any]] = set()  # that may have inputs left; kept, though nobody takes results
        self._streams: Living[OngoingStream] = Living()
        self._calling: Living[threading.Thread] = Living()  # what wait for maps, and call back
        self._state = _RUN

    # ------------------------------------------------------------ one call

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None) -> T:
        """``func(*args, **kwds)`` in a worker; waits for the result."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """``func(*args, **kwds)`` in a worker. Arguments are copied now; callbacks: see :meth:`map_async`."""
        self._check_running()
        result = AsyncResult(self._executor.submit(func, *args, **(kwds or {})), callback, error_callback)
        if result.calling is not None:
            self._calling.add(result.calling)
        return result

    # ------------------------------------------------------------ many calls

    def map(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None = None) -> list[T]:
        """``func`` of each item, as a list. All calls are made, also when one fails; then the first failure is raised.

        Args:
            chunksize: calls in one message; None: by measured time.
        """
        return self._collect(func, iterable, chunksize, star=False)

    def starmap(self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None) -> list[T]:
        """The same with ``func(*item)``."""
        return self._collect(func, iterable, chunksize, star=True)

    def _collect(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None, *, star: bool) -> list[T]:
        self._check_running()
        inputs = _listed(iterable)
        chunk = None if chunksize is None else _checked_chunk(chunksize)
        plan = self._plan(func, star=star, settled=True, quiet=True, chunk=chunk, eager=True, total=len(inputs))
        recording = Recording(func, self._backend, self._processes, chunk)
        stream = self._stream(plan, iter(inputs))
        recording.follow(stream, len(inputs))
        try:
            return _gather(stream, len(inputs))
        finally:
            recording.finish(stream)

    def map_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[T]:
        """The same as :meth:`map`, without waiting. All items are copied now.

        Args:
            callback: called once with the results, before they are :meth:`~AsyncResult.ready`, in another thread or in one that waits.
            error_callback: the same with the exception, if there is one.
        """
        return self._later(func, iterable, chunksize, callback, error_callback, star=False)

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult[T]:
        """The same with ``func(*item)``."""
        return self._later(func, iterable, chunksize, callback, error_callback, star=True)

    def _later(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[T]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        *,
        star: bool,
    ) -> MapResult[T]:
        self._check_running()
        inputs = _listed(iterable)
        # As multiprocessing does: there is no time to measure.
        chunk = -(-len(inputs) // (4 * self._processes)) or 1 if chunksize is None else _checked_chunk(chunksize)
        plan = self._plan(func, star=star, settled=True, quiet=True, chunk=chunk, ahead=_ALL, eager=True, total=len(inputs))
        stream = self._stream(plan, iter(inputs))
        stream.start()
        future: concurrent.futures.Future[list[T]] = concurrent.futures.Future()
        result = MapResult(future, callback, error_callback)
        thread = threading.Thread(target=_fulfil, args=(future, stream, len(inputs)), name="manyhands-map", daemon=True)
        thread.start()
        self._calling.add(thread)
        return result

    def imap(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator[T]:
        """``func`` of each item, one by one, in order."""
        return self._iterate(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator[T]:
        """The same as results come."""
        return self._iterate(func, iterable, chunksize, ordered=False)

    def _iterate(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int, *, ordered: bool) -> IMapIterator[T]:
        self._check_running()
        chunk = _checked_chunk(chunksize)
        inputs = Readable(iter(iterable))
        plan = self._plan(func, chunk=chunk, ordered=ordered)
        iterator: IMapIterator[T] = IMapIterator(self._stream(plan, iter(inputs)), inputs, self._iterators.discard)
        self._iterators.add(iterator)
        return iterator

    def _stream(self, plan: Plan, inputs: Iterator[object]) -> OngoingStream:
        stream = self._executor.stream(plan, inputs)
        self._streams.add(stream)
        return stream

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Accept nothing more. The workers end when what was submitted is done; :meth:`join` waits for that."""
        if self._state == _RUN:
            self._state = _CLOSED

    def terminate(self) -> None:
        """End at once: what has not ended fails. What runs in a thread cannot be stopped, and is left running."""
        self._state = _TERMINATED
        for iterator in self._iterators.copy():
            iterator.terminated = True
        self._stop()
        for stream in self._streams:
            if not stream.is_complete():  # otherwise its results may still be taken
                stream.close(at_once=True)
        self._iterators.clear()

    def _stop(self) -> None:
        raise NotImplementedError

    def join(self) -> None:
        """Wait until everything has been done, the callbacks have returned and the workers have ended.

        Raises:
            ValueError: neither :meth:`close` nor :meth:`terminate` has been called.
        """
        if self._state == _RUN:
            msg = "Pool is still running"
            raise ValueError(msg)
        for iterator in list(self._iterators) if self._state == _CLOSED else ():
            iterator.finish()
        self._executor.shutdown(wait=self._state == _CLOSED)
        for thread in self._calling:
            if thread is not threading.current_thread():  # which calls back just now
                thread.join()

    def _check_running(self) -> None:
        if self._state != _RUN:
            msg = "Pool not running"
            raise ValueError(msg)

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def __del__(self) -> None:
        if self._state == _RUN:
            self._executor.shutdown(wait=False)
            warnings.warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __reduce__(self) -> NoReturn:
        msg = "pool objects cannot be passed between processes or pickled"
        raise NotImplementedError(msg)

    def __repr__(self) -> str:
        return f"<manyhands.{type(self).__name__} state={self._state} pool_size={self._processes}>"


class _Workers(Executor):
    _finishes_at_exit = False  # a program that has not joined its pool ends without its tasks, as there


class Pool(_Base):
    """Worker processes, with the methods of ``multiprocessing.Pool``.

    Example:
        >>> from manyhands import Pool
        >>> with Pool(2) as pool:
        ...     pool.map(abs, [-1, 2, -3]), pool.apply(pow, (2, 5))
        ([1, 2, 3], 32)

    Args:
        processes: how many; None: one for each processor that may be used.
        initializer: called with ``initargs`` once in each worker, before its first task.
        initargs: its arguments.
        maxtasksperchild: a worker is replaced after so many tasks; None: never.
        context: of ``multiprocessing``, or a name of a start method: "fork", "spawn", "forkserver". None: manyhands' own, which needs no
            ``if __name__ == "__main__"`` guard.
        watch: have this program watched from now on, as by :func:`manyhands.watch`.
        record_failures: a folder in which tasks that fail are saved, so that they can be run again: see :func:`manyhands.map`.

    As there: leaving a ``with`` block terminates it, and so does the end of the program; :meth:`join` is called after :meth:`close`. Unlike
    there: workers are started when there is work for them; a task that ends its worker fails alone, with ``WorkerDied``; arguments are
    copied when they are submitted; lambdas, closures and decorated functions can be sent; ``imap`` reads its inputs as results are taken.

    Raises:
        ValueError, TypeError: an argument is not allowed.
    """

    _executor: Executor
    _backend = "processes"

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        watch: bool = UNSET,
        record_failures: str | PathLike[str] | None = UNSET,
    ) -> None:
        size = _checked_size(processes)
        _check_initializer(initializer)
        executor = _Workers(
            size,
            context,
            initializer,
            tuple(initargs),
            max_tasks_per_child=maxtasksperchild,
            watch=watch,
            record_failures=record_failures,
        )
        self._begin(executor, size, Policy(record=executor.record_failures))

    @property
    def _pool(self) -> list[WorkerHandle]:
        """The workers that live. Private there, and widely looked at."""
        return [WorkerHandle(pid) for pid in self._executor.worker_pids()]

    def _stop(self) -> None:
        self._executor.kill_workers()


class ThreadPool(_Base):
    """Threads of this process, with the methods of ``multiprocessing.pool.ThreadPool``. Arguments are shared, not copied.

    Example:
        >>> from manyhands import ThreadPool
        >>> with ThreadPool(2) as pool:
        ...     pool.starmap(pow, [(2, 3), (3, 2)])
        [8, 9]
    """

    _backend = "threads"
    _executor: ThreadExecutor

    def __init__(
        self, processes: int | None = None, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        size = _checked_size(processes)
        _check_initializer(initializer)
        self._begin(ThreadExecutor(size, None if initializer is None else partial(initializer, *initargs)), size)

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """``func(*args, **kwds)`` in a thread; callbacks: see :meth:`map_async`."""
        self._check_running()
        future: Future[T] = concurrent.futures.Future()
        result = AsyncResult(future, callback, error_callback)  # first: a thread may be done before this one goes on
        self._executor.fulfil(future, func, tuple(args), dict(kwds or {}))
        return result

    def _stop(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _checked_size(processes: int | None) -> int:
    if processes is None:
        return cpu_count()
    return checked_count("processes", processes, 1, "a number of workers from 1 on, or None for one for each processor")


def _check_initializer(initializer: object) -> None:
    if initializer is not None and not callable(initializer):
        msg = f"initializer must be a callable; it is {initializer!r:.100}"
        raise TypeError(msg)


def _checked_chunk(chunksize: int) -> int:
    return checked_count("chunksize", chunksize, 1, "a number of calls from 1 on")


def _listed(iterable: Iterable[Any]) -> list[Any] | tuple[Any, ...] | range:
    """What is there beforehand, so that no code of the user's runs while it is read."""
    if type(iterable) is list or type(iterable) is tuple or type(iterable) is range:
        return iterable
    return list(iterable)


def _gather(stream: OngoingStream, total: int) -> list[Any]:
    """All results; or, when all tasks have ended, the first failure."""
    results: list[Any] = []
    try:
        for _, values in stream.chunks():
            results += values
        if stream.failures:
            failed = [value.error for value in results if type(value) is Failed]
            if failed and type(failed[0]) is not CancelledError:  # that of a pool that was terminated
                raise failed[0]
            results = [] if failed else results
    except BaseException as error:
        stream.close(at_once=not isinstance(error, Exception))  # Ctrl-C does not wait for what runs in a thread
        if isinstance(error, KeyboardInterrupt):
            tell_briefly(error)
        raise
    stream.close()
    if len(results) < total:
        raise PoolClosed(TERMINATED)
    return results


def _fulfil(future: Future[list[Any]], stream: OngoingStream, total: int) -> None:
    try:
        results = _gather(stream, total)
    except BaseException as error:  # noqa: BLE001 - it is for whoever asks
        future.set_exception(error)
    else:
        future.set_result(results)
