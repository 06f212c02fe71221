"""The backends that :class:`Parallel` knows by name, under the names that they have in ``joblib._parallel_backends``.

Each has joblib's whole contract, so that subclasses can override any part of it. One that overrides nothing of how batches get to the
workers is not asked for batches: its calls go as a stream, as those of ``manyhands.map`` do (:meth:`native_stream`).
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from manyhands._core.options import BESIDE_JOBLIB
from manyhands._core.thread_variables import THREAD_VARIABLES
from manyhands._engine import _notices
from manyhands.compat import installing
from manyhands.compat._jobs import count_jobs
from manyhands.compat.joblib._auto_batching import AutoBatchingMixin
from manyhands.compat.joblib._backend_base import FallbackToBackend, ParallelBackendBase, SequentialBackend
from manyhands.compat.joblib._errors import Outcome, results_of
from manyhands.compat.joblib._processors import cpu_count
from manyhands.compat.joblib._workers import SetUp, Workers
from manyhands.settings import UNSET, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands.backends import Plan, TaskStream

__all__ = [
    "AutoBatchingMixin",
    "FallbackToBackend",
    "LokyBackend",
    "MultiprocessingBackend",
    "ParallelBackendBase",
    "PoolManagerMixin",
    "SequentialBackend",
    "ThreadingBackend",
]

# What Parallel hands to every backend.
_OF_PARALLEL = frozenset({"max_nbytes", "mmap_mode", "temp_folder", "verbose", "context", "prefer", "require"})
# What joblib's own pools take besides has no meaning here.
_NOT_FOR_WORKERS = _OF_PARALLEL | {"prewarm", "reuse", "forward_reducers", "backward_reducers"}
_START_METHODS = {"fork": "fork", "spawn": "spawn", "forkserver": "zygote", "loky": "zygote", "loky_init_main": "zygote"}


class PoolManagerMixin:
    """For a backend with a pool, ``self._pool``, that has ``apply_async`` like multiprocessing's, or ``submit`` like an executor."""

    _pool: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` asks for.

        Raises:
            ValueError: it is 0.
        """
        return count_jobs(n_jobs, cpu_count)

    def _get_pool(self) -> Any:
        return self._pool

    def submit(self, func: Callable[[], list[Any]], callback: Callable[[Any], object] | None = None) -> Any:
        """Begin a batch."""
        pool = self._get_pool()
        if hasattr(pool, "apply_async"):
            return pool.apply_async(Outcome(func), (), callback=callback, error_callback=callback)
        future = pool.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """The results of a batch, or what it has raised."""
        return out.result() if hasattr(out, "result") else results_of(out)

    def terminate(self) -> None:
        """The pool is not used any more."""
        pool, self._pool = self._pool, None
        if hasattr(pool, "apply_async"):
            pool.close()
            pool.terminate()
        elif hasattr(pool, "shutdown"):
            pool.shutdown(wait=False, cancel_futures=True)
        elif pool is not None:
            pool.close()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the pool; with ``ensure_ready``, make another."""
        parallel = self.parallel  # type: ignore[attr-defined] # of what it is mixed into
        if hasattr(self._pool, "stop"):
            self._pool.stop()
        self.terminate()
        if ensure_ready:
            self.configure(n_jobs=parallel.n_jobs, parallel=parallel, **parallel._backend_kwargs)  # type: ignore[attr-defined] # noqa: SLF001


class ThreadingBackend(PoolManagerMixin, ParallelBackendBase):
    """Threads of this process: for calls that wait, or that release the GIL. They share the caller's objects."""

    supports_retrieve_callback = True
    uses_threads = True
    supports_sharedmem = True
    _n_jobs = 1

    def configure(self, n_jobs: int = 1, parallel: Any = None, **backend_kwargs: Any) -> int:  # type: ignore[override]
        """Get ready for a call; how many threads there are.

        Raises:
            FallbackToBackend: one worker needs no thread.
        """
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._n_jobs = n_jobs
        return n_jobs

    def _get_pool(self) -> Any:
        if self._pool is None:
            from manyhands.backends.threads import ThreadExecutor  # noqa: PLC0415 - takes concurrent.futures

            self._pool = ThreadExecutor(self._n_jobs)
        return self._pool

    def native_stream(self, plan: Plan, inputs: Iterator[Any]) -> TaskStream:
        """The calls as a stream, on threads of its own."""
        from manyhands.backends.threads import ThreadStream  # noqa: PLC0415 - takes concurrent.futures
        from manyhands.compat.joblib._config import enter_task  # noqa: PLC0415 - it knows this class

        nested = self.get_nested_backend()
        backend, n_jobs = nested if isinstance(nested, tuple) else (nested, None)
        return ThreadStream(plan, inputs, functools.partial(enter_task, backend, n_jobs))


class _ProcessBackend(AutoBatchingMixin, ParallelBackendBase):
    """What "loky" and "multiprocessing" have in common here: the workers."""

    supports_retrieve_callback = True
    _label = "Loky"

    # A message costs a tenth of what it does in joblib, and so do batches.
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.2

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` asks for; where processes would multiply, one, with a warning.

        Raises:
            ValueError: it is 0.
        """
        count = count_jobs(n_jobs, cpu_count)
        refusal = self._refusal() if n_jobs is not None and n_jobs != 1 else None
        if refusal is not None:
            warnings.warn(f"{self._label}-backed parallel loops cannot {refusal}, setting n_jobs=1", stacklevel=3)
            return 1
        # In a worker, no more than its share of the processors.
        return min(count, cpu_count()) if "MANYHANDS_WORKER" in os.environ else count

    def _refusal(self) -> str | None:
        """Why there cannot be processes here."""
        if os.environ.get("JOBLIB_MULTIPROCESSING", "1").strip() == "0":
            return "use processes, since JOBLIB_MULTIPROCESSING=0"
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.current_process().daemon:
            return "be nested below a daemonic process of multiprocessing"
        if self.nesting_level != 0 and not self.in_main_thread():
            return "be nested below threads"
        return None

    def _make_workers(self, n_jobs: int, given: dict[str, Any]) -> Workers:
        given = {name: value for name, value in given.items() if name not in _NOT_FOR_WORKERS}
        threads = self.inner_max_num_threads
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {}
        variables.update({name: str(value) for name, value in (given.pop("env", None) or {}).items()})
        set_up = SetUp(tuple(sorted(variables.items())), threads, given.pop("initializer", None), tuple(given.pop("initargs", None) or ()))
        for name in given.keys() - BESIDE_JOBLIB:
            self._refuse(name)
            del given[name]
        options = resolved(workers=n_jobs, backend="processes", **given, **of_call(self.parallel))
        return Workers(n_jobs, options, set_up, self.parallel)

    def _refuse(self, name: str) -> None:
        """It has been given a parameter that nobody knows."""
        msg = f"{type(self).__name__} has no parameter {name!r}; besides joblib's it takes {', '.join(sorted(BESIDE_JOBLIB))}"
        raise TypeError(msg)

    def _end(self) -> None:
        self.reset_batch_stats()
        self.parallel = None  # which has this backend: the two would wait for the garbage collector, with all that the call was given

    @property
    def workers(self) -> Workers:
        """Those that it is configured with."""
        raise NotImplementedError

    def native_stream(self, plan: Plan, inputs: Iterator[Any]) -> TaskStream:
        """The calls as a stream, on the workers."""
        if type(self).get_nested_backend is not ParallelBackendBase.get_nested_backend:  # else each worker knows how deep it is
            inputs = _within(self.get_nested_backend(), inputs)
        return self.workers.stream(plan, inputs)


def of_call(parallel: Any) -> dict[str, Any]:
    """Options that a :class:`Parallel` has in parameters of its own."""
    if parallel is None:
        return {}
    return {"timeout": UNSET if parallel.timeout is None else parallel.timeout, "chunk": parallel.batch_size}


def _within(nested: Any, inputs: Iterator[Any]) -> Iterator[Any]:
    from manyhands.compat.joblib._config import call_within  # noqa: PLC0415 - it knows these classes

    backend, n_jobs = nested if isinstance(nested, tuple) else (nested, None)
    for call in inputs:
        yield call_within, (backend, n_jobs, *call), {}


class MultiprocessingBackend(PoolManagerMixin, _ProcessBackend):
    """Worker processes: the same as "loky", with the rules of joblib's "multiprocessing" for calls within calls, and its start methods."""

    _label = "Multiprocessing"

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """See :class:`LokyBackend`; within a worker it is one."""
        return _ProcessBackend.effective_n_jobs(self, n_jobs)

    def _refusal(self) -> str | None:
        return "be nested in worker processes" if "MANYHANDS_WORKER" in os.environ else super()._refusal()

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: str | None = None, require: str | None = None, **options: Any
    ) -> int:
        """Get ready for a call; how many workers there are.

        Raises:
            FallbackToBackend: one needs no process.
            TypeError: one of the options is not known.
        """
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        given = {**self.backend_kwargs, **options}
        pool_of_others = None if type(self).configure is MultiprocessingBackend.configure else _pool_of_others()
        if pool_of_others is not None:
            self.parallel = parallel
            self._pool = pool_of_others(n_jobs, **given)
            return n_jobs
        if "maxtasksperchild" in given:
            given["max_tasks_per_child"] = given.pop("maxtasksperchild")
        method = os.environ.get("JOBLIB_START_METHOD", "").strip()
        if getattr(parallel, "chosen_context", None) is not None:
            method = parallel.chosen_context.get_start_method()
        if method:
            given.setdefault("start_method", _start_method(method))
        self.parallel = parallel
        self._pool = self._make_workers(n_jobs, given)
        return n_jobs

    @property
    def workers(self) -> Workers:
        """Those that it is configured with."""
        return self._pool  # type: ignore[no-any-return]

    def terminate(self) -> None:
        """The call, or the ``with`` block, is over. The workers stay warm."""
        super().terminate()
        self._end()


class LokyBackend(_ProcessBackend):
    """Worker processes: those that all calls of this process share."""

    supports_inner_max_num_threads = True
    _workers: Any = None

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        idle_worker_timeout: float | None = None,
        **options: Any,
    ) -> int:
        """Get ready for a call; how many workers there are.

        Raises:
            FallbackToBackend: one needs no process.
            ValueError: one of the options is not for this backend. What nobody knows is ignored, as joblib does: the log tells.
        """
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        given = {**self.backend_kwargs, **options}
        if "timeout" in given:
            msg = (
                "The 'timeout' parameter is not supported by the LokyBackend: it is one of Parallel's own; "
                "how long idle workers stay is `idle_worker_timeout`"
            )
            raise ValueError(msg)
        idle = given.pop("idle_worker_timeout", None) if idle_worker_timeout is None else idle_worker_timeout
        given.pop("idle_worker_timeout", None)
        if idle is not None:
            given["idle_timeout"] = idle
        self.parallel = parallel
        self._workers = self._make_workers(n_jobs, given)
        return n_jobs

    def _refuse(self, name: str) -> None:
        _notices.info(f"Parallel was given {name!r}, which is no parameter of {type(self).__name__}, and is ignored, as it is by joblib")

    @property
    def workers(self) -> Workers:
        """Those that it is configured with."""
        return self._workers  # type: ignore[no-any-return]

    def submit(self, func: Callable[[], list[Any]], callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Begin a batch."""
        future: Future[Any] = self._workers.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch, or what it has raised."""
        return out.result()

    def terminate(self) -> None:
        """The call, or the ``with`` block, is over. The workers stay warm."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        self._end()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop what this call has under way. Others, and the workers, go on."""
        if self._workers is not None:
            self._workers.stop()
            self._workers = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)


def _start_method(named: str) -> str:
    if named not in _START_METHODS:
        msg = f"cannot find context for {named!r}; a start method (JOBLIB_START_METHOD) is one of {', '.join(_START_METHODS)}"
        raise ValueError(msg)
    return _START_METHODS[named]


def _pool_of_others() -> Any:
    """joblib's class of pools, if somebody has given it another base: so has Ray's backend its own pool made by ours. None: nobody has."""
    module = sys.modules.get("joblib.pool")
    if module is None or module.PicklingPool.__bases__[0].__module__ == "multiprocessing.pool":
        return None
    return module.MemmappingPool


# What a subclass may override to have batches its own way.
_WAYS = (
    "configure",
    "submit",
    "apply_async",
    "_get_pool",
    "retrieve_result",
    "retrieve_result_callback",
    "compute_batch_size",
    "batch_completed",
)
_NAMED = (LokyBackend, MultiprocessingBackend, ThreadingBackend, SequentialBackend)


_natives: dict[type, bool] = {}


def is_native(backend: object) -> bool:
    """Whether calls may go as a stream: the backend is one of ours, or its class changes nothing of how batches get to the workers."""
    kind = type(backend)
    if kind not in _natives:
        ours = next((cls for cls in kind.__mro__ if cls in _NAMED), None)
        _natives[kind] = ours is not None and all(getattr(kind, name, None) is getattr(ours, name, None) for name in _WAYS)
    return _natives[kind]


def __getattr__(name: str) -> Any:
    if installing.lends("joblib._parallel_backends", name):
        return getattr(installing.original("joblib._parallel_backends"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
