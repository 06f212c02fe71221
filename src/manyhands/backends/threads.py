"""Threads of this process: for tasks that wait, or that release the GIL. Arguments are shared, not copied."""

from __future__ import annotations

import concurrent.futures
import itertools
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands import errors
from manyhands._core import worker_ids
from manyhands._core.policy import add_note
from manyhands._wire._cpus import cpu_count
from manyhands.backends._contract import Capabilities
from manyhands.backends._streaming import ExecutorStream
from manyhands.backends._thread_budget import budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands._core.options import Options
    from manyhands._core.policy import Failed
    from manyhands.backends._contract import Counts, Plan

T = TypeVar("T")

CAPABILITIES = Capabilities("threads", isolated=False, by_value=False, can_kill=False, parallel=False)

_numbers = itertools.count(1)


class ThreadBackend:
    """Threads. Each call has its own: starting one takes some 50 us."""

    capabilities = CAPABILITIES

    def stream(self, plan: Plan, inputs: Iterator[object], options: Options) -> ThreadStream:
        """Begin a call on threads of its own."""
        return ThreadStream(plan, inputs)

    def executor(self, options: Options) -> ThreadExecutor:
        """An executor with threads of its own."""
        return ThreadExecutor(options.workers or cpu_count())


class ThreadStream:
    """A call over many inputs on threads that end with it."""

    def __init__(self, plan: Plan, inputs: Iterator[object], initializer: Callable[[], object] | None = None) -> None:
        self._executor = ThreadExecutor(plan.workers if plan.total is None else max(1, min(plan.workers, plan.total)), initializer)
        self._stream = self._executor.stream(plan, inputs)

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Results as the contract has them."""
        return self._stream.chunks()

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._stream.failures

    def leftovers(self) -> list[Failed]:
        """Failures that were in no chunk."""
        return self._stream.leftovers()

    def start(self) -> None:
        """Begin before the first result is asked for."""
        self._stream.start()

    def close(self, *, at_once: bool = False) -> None:
        """Take back what has not started and wait for what runs: a thread cannot be stopped."""
        self._stream.close(at_once=at_once)
        self._executor.shutdown(wait=not self._stream.at_once, cancel_futures=True)

    def counts(self) -> Counts:
        """Where the call stands."""
        return self._stream.counts()


class _Item:
    __slots__ = ("args", "counted", "fn", "future", "kwargs")

    def __init__(
        self, future: Future[Any], fn: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object], *, counted: bool
    ) -> None:
        self.future = future
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.counted = counted  # numeric libraries are limited as long as it has not ended


class ThreadExecutor(concurrent.futures.Executor):
    """Like ``concurrent.futures.ThreadPoolExecutor``, but a thread that does not come back can be given up.

    Threads are daemons: one that hangs does not keep the program from ending.
    """

    def __init__(self, max_workers: int, initializer: Callable[[], object] | None = None) -> None:
        self._max_workers = max_workers
        self._initializer = initializer
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, Future[Any] | None] = {}  # what each runs
        self._ids: weakref.WeakKeyDictionary[threading.Thread, int] = weakref.WeakKeyDictionary()
        self._idle = 0  # threads that wait for an item, less the items that are for them; never too many
        self._counted = 0  # items that have not ended, of those that are
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a thread.

        Raises:
            PoolClosed: the executor has been shut down.
            CannotStart: the machine has no room for a thread.
        """
        future: Future[T] = concurrent.futures.Future()
        self.fulfil(future, fn, args, kwargs)
        return future

    def fulfil(self, future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """:meth:`submit`, with a future to which callbacks may have been added."""
        with self._lock:
            if self._closed:
                msg = "cannot schedule new futures after shutdown; create a new executor"
                raise errors.PoolClosed(msg)
            counted = self._max_workers > 1 and budget.applies()
            if counted:
                self._count(1)
            self._queue.put(_Item(future, fn, args, kwargs, counted=counted))
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._max_workers:
                self._start()

    def _count(self, change: int) -> None:
        before, self._counted = self._counted, self._counted + change
        if not before:
            budget.begin(self._max_workers)
        elif not self._counted:
            budget.end(self._max_workers)

    def _ended(self, item: _Item) -> None:
        """Before its result is known: who waits for it finds the libraries as they were."""
        if item.counted:
            with self._lock:
                self._count(-1)

    def _start(self) -> None:
        number = worker_ids.least_free(self._ids[thread] for thread in self._threads)
        thread = threading.Thread(target=self._serve, args=(number,), name=f"manyhands-{next(_numbers)}", daemon=True)
        self._ids[thread] = number
        self._threads[thread] = None  # first: once started, it notes there what it runs
        try:
            thread.start()
        except RuntimeError as error:
            del self._threads[thread]
            if not self._threads:
                msg = f"no thread could be started: {error}"
                raise errors.CannotStart(msg) from error

    def _serve(self, worker_id: int) -> None:
        worker_ids.of_thread.number = worker_id
        me = threading.current_thread()
        refused = self._set_up()
        version = 0
        while (item := self._queue.get()) is not None:
            future = item.future
            self._threads[me] = future  # before it counts as running: who cannot cancel it any more finds it here
            if budget.version != version:
                version = budget.limit_here()
            if future.set_running_or_notify_cancel():
                try:
                    if refused is not None:
                        raise refused
                    result = item.fn(*item.args, **item.kwargs)
                except BaseException as error:  # noqa: BLE001 - it is the caller's to see
                    self._ended(item)
                    future.set_exception(error)
                else:
                    self._ended(item)
                    future.set_result(result)
                    del result
            else:
                self._ended(item)
            del item, future
            with self._lock:
                if me not in self._threads:
                    return  # given up meanwhile, and replaced
                self._threads[me] = None
                if self._queue.empty():
                    self._idle += 1
        with self._lock:
            self._threads.pop(me, None)

    def _set_up(self) -> BaseException | None:
        """Call the initializer; why nothing can run here, if it has raised."""
        if self._initializer is not None:
            try:
                self._initializer()
            except BaseException as error:  # noqa: BLE001 - it is the user's code
                add_note(error, "raised by the initializer, so nothing could run")
                return error
        return None

    def stream(self, plan: Plan, inputs: Iterator[object]) -> ExecutorStream:
        """A call over many inputs, as the contract of backends has it."""
        return ExecutorStream(self, plan, inputs, local=True, abandon=self.abandon)

    def abandon(self, future: Future[Any]) -> None:
        """Give up the thread that runs ``future``: another takes its place, and it ends when its task does."""
        with self._lock:
            for thread, running in self._threads.items():
                if running is future:
                    del self._threads[thread]
                    if not self._closed and not self._queue.empty():
                        self._start()
                    return

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more; with ``wait``, return when all threads have ended."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            waiting: list[_Item] = []
            while cancel_futures:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is not None:
                    waiting.append(item)
            if counted := sum(item.counted for item in waiting):
                self._count(-counted)
            for _ in threads:
                self._queue.put(None)
        for item in waiting:
            item.future.cancel()
        if wait:
            for thread in threads:
                if thread in self._threads:
                    thread.join()
