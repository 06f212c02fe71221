"""Drives a backend of joblib's contract, anybody's, as a stream: the contract that our own backends have.

**Guarantees.** The backend is asked for nothing but what joblib's base class has; it need not derive from ours. Its callbacks may come
from any thread, also before ``submit`` returns. The calls are read in the thread that takes the results; only for backends of the old kind,
whose callbacks bring no results, are they read in the thread of the callback, as joblib does. Each batch is dispatched by
``Parallel.dispatch_one_batch`` or ``dispatch_next``, which subclasses override.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from manyhands._core.ordering import Reorder
from manyhands._core.policy import Failed
from manyhands.backends._contract import Counts
from manyhands.compat.joblib._batches import BatchedCalls
from manyhands.compat.joblib._errors import results_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._noted_calls import Noted
    from manyhands.compat.joblib._batches import BatchCompletionCallBack


class ContractStream:
    """A call over many inputs. ``parallel`` has the backend, the size of batches, and makes the callbacks."""

    def __init__(self, parallel: Any, n_jobs: int, inputs: Iterator[Noted], first: int | None, timeout: float | None) -> None:
        self._parallel = parallel
        self._backend = parallel._backend  # noqa: SLF001 - of its contract
        self._n_jobs = n_jobs
        self.unread: Iterator[Noted] | None = inputs  # None: nothing more is to be read
        self._first = first  # how many calls are dispatched at once, at the beginning; None: all
        self._timeout = timeout
        self.ready: deque[list[Noted]] = deque()  # batches that have been read, and not dispatched
        self._under_way: dict[int, BatchCompletionCallBack] = {}  # by the index of the first call, in order
        self._came: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._failed: list[Failed] = []
        self._unreadable: BaseException | None = None  # what reading the calls has raised where nobody would have heard of it
        self._order: Reorder[Any] = Reorder()
        self._head = -1  # the batch that is waited for, and until when
        self._until = 0.0
        self._submitted = self._ended = 0
        self.batches = 0  # that have been submitted
        self._started = self._closed = False

    def start(self) -> None:
        """Dispatch the first batches."""
        if self._started:
            return
        self._started = True
        if hasattr(self._backend, "start_call"):
            self._backend.start_call()
        first = self.unread if self._first is None or self.unread is None else islice(self.unread, self._first)
        while first is not None and not self._closed and self._dispatch_one(first):
            pass

    # ------------------------------------------------------------ batches

    @property
    def _asks(self) -> bool:
        """Whether ``Parallel`` is to dispatch: not if it has begun another call, and all of this one has been read."""
        return self._parallel.dispatcher is self

    def _dispatch_one(self, calls: Iterator[Noted]) -> bool:
        """Have a batch dispatched; whether there was one."""
        before = self._submitted
        said = self._parallel.dispatch_one_batch(calls) if self._asks else self.dispatch(calls)
        return self._submitted > before if said is None else bool(said)  # a subclass may forget to return it

    def _dispatch_next(self) -> None:
        """Have another batch dispatched, if there is one."""
        if self.unread is None or self._closed:
            return
        if self._asks:
            self._parallel.dispatch_next()
        else:
            self.go_on()

    def go_on(self) -> None:
        """Dispatch a batch of what has not been read; where there was none, that was all."""
        if self.unread is not None and not self._dispatch_one(self.unread):
            self.unread = None

    def dispatch(self, calls: Iterator[Noted]) -> bool:
        """Submit a batch of these calls, or of what has been read before; whether there was one."""
        batch = self._next_batch(calls)
        if batch is None or self._closed:
            return False
        work = BatchedCalls(batch, self._backend.get_nested_backend())
        if self._asks:
            self._parallel._dispatch(work)  # noqa: SLF001 - what subclasses override
        else:
            self.submit(work)
        return True

    def submit(self, work: BatchedCalls) -> None:
        """Give a batch to the backend."""
        first, self._submitted = self._submitted, self._submitted + len(work)
        self.batches += 1
        tracker = self._under_way[first] = self._parallel.make_callback(time.time(), len(work))
        submit = getattr(self._backend, "submit", None) or self._backend.apply_async
        tracker.register_job(submit(work, callback=partial(self._told, first)))

    def _told(self, first: int, out: Any = None) -> None:
        """The backend's callback, in whatever thread."""
        self._came.put((first, out))

    def _next_batch(self, inputs: Iterator[Noted]) -> list[Noted] | None:
        """Some are read for all workers, and shared out among them: the last ones in smaller batches, so that all end together."""
        if not self.ready:
            fixed = self._parallel.batch_size != "auto"
            size = self._parallel.batch_size if fixed else self._backend.compute_batch_size()
            wanted = size * self._n_jobs
            calls = list(islice(inputs, wanted))
            if not fixed:
                is_last = inputs is self.unread and len(calls) < wanted
                size = max(1, len(calls) // (10 * self._n_jobs if is_last else self._n_jobs))
            self.ready += [calls[i : i + size] for i in range(0, len(calls), size)]
        return self.ready.popleft() if self.ready else None

    # ------------------------------------------------------------ results

    def chunks(self) -> Iterator[tuple[int, list[Any]]]:
        """Results as the contract of streams has them. A failure comes at once."""
        arriving = self._as_they_come()
        yield from self._order.chunks(arriving) if self._parallel.return_ordered else arriving
        for failed in self._failed:
            yield failed.index, [failed]

    def _as_they_come(self) -> Iterator[tuple[int, list[Any]]]:
        self.start()
        while not self._closed:
            if not self._under_way:
                self._dispatch_next()
                if not self._under_way:
                    return
            arrival = self._wait()
            if arrival is None:
                return
            first, out = arrival
            if first not in self._under_way:
                continue  # told twice
            values = self._values(first, out)
            if values is None:
                return
            yield first, values

    def _wait(self) -> tuple[int, Any] | None:
        """The next batch that has ended; None: in time, none has. The clock runs for the one that has been under way longest."""
        if self._timeout is None:
            return self._came.get()
        head = next(iter(self._under_way))
        if head != self._head or not self._parallel.return_ordered:
            self._head, self._until = head, time.monotonic() + self._timeout
        try:
            return self._came.get(timeout=max(0.0, self._until - time.monotonic()))
        except queue.Empty:
            self._fail(head, multiprocessing.TimeoutError(f"call {head} has not ended within timeout={self._timeout:g} s"))
            return None

    def _values(self, first: int, out: Any) -> list[Any] | None:
        """The results of a batch; None if it has failed."""
        tracker = self._under_way.pop(first)
        try:
            values: list[Any] = self._backend.retrieve_result_callback(out)
        except BaseException as error:  # noqa: BLE001 - the call's own, whatever it is
            self._fail(first, error)
            return None
        self._completed(tracker, out)
        self._dispatch_next()
        return values

    def _completed(self, tracker: BatchCompletionCallBack, out: Any) -> None:
        self._backend.batch_completed(tracker.batch_size, time.time() - tracker.dispatch_timestamp)
        self._ended += tracker.batch_size
        self._parallel.report(tracker, tracker.batch_size, out)

    def _fail(self, index: int, error: BaseException) -> None:
        self._failed.append(Failed(index, error))

    @property
    def failures(self) -> int:
        """How many batches have failed."""
        return len(self._failed)

    def leftovers(self) -> list[Failed]:
        """None: a failure is handed out as soon as there is one."""
        return []

    def close(self, *, at_once: bool = False) -> None:
        """Have nothing more submitted. To stop what runs is the backend's: see ``abort_everything``."""
        self._closed = True

    def counts(self) -> Counts:
        """Where the call stands."""
        return Counts(self._submitted, self._ended, len(self._failed), len(self._under_way), {})


class OldContractStream(ContractStream):
    """The same for a backend whose callbacks bring no results, and may not come for what has failed: jobs are waited for in turn."""

    def __init__(self, parallel: Any, n_jobs: int, inputs: Iterator[Noted], first: int | None, timeout: float | None) -> None:
        super().__init__(parallel, n_jobs, inputs, first, timeout)
        self._lock = threading.RLock()  # held while calls are read, and while a batch is taken off
        self._told_of: set[int] = set()

    def dispatch(self, calls: Iterator[Noted]) -> bool:
        """Submit a batch of these calls, or of what has been read before; whether there was one."""
        with self._lock:
            return super().dispatch(calls)

    def _told(self, first: int, out: Any = None) -> None:
        """The callback: the next batch is submitted from here, since whoever takes the results waits for one of them."""
        with self._lock:
            if self._closed or first in self._told_of:
                return
            self._told_of.add(first)
            try:
                self._dispatch_next()
            except BaseException as error:  # noqa: BLE001 - it would end a thread of the backend, and be heard of by nobody
                self._unreadable, self.unread = error, None

    def _as_they_come(self) -> Iterator[tuple[int, list[Any]]]:
        self.start()
        while not self._closed:
            with self._lock:
                if not self._under_way:
                    self._dispatch_next()
                if not self._under_way:
                    break
                first = next(iter(self._under_way))
                tracker = self._under_way[first]
            try:
                values = self._retrieve(tracker.job)
            except BaseException as error:  # noqa: BLE001 - the call's own, whatever it is
                self._fail(first, error)
                return
            with self._lock:
                del self._under_way[first]
                self._completed(tracker, None)
            yield first, values
        if self._unreadable is not None:
            raise self._unreadable

    def _retrieve(self, job: Any) -> Any:
        timeout = self._timeout if getattr(self._backend, "supports_timeout", False) else None
        if hasattr(self._backend, "retrieve_result"):
            return results_of(self._backend.retrieve_result(job, timeout=timeout))
        return results_of(job.get(timeout) if timeout is not None else job.get())
