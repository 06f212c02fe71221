"""What backends of joblib's contract are given: a batch of calls, and whom to tell when it has ended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from manyhands.compat import installing
from manyhands.compat.joblib._config import parallel_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyhands._noted_calls import Noted


class BatchedCalls:
    """A batch: called, it makes its calls, one after the other, and returns the list of their results.

    Attributes:
        items: the calls, ``(function, args, kwargs)`` each.
    """

    def __init__(
        self,
        iterator_slice: Iterable[Noted],
        backend_and_jobs: Any,
        reducer_callback: Any = None,
        pickle_cache: dict[Any, Any] | None = None,
    ) -> None:
        self.items = list(iterator_slice)
        # Old backends name only the one for calls within.
        self._nested = backend_and_jobs if isinstance(backend_and_jobs, tuple) else (backend_and_jobs, None)

    def __call__(self) -> list[Any]:
        backend, n_jobs = self._nested
        with parallel_config(backend=backend, n_jobs=n_jobs):
            return [function(*args, **kwargs) for function, args, kwargs in self.items]

    def __reduce__(self) -> Any:
        # In our own workers, we are in joblib's place if we are so here; in those of others, this sees to it.
        return _load, (self.items, self._nested, installing.is_installed("joblib"))

    def __len__(self) -> int:
        return len(self.items)


def _load(items: list[Noted], nested: Any, installed: bool) -> BatchedCalls:
    if installed:
        with contextlib.suppress(ImportError):
            installing.install("joblib")
    return BatchedCalls(items, nested)


class BatchCompletionCallBack:
    """Is called when a batch has ended. Programs derive from it, and put their class in its place in this module, to be told.

    Attributes:
        dispatch_timestamp: when the batch was submitted, as ``time.time()`` has it.
        batch_size: how many calls it has.
        parallel: the :class:`Parallel` that it is of.
        job: what the backend's ``submit`` has returned, for backends that are given batches.

    It is called in the thread that takes the results. ``parallel.n_completed_tasks`` counts its batch as soon as this one is called.
    """

    def __init__(self, dispatch_timestamp: float, batch_size: int, parallel: Any) -> None:
        self.dispatch_timestamp = dispatch_timestamp
        self.batch_size = batch_size
        self.parallel = parallel
        self.job: Any = None

    def register_job(self, job: Any) -> None:
        """Keep what stands for the batch."""
        self.job = job

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.parallel.completed(self.batch_size)
