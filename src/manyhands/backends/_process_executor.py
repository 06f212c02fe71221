"""The executor of worker processes. Apart from ``processes``, since ``concurrent.futures`` takes 8 ms to import."""

from __future__ import annotations

import concurrent.futures
import os
import time
import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from manyhands._core.options import UNSET, block, checked_count, refuse, resolve
from manyhands._core.policy import Failed, Policy
from manyhands._core.tasks import Batch
from manyhands._engine import _feed, _state
from manyhands._engine._futures import Future, FutureSink
from manyhands._wire._cpus import cpu_count
from manyhands.backends._contract import Plan
from manyhands.backends._preload import warn_of_missing
from manyhands.backends._process_stream import ProcessStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from manyhands._engine._calls import PoolCall

P = ParamSpec("P")
T = TypeVar("T")

_ALL = 2**62  # more tasks than there are
_WORKERS = "a number of workers from 1 on, or None for one for each processor"


class Executor(concurrent.futures.Executor):
    """Runs calls in worker processes: a ``concurrent.futures.Executor`` that does not break.

    Example:
        >>> from manyhands import Executor
        >>> with Executor(max_workers=2) as executor:
        ...     executor.submit(pow, 2, 10).result()
        1024

    Args:
        max_workers: how many worker processes at most; None: what ``manyhands.options(workers=...)`` or ``MANYHANDS_WORKERS`` says,
            else one for each processor that may be used.
        initializer: called with ``initargs`` once in each worker, before its first task.
        initargs: its arguments.
        max_tasks_per_child: a worker is replaced after so many tasks; None: never.
        start_method: "zygote" (forked from a small clean process), "spawn" (a new interpreter) or "fork" (a copy of this process).
        memory_limit: bytes (or a text like "2GB") of data that a worker may hold; the task that needs more fails with MemoryError.
        idle_timeout: seconds after which a worker that has nothing to do leaves. It is started again when there is work.
            The longest is 20 days.
        preload: names of modules that are imported once, before workers are forked (start method "zygote").
        mp_context: as in the standard library, or a name ("fork", "spawn", "forkserver"): that start method is taken if ``start_method`` is
            not given.

    What is left out, from ``max_tasks_per_child`` on, is taken from :func:`manyhands.options` or the environment, if there is anything.

    **Promises.** A task that ends its worker fails alone, with ``WorkerDied``; all others go on, and the executor remains usable.
    Arguments are copied when ``submit`` is called. When a ``with`` block has been left, nothing runs any more.
    No ``if __name__ == "__main__"`` guard is needed, except with ``start_method="fork"``.

    **Not promised.** A task that ended its worker may have had effects before; ``retries`` runs it again.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        *,
        max_tasks_per_child: int | None = UNSET,
        start_method: str = UNSET,
        memory_limit: int | str | None = UNSET,
        idle_timeout: float = UNSET,
        preload: tuple[str, ...] | list[str] = UNSET,
    ) -> None:
        if initializer is not None and not callable(initializer):
            msg = f"initializer={initializer!r} is not callable"
            raise TypeError(msg)
        named = _start_method_of(mp_context)
        given = {
            "workers": UNSET if max_workers is None else checked_count("max_workers", max_workers, 1, _WORKERS),
            "max_tasks_per_child": max_tasks_per_child,
            "start_method": named if start_method is UNSET else start_method,
            "memory_limit": memory_limit,
            "idle_timeout": idle_timeout,
            "preload": preload,
        }
        if not isinstance(initargs, tuple | list):
            raise refuse("initargs", initargs, "a tuple of the arguments of the initializer")
        self._options = resolve(given, block.get(), os.environ)
        warn_of_missing(self._options.preload, stacklevel=2)
        self._max_workers = self._options.workers or cpu_count()
        self._pool = _state.new_pool(
            finish_at_exit=True,
            start_method=self._options.start_method,
            initializer=None if initializer is None else (initializer, tuple(initargs)),
            max_tasks_per_child=self._options.max_tasks_per_child,
            memory_limit=self._options.memory_limit,
            idle_timeout=self._options.idle_timeout,
            preload=self._options.preload,
            limit=self._max_workers,
        )
        self._call = self._open(Policy(), 0)
        self._unfinished: weakref.WeakSet[ProcessStream] = weakref.WeakSet()  # of :meth:`map`, whose inputs may not all be read
        # One that is forgotten finishes what it was given, and ends.
        self._forgotten = weakref.finalize(self, self._pool.shutdown_later)
        self._forgotten.atexit = False

    def _open(self, policy: Policy, priority: int) -> PoolCall:
        # The pool's own limit bounds the workers; the executor may be resized beyond what it has now.
        return self._pool.open_call(FutureSink(), policy, limit=2**31, priority=priority)

    # ------------------------------------------------------------ tasks

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker and return its future.

        Raises:
            NotSerializable: the function or an argument cannot be sent; the message tells which part.
            PoolClosed: the executor has been shut down.
        """
        return self._submit(self._call, fn, args, kwargs)

    def _submit(self, call: PoolCall, fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]) -> Future[T]:
        pool = self._pool
        if pool.closed or pool.pid != os.getpid():
            pool.check_open()
        function = pool.function(fn)
        form, items = _feed.encode_one(function, args, kwargs)
        future: Future[T] = Future(pool)
        batch = Batch(call, call.submitted, items, function.cost, form, future)
        call.submitted += 1
        call.sink.promise(future, batch)  # type: ignore[attr-defined]
        pool.submit(batch)
        return future

    def with_options(
        self,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        backoff: float = 0.0,
        priority: int = 0,
    ) -> BoundExecutor:
        """The same workers, with a policy for what is submitted through the returned executor.

        Args:
            timeout: seconds that a task may run, counted from its start; then its worker is stopped and it fails with ``TaskTimeout``.
            retries: how often a task that failed runs again.
            retry_on: failures for which it does; the death of its worker is ``WorkerDied``.
            backoff: seconds before the first repetition, doubled for each further one.
            priority: tasks of a higher priority start first.

        Example:
            >>> with Executor(2) as executor:
            ...     executor.with_options(timeout=5, retries=2).submit(sum, [1, 2]).result()
            3
        """
        given = {"timeout": timeout, "retries": retries, "retry_on": retry_on, "backoff": backoff, "priority": priority}
        options = resolve(given, {}, {})
        policy = Policy(options.timeout, options.retries, options.retry_on, options.backoff)
        return BoundExecutor(self, self._open(policy, options.priority), given)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Results of ``fn`` over the inputs, in order: an iterator, like the standard library's.

        Args:
            timeout: seconds from now until the last result has to be there.
            chunksize: how many calls go in one message; 0 lets manyhands choose by measured time.
            buffersize: how many tasks may be submitted whose results have not been taken. None: all inputs are read, at once, or with
                ``chunksize=0`` as workers need them; at the latest when the executor is shut down.

        Raises:
            TimeoutError: from the iterator, when ``timeout`` has passed.
        """
        _check_map(fn, chunksize, buffersize)
        self._pool.check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        if chunksize == 1:
            return _results(self, fn, zip(*iterables, strict=False), buffersize, deadline)
        plan = Plan(
            function=fn,
            star=True,
            workers=self._max_workers,
            chunk=chunksize or None,
            buffer=buffersize,
            ahead=_ALL if chunksize and buffersize is None else None,
            eager=buffersize is None,
        )
        stream = ProcessStream(self._pool, plan, zip(*iterables, strict=False), deadline=deadline)
        if buffersize is None:
            self._unfinished.add(stream)
        try:
            stream.start()
        except BaseException:
            self._unfinished.discard(stream)
            raise
        return _flat(stream)

    def resize(self, max_workers: int) -> None:
        """From now on at most ``max_workers`` workers; those that are too many leave when they have finished their tasks.

        Raises:
            PoolClosed: the executor has been shut down.
        """
        max_workers = checked_count("max_workers", max_workers, 1, "a number of workers from 1 on")
        self._pool.resize(max_workers)
        self._max_workers = max_workers

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return self._pool.pids()

    # ------------------------------------------------------------ the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more, and end the workers when what was submitted is done.

        Args:
            wait: return only then. Otherwise a thread sees to it.
            cancel_futures: cancel what has not started.
        """
        pool = self._pool
        pool.close()
        self._forgotten.detach()
        if pool.pid != os.getpid():
            return
        if cancel_futures:
            pool.cancel_waiting()
        if wait:
            for stream in list(self._unfinished) if not cancel_futures else ():
                stream.finish()
            pool.drain()
            pool.shutdown()
        else:
            pool.shutdown_later()

    def terminate_workers(self) -> None:
        """Ask all workers to end (SIGTERM), whatever they do, and shut the executor down. What they ran fails with ``WorkerDied``."""
        self._forgotten.detach()
        self._pool.terminate()

    def kill_workers(self) -> None:
        """End all workers at once (SIGKILL) and shut the executor down. What they ran fails with ``WorkerDied``."""
        self._forgotten.detach()
        self._pool.kill()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C, sys.exit
            self.kill_workers()
        else:
            self.shutdown(wait=True)

    def __repr__(self) -> str:
        state = "closed" if self._pool.closed else f"{len(self._pool.pids())} running"
        return f"<manyhands.Executor of {self._max_workers} workers, {state}>"


class BoundExecutor(concurrent.futures.Executor):
    """An executor's workers under options of their own: see :meth:`Executor.with_options`. Shut the executor itself down."""

    def __init__(self, executor: Executor, call: PoolCall, given: dict[str, Any]) -> None:
        self._executor = executor
        self._call = call
        self._given = given

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Like :meth:`Executor.submit`, under these options."""
        return self._executor._submit(self._call, fn, args, kwargs)  # noqa: SLF001 - two faces of one executor

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Like :meth:`Executor.map`, under these options; tasks go one by one, whatever ``chunksize``."""
        _check_map(fn, chunksize, buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        return _results(self, fn, zip(*iterables, strict=False), buffersize, deadline)

    def with_options(self, **changed: Any) -> BoundExecutor:
        """The same workers, with these of the options changed."""
        return self._executor.with_options(**{**self._given, **changed})

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return self._executor.worker_pids()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Does nothing: the workers are the executor's."""

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"<{self._executor!r} with {given}>"


def _check_map(fn: object, chunksize: object, buffersize: object) -> None:
    if not callable(fn):
        msg = f"fn={fn!r} is not callable"
        raise TypeError(msg)
    checked_count("chunksize", chunksize, 0, "a number of calls from 1 on, or 0 for automatic")
    if buffersize is not None:
        checked_count("buffersize", buffersize, 1, "a number of tasks from 1 on, or None")


def _results(
    executor: concurrent.futures.Executor,
    fn: Callable[..., T],
    rows: Iterator[tuple[Any, ...]],
    buffersize: int | None,
    deadline: float | None,
) -> Iterator[T]:
    ahead = deque(executor.submit(fn, *row) for row in islice(rows, buffersize))

    def take() -> Iterator[T]:
        try:
            while ahead:
                left = None if deadline is None else deadline - time.monotonic()
                value = ahead[0].result(left)
                ahead.popleft()
                if buffersize is not None:
                    ahead.extend(executor.submit(fn, *row) for row in islice(rows, 1))
                yield value
        finally:
            for future in ahead:
                future.cancel()

    return take()


def _flat(stream: ProcessStream) -> Iterator[Any]:
    try:
        for _, values in stream.chunks():
            for value in values:
                if type(value) is Failed:
                    raise value.error
                yield value
    finally:
        stream.close()


# Their forkserver is what our zygote is.
_START_METHODS = {"fork": "fork", "spawn": "spawn", "forkserver": "zygote"}


def _start_method_of(context: Any) -> object:
    """What is meant by ``mp_context``; one that has another start method may be anything, and counts as not given."""
    if context is None:
        return UNSET
    if isinstance(context, str):
        if context in _START_METHODS:
            return _START_METHODS[context]
    elif hasattr(context, "get_start_method"):
        return _START_METHODS.get(context.get_start_method(), UNSET)
    raise refuse("mp_context", context, "a context of multiprocessing, one of 'fork', 'spawn', 'forkserver', or None")
