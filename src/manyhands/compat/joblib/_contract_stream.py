"""Drives a backend of joblib's contract, anybody's, as a stream: the contract that our own backends have.

**Guarantees.** The backend is asked for nothing but what joblib's base class has; it need not derive from ours. Its callbacks may come
from any thread, also before ``submit`` returns. The calls are read in the thread that takes the results; only for backends of the old kind,
whose callbacks bring no results, are they read in the thread of the callback, as joblib does.
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
        self._inputs = inputs
        self._first = first  # how many calls are dispatched at once, at the beginning; None: all
        self._timeout = timeout
        self._ready: deque[list[Noted]] = deque()  # batches that have been read
        self._under_way: dict[int, BatchCompletionCallBack] = {}  # by the index of the first call, in order
        self._came: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._failed: list[Failed] = []
        self._order: Reorder[Any] = Reorder()
        self._head = -1  # the batch that is waited for, and until when
        self._until = 0.0
        self._submitted = self._ended = 0
        self._started = self._closed = False

    def start(self) -> None:
        """Dispatch the first batches."""
        if self._started:
            return
        self._started = True
        if hasattr(self._backend, "start_call"):
            self._backend.start_call()
        while not self._closed and (self._first is None or self._submitted < self._first):
            most = None if self._first is None else self._first - self._submitted
            if not self.dispatch_next(most):
                return

    # ------------------------------------------------------------ batches

    def dispatch_next(self, most: int | None = None) -> bool:
        """Submit a batch; whether there was one. ``most``: calls that may be read for it."""
        batch = self._next_batch(most)
        if batch is None or self._closed:
            return False
        parallel = self._parallel
        first, self._submitted = self._submitted, self._submitted + len(batch)
        parallel.n_dispatched_batches += 1
        tracker = self._under_way[first] = parallel.make_callback(time.time(), len(batch))
        work = BatchedCalls(batch, self._backend.get_nested_backend())
        submit = getattr(self._backend, "submit", None) or self._backend.apply_async
        tracker.register_job(submit(work, callback=partial(self._told, first)))
        return True

    def _told(self, first: int, out: Any = None) -> None:
        """The backend's callback, in whatever thread."""
        self._came.put((first, out))

    def _next_batch(self, most: int | None) -> list[Noted] | None:
        """Some are read for all workers, and shared out among them: the last ones in smaller batches, so that all end together."""
        if not self._ready:
            fixed = self._parallel.batch_size != "auto"
            size = self._parallel.batch_size if fixed else self._backend.compute_batch_size()
            wanted = size * self._n_jobs
            calls = list(islice(self._inputs, wanted if most is None else min(wanted, most)))
            if not fixed:
                is_last = most is None and len(calls) < wanted
                size = max(1, len(calls) // (10 * self._n_jobs if is_last else self._n_jobs))
            self._ready += [calls[i : i + size] for i in range(0, len(calls), size)]
        return self._ready.popleft() if self._ready else None

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
                if not self.dispatch_next():
                    return
                continue
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
        self.dispatch_next()
        return values

    def _completed(self, tracker: BatchCompletionCallBack, out: Any) -> None:
        self._backend.batch_completed(tracker.batch_size, time.time() - tracker.dispatch_timestamp)
        self._ended += tracker.batch_size
        tracker(out)

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

    def dispatch_next(self, most: int | None = None) -> bool:
        """Submit a batch; whether there was one."""
        with self._lock:
            return super().dispatch_next(most)

    def _told(self, first: int, out: Any = None) -> None:
        """The callback: the next batch is submitted from here, since whoever takes the results waits for one of them."""
        with self._lock:
            if self._closed or first in self._told_of:
                return
            self._told_of.add(first)
            self.dispatch_next()

    def _as_they_come(self) -> Iterator[tuple[int, list[Any]]]:
        self.start()
        while not self._closed:
            with self._lock:
                if not self._under_way and not self.dispatch_next():
                    return
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

    def _retrieve(self, job: Any) -> Any:
        timeout = self._timeout if getattr(self._backend, "supports_timeout", False) else None
        if hasattr(self._backend, "retrieve_result"):
            return self._backend.retrieve_result(job, timeout=timeout)
        return job.get(timeout) if timeout is not None else job.get()
