"""The contract between :class:`Parallel` and what runs its calls; and the backend that runs them in the calling thread."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from manyhands._core.thread_variables import THREAD_VARIABLES
from manyhands.compat._jobs import count_jobs
from manyhands.compat.joblib._processors import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.backends import Plan, TaskStream


class FallbackToBackend(Exception):
    """What :meth:`ParallelBackendBase.configure` raises to have another backend take its place."""

    def __init__(self, backend: Any) -> None:
        super().__init__(backend)
        self.backend = backend


class ParallelBackendBase(ABC):
    """What a backend of :class:`Parallel` derives from: joblib's contract.

    A backend has to have :meth:`effective_n_jobs`, :meth:`submit` and :meth:`retrieve_result_callback`, and to set
    ``supports_retrieve_callback``; everything else has a default.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> class Threads(ParallelBackendBase):
        ...     supports_retrieve_callback = True
        ...
        ...     def effective_n_jobs(self, n_jobs):
        ...         return n_jobs
        ...
        ...     def configure(self, n_jobs=1, parallel=None, **options):
        ...         self.executor = ThreadPoolExecutor(n_jobs)
        ...         return n_jobs
        ...
        ...     def submit(self, func, callback=None):
        ...         future = self.executor.submit(func)
        ...         future.add_done_callback(callback)
        ...         return future
        ...
        ...     def retrieve_result_callback(self, out):  # noqa: B027 - nothing has to be done
        ...         return out.result()
        ...
        ...     def terminate(self):  # noqa: B027 - nothing has to be done
        ...         self.executor.shutdown()

    Args:
        nesting_level: how many calls of ``Parallel`` this one is within.
        inner_max_num_threads: how many threads numeric libraries may use in each worker, where that is supported.
        backend_kwargs: kept as ``self.backend_kwargs``.
    """

    default_n_jobs = 1
    supports_inner_max_num_threads = False
    # Whether a callback is told of each batch that has ended, well or not, and can get the result then. New backends do.
    supports_retrieve_callback = False
    nesting_level: int | None = None
    inner_max_num_threads: int | None = None
    backend_kwargs: dict[str, Any] = {}  # noqa: RUF012 - of subclasses that do not call __init__; nobody writes to it
    parallel: Any = None

    MAX_NUM_THREADS_VARS: ClassVar[list[str]] = list(THREAD_VARIABLES)
    TBB_ENABLE_IPC_VAR = "ENABLE_IPC"

    def __init__(self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **backend_kwargs: Any) -> None:
        super().__init__()
        self.nesting_level = nesting_level
        self.inner_max_num_threads = inner_max_num_threads
        self.backend_kwargs = backend_kwargs

    @property
    def supports_return_generator(self) -> bool:
        """Whether ``return_as`` may be a generator."""
        return self.supports_retrieve_callback

    @property
    def supports_timeout(self) -> bool:
        """Whether ``timeout`` has an effect."""
        return self.supports_retrieve_callback

    @abstractmethod
    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` asks for, here and now."""

    def submit(self, func: Callable[[], list[Any]], callback: Callable[[Any], object] | None = None) -> Any:
        """Begin a batch: ``func()`` makes its calls, and has them as ``func.items``. ``callback`` is told when it has ended.

        Returns what stands for the batch, a future for instance.
        """
        msg = f"{type(self).__name__}.apply_async is deprecated; name it `submit`, which takes the same arguments"
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return self.apply_async(func, callback)

    def apply_async(self, func: Callable[[], list[Any]], callback: Callable[[Any], object] | None = None) -> Any:
        """What :meth:`submit` was called before joblib 1.5."""
        msg = f"{type(self).__name__} has no method submit"
        raise NotImplementedError(msg)

    def retrieve_result_callback(self, out: Any) -> Any:  # noqa: B027 - old backends have none
        """The results of a batch, from what its callback was told; raises what the batch has raised."""

    def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
        """The same where callbacks get no results: from what :meth:`submit` has returned; waits for it."""
        return out.get(timeout=timeout) if self.supports_timeout else out.get()

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: str | None = None, require: str | None = None, **backend_kwargs: Any
    ) -> int:
        """Get ready for a call, or for those of a ``with`` block; how many workers there are.

        Raises:
            FallbackToBackend: another backend is to do it.
        """
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def start_call(self) -> None:  # noqa: B027 - nothing has to be done
        """A call begins."""

    def stop_call(self) -> None:  # noqa: B027 - nothing has to be done
        """A call has ended, or is given up."""

    def terminate(self) -> None:  # noqa: B027 - nothing has to be done
        """The call, or the ``with`` block, is over: let the workers go."""

    def compute_batch_size(self) -> int:
        """How many calls the next batch is to have, where the user leaves it open."""
        return 1

    def batch_completed(self, batch_size: int, duration: float) -> None:  # noqa: B027 - nothing has to be done
        """A batch has ended, so many seconds after it was submitted."""

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: B027 - nothing has to be done
        """Stop what is under way. ``ensure_ready``: another call may follow."""

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Which backend calls of ``Parallel`` within a task have, and its ``n_jobs``: threads in the first level, none below."""
        level = (self.nesting_level or 0) + 1
        if level > 1:
            return SequentialBackend(nesting_level=level), None
        from manyhands.compat.joblib._parallel_backends import ThreadingBackend  # noqa: PLC0415 - it derives from this class

        return ThreadingBackend(nesting_level=level), None

    def retrieval_context(self) -> contextlib.AbstractContextManager[None]:
        """What the results of a call are taken within."""
        return contextlib.nullcontext()

    def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
        """Variables with which numeric libraries in the workers share the processors."""
        share = str(self.inner_max_num_threads or max(cpu_count() // n_jobs, 1))
        decided = {} if self.inner_max_num_threads else os.environ
        env = {name: decided.get(name, share) for name in self.MAX_NUM_THREADS_VARS}
        if self.TBB_ENABLE_IPC_VAR not in os.environ:
            env[self.TBB_ENABLE_IPC_VAR] = "1"
        return env

    @staticmethod
    def in_main_thread() -> bool:
        """Whether this is the main thread, whatever its name."""
        return threading.current_thread() is threading.main_thread()


class SequentialBackend(ParallelBackendBase):
    """No workers: calls are made in the calling thread, one after the other."""

    uses_threads = True
    supports_sharedmem = True
    supports_retrieve_callback = False

    @property
    def supports_return_generator(self) -> bool:
        """They can: each call is made when its result is asked for."""
        return True

    @property
    def supports_timeout(self) -> bool:
        """Nobody could stop a call."""
        return False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """One.

        Raises:
            ValueError: ``n_jobs`` is 0.
        """
        count_jobs(n_jobs, cpu_count)
        return 1

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """What there is outside: running here changes nothing for calls within."""
        from manyhands.compat.joblib.parallel import get_active_backend  # noqa: PLC0415 - it derives from what is here

        return get_active_backend()

    def native_stream(self, plan: Plan, inputs: Iterator[Any]) -> TaskStream:
        """The calls as a stream, in the calling thread."""
        from manyhands.backends.sequential import SequentialStream  # noqa: PLC0415 - takes concurrent.futures

        return SequentialStream(plan._replace(policy=plan.policy._replace(timeout=None)), _in_batches(inputs, plan.chunk or 1))


def _in_batches(inputs: Iterator[Any], size: int) -> Iterator[Any]:
    """The same; so many are read before the first of them is used."""
    if size == 1:
        return inputs
    return itertools.chain.from_iterable(iter(lambda: list(itertools.islice(inputs, size)), []))
