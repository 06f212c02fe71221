"""manyhands as a backend of joblib, through joblib's own contract for backends; and so of scikit-learn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from joblib import ParallelBackendBase, register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend

from manyhands._core.options import BESIDE_JOBLIB
from manyhands._engine import _calls
from manyhands._wire._cpus import cpu_count
from manyhands.backends._views import SharedExecutor
from manyhands.compat import _joblib_calls
from manyhands.compat._jobs import count_jobs
from manyhands.settings import resolved

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from manyhands._core.options import Options

# What Parallel hands to every backend; what of it is for files has no meaning here.
_OF_JOBLIB = frozenset({"max_nbytes", "mmap_mode", "temp_folder", "verbose", "context"})


def register(*, make_default: bool = False) -> None:
    """See :func:`manyhands.register_joblib`."""
    register_parallel_backend("manyhands", ManyhandsBackend, make_default=make_default)


class _Workers(SharedExecutor):
    """Workers that take batches of calls."""

    def submit_calls(self, calls: list[_joblib_calls.Call], level: int, threads: int | None) -> Future[Any]:
        """Begin a batch. Errors tell of what it calls."""
        _calls.name_its_calls(self._pool.function(_joblib_calls.run, self._options.on_stale))
        return self.submit(_joblib_calls.run, calls, level, threads)


class ManyhandsBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # joblib is not typed
    """joblib's calls on the warm workers that all calls of this process share."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    # Seconds that a batch takes: a message costs a tenth of what it does there.
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.2

    _workers: _Workers | None = None
    _options: Options  # of the last call

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` asks for; in a worker, no more than its share of the processors.

        Raises:
            ValueError: it is 0.
        """
        count = count_jobs(n_jobs, cpu_count)
        return min(count, cpu_count()) if "MANYHANDS_WORKER" in os.environ else count

    def configure(
        self, n_jobs: int | None = 1, parallel: Any = None, prefer: str | None = None, require: str | None = None, **options: Any
    ) -> int:
        """Get ready for a call; how many workers there are for it.

        Raises:
            TypeError: one of the options is not known.
        """
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        given = {name: value for name, value in {**self.backend_kwargs, **options}.items() if name not in _OF_JOBLIB}
        if "idle_worker_timeout" in given:
            given["idle_timeout"] = given.pop("idle_worker_timeout")
        unknown = given.keys() - BESIDE_JOBLIB
        if unknown:
            msg = f"backend='manyhands' has no option {min(unknown)!r}; its options are {', '.join(sorted(BESIDE_JOBLIB))}"
            raise TypeError(msg)
        self.parallel = parallel
        self._options = resolved(workers=n_jobs, backend="processes", **given)
        self._workers = _Workers(n_jobs, self._options)
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Begin a batch of calls."""
        if self._workers is None:  # all Parallels of a parallel_config share this backend, and another one has been terminated
            self._workers = _Workers(self._options.workers or 1, self._options)
        future = self._workers.submit_calls(func.items, (self.nesting_level or 0) + 1, self.inner_max_num_threads)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch that has ended, or what it has raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop what this call has under way. Others, and the workers, go on."""
        if self._workers is not None:
            self._workers.stop()
            self._workers = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    def terminate(self) -> None:
        """The end of a ``with`` block, or of a call. The workers stay warm."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)
            self._workers = None
        self.reset_batch_stats()
