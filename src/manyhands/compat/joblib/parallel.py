"""joblib's ``Parallel`` and what belongs to it, under the names that they have in ``joblib.parallel``.

Programs put things in their place in this module (``DEFAULT_BACKEND``, ``BatchCompletionCallBack``), and are heard.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, Literal

from manyhands._core.options import parse_size
from manyhands._narration import Standing
from manyhands.compat import installing
from manyhands.compat.joblib import _choosing, _config
from manyhands.compat.joblib._backend_base import SequentialBackend
from manyhands.compat.joblib._batches import BatchCompletionCallBack, BatchedCalls
from manyhands.compat.joblib._choosing import VALID_BACKEND_CONSTRAINTS, VALID_BACKEND_HINTS
from manyhands.compat.joblib._config import (
    BACKENDS,
    EXTERNAL_BACKENDS,
    MAYBE_AVAILABLE_BACKENDS,
    _backend,
    chosen,
    default_parallel_config,
    is_given,
    parallel_backend,
    parallel_config,
)
from manyhands.compat.joblib._dispatching import is_overridden
from manyhands.compat.joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    LokyBackend,
    MultiprocessingBackend,
    ParallelBackendBase,
    ThreadingBackend,
)
from manyhands.compat.joblib._processors import cpu_count
from manyhands.compat.joblib._run import Runner
from manyhands.compat.joblib.logger import Logger, short_format_time
from manyhands.parallel import delayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.compat.joblib._config import Config

DEFAULT_BACKEND = _config.DEFAULT_PROCESS_BACKEND
DEFAULT_PROCESS_BACKEND = _config.DEFAULT_PROCESS_BACKEND
DEFAULT_THREAD_BACKEND = _config.DEFAULT_THREAD_BACKEND

__all__ = [
    "BACKENDS",
    "DEFAULT_BACKEND",
    "DEFAULT_PROCESS_BACKEND",
    "DEFAULT_THREAD_BACKEND",
    "EXTERNAL_BACKENDS",
    "MAYBE_AVAILABLE_BACKENDS",
    "VALID_BACKEND_CONSTRAINTS",
    "VALID_BACKEND_HINTS",
    "AutoBatchingMixin",
    "BatchCompletionCallBack",
    "BatchedCalls",
    "FallbackToBackend",
    "Logger",
    "LokyBackend",
    "MultiprocessingBackend",
    "Parallel",
    "ParallelBackendBase",
    "SequentialBackend",
    "ThreadingBackend",
    "_backend",
    "cpu_count",
    "default_parallel_config",
    "delayed",
    "effective_n_jobs",
    "get_active_backend",
    "parallel_backend",
    "parallel_config",
    "register_parallel_backend",
    "short_format_time",
]

_OwnCallBack = BatchCompletionCallBack
_own_call = BatchCompletionCallBack.__call__


def _is_called_back() -> bool:
    """Whether somebody's own callback is in the place of ours, or its ``__call__`` is."""
    return BatchCompletionCallBack is not _OwnCallBack or BatchCompletionCallBack.__call__ is not _own_call


def register_parallel_backend(name: str, factory: Callable[..., Any], make_default: bool = False) -> None:
    """Make ``backend=name`` mean what ``factory(nesting_level=...)`` returns.

    Example:
        >>> from manyhands.compat.joblib import register_parallel_backend
        >>> from manyhands.compat.joblib.parallel import ThreadingBackend
        >>> register_parallel_backend("my threads", ThreadingBackend)

    Args:
        name: the name; what it meant before is forgotten.
        factory: a subclass of :class:`ParallelBackendBase`, joblib's or ours, or what makes one.
        make_default: also take it where no backend is named.
    """
    BACKENDS[name] = factory
    if make_default:
        global DEFAULT_BACKEND  # noqa: PLW0603 - it is public, and programs set it
        DEFAULT_BACKEND = name


def get_active_backend(
    prefer: Any = default_parallel_config["prefer"],
    require: Any = default_parallel_config["require"],
    verbose: Any = default_parallel_config["verbose"],
) -> tuple[Any, int | None]:
    """The backend that a call would have here, and its ``n_jobs``.

    Args:
        prefer, require, verbose: as for :class:`Parallel`.
    """
    backend, config = _get_active_backend(prefer, require, verbose)
    return backend, chosen(default_parallel_config["n_jobs"], config, "n_jobs")


def _get_active_backend(
    prefer: Any = default_parallel_config["prefer"],
    require: Any = default_parallel_config["require"],
    verbose: Any = default_parallel_config["verbose"],
) -> tuple[Any, Config]:
    """The same with all that holds for it. Private there, and imported by others."""
    return _choosing.active_backend(prefer, require, verbose, DEFAULT_BACKEND)


def effective_n_jobs(n_jobs: int | None = -1) -> int:
    """How many workers ``n_jobs`` would have here.

    Example:
        >>> from manyhands.compat.joblib import effective_n_jobs, parallel_config
        >>> with parallel_config("threading", n_jobs=3):
        ...     effective_n_jobs(None), effective_n_jobs(1), effective_n_jobs(5)
        (3, 1, 5)

    Args:
        n_jobs: as for :class:`Parallel`.

    Raises:
        ValueError: it is 0.
    """
    if n_jobs == 1:
        return 1
    backend, of_block = get_active_backend()
    count: int = backend.effective_n_jobs(n_jobs=of_block if n_jobs is None else n_jobs)
    return count


class Parallel(Runner):
    """Makes calls that :func:`delayed` has noted, in parallel: ``joblib.Parallel``.

    Example:
        >>> from manyhands.compat.joblib import Parallel, delayed
        >>> Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(4))
        [0, 1, 4, 9]

    Args:
        n_jobs: how many workers. -1: one for each processor; below: processors + 1 + n_jobs; 1: none, the calls are made here; None: 1,
            unless :class:`parallel_config` says otherwise.
        backend: "loky" (worker processes; the default), "multiprocessing" (the same), "threading", "sequential", a registered name,
            a backend, or a context of multiprocessing, whose start method is taken.
        return_as: "list"; "generator": an iterator of results in order; "generator_unordered": as they come. With all backends.
        verbose: above 0 progress messages, above 10 one whenever results have come, from 50 on standard output, not standard error.
        timeout: seconds that each call may take; then it is stopped where that is possible.
        pre_dispatch: how many messages are sent ahead: a number, an expression like "2 * n_jobs", or "all".
        batch_size: calls in one message, or "auto": by measured time.
        temp_folder, max_nbytes, mmap_mode: arrays need no files. Where one of them is given, arrays of more than ``max_nbytes`` (a number,
            or a text like "1M") are written to files and arrive as ``numpy.memmap``, in the mode ``mmap_mode``, or, if that is not given,
            as a copy of the task's own ("c"). The files are in ``temp_folder``, or, if that is not given, in ``$JOBLIB_TEMP_FOLDER``, in
            ``/dev/shm`` if that has 2 GB left, or where temporary files are; they are removed at the end of the call, or of the ``with``
            block. None for ``max_nbytes`` or ``mmap_mode``: no files.
        prefer: "processes" or "threads", where no backend is named.
        require: "sharedmem": threads, whose calls share the caller's objects.
        backend_kwargs: ``initializer`` and ``initargs`` for workers, ``idle_worker_timeout``, and the options of
            :class:`manyhands.Parallel` (``retries``, ``memory_limit`` and so on). As with joblib, "multiprocessing" refuses others, and the
            other backends ignore them: the log (``manyhands``) of "loky" tells.

    Attributes:
        n_dispatched_tasks: how many calls of the last run have been read.
        n_completed_tasks: how many have ended.
        n_dispatched_batches: in how many batches they have gone so far.

    Raises:
        ValueError: an argument is not allowed.
        RuntimeError: it is called while its last generator has not come to its end.
        Exception: what the first call that failed has raised, with a note that names it; ``multiprocessing.TimeoutError`` after
            ``timeout``.

    Subclasses may override :meth:`print_progress`, which is called whenever calls have ended; and :meth:`dispatch_one_batch` or
    :meth:`dispatch_next`, which are called for each batch that goes to the workers. Where these are overridden, calls go in batches, as
    they do in joblib, and not as a stream.
    """

    def __init__(
        self,
        n_jobs: Any = default_parallel_config["n_jobs"],
        backend: Any = default_parallel_config["backend"],
        return_as: Literal["list", "generator", "generator_unordered"] = "list",
        verbose: Any = default_parallel_config["verbose"],
        timeout: float | None = None,
        pre_dispatch: int | str = "2 * n_jobs",
        batch_size: int | Literal["auto"] = "auto",
        temp_folder: Any = default_parallel_config["temp_folder"],
        max_nbytes: Any = default_parallel_config["max_nbytes"],
        mmap_mode: Any = default_parallel_config["mmap_mode"],
        prefer: Any = default_parallel_config["prefer"],
        require: Any = default_parallel_config["require"],
        **backend_kwargs: Any,
    ) -> None:
        super().__init__()
        active, config = _choosing.active_backend(prefer, require, verbose, DEFAULT_BACKEND)
        of_files = {"max_nbytes": max_nbytes, "temp_folder": temp_folder, "mmap_mode": mmap_mode}
        given = {**of_files, "prefer": prefer, "require": require, "verbose": verbose}
        self._shared = {name: chosen(value, config, name) for name, value in given.items()}
        self.verbose: float = self._shared["verbose"]
        self.timeout = timeout
        self.pre_dispatch = int(pre_dispatch) if isinstance(pre_dispatch, float) else pre_dispatch
        self.batch_size = _checked_size(batch_size)
        self.return_as = _checked_return(return_as)
        self.return_generator = return_as != "list"
        self.return_ordered = return_as != "generator_unordered"
        self._given = backend_kwargs
        if isinstance(self._shared["max_nbytes"], str):
            self._shared["max_nbytes"] = _checked_bytes(self._shared["max_nbytes"])
        self._shared["verbose"] = max(0, self.verbose - 50)
        self._asked = {name for name, value in of_files.items() if is_given(value, config, name)}
        self.chosen_context = backend if hasattr(backend, "Pool") and hasattr(backend, "Lock") else None
        self._backend = _choosing.named_backend(backend, active, DEFAULT_BACKEND)
        n_jobs = chosen(default_parallel_config["n_jobs"] if n_jobs is None else n_jobs, config, "n_jobs")
        self.n_jobs = _checked_jobs(self._backend.default_n_jobs if n_jobs is None else n_jobs)
        self._check_backend(require)
        self._id = os.urandom(16).hex()
        self._lock = threading.RLock()

    def _check_backend(self, require: Any) -> None:
        backend = self._backend
        if require == "sharedmem" and not getattr(backend, "supports_sharedmem", False):
            msg = f"require='sharedmem': backend {backend} does not support shared memory; leave backend out, or use 'threading'"
            raise ValueError(msg)

    # ------------------------------------------------------------ progress

    def _is_watched(self) -> bool:
        """Whether anybody is to be told of each arrival: else that costs nothing."""
        return bool(self.verbose) or self._shows_progress() or _is_called_back()

    def _shows_progress(self) -> bool:
        """Whether that is done by somebody's own :meth:`print_progress`."""
        return is_overridden(self, "print_progress", _own_progress)

    def _arrived(self, count: int) -> None:
        """So many calls have ended."""
        if _is_called_back():
            self.report(self.make_callback(self._start_time, count), count, None)
        else:
            self.completed(count)

    def _finished(self) -> None:
        self._is_over = True
        if self.verbose and not self._shows_progress():  # that has been called for the last batch
            self.print_progress()

    def make_callback(self, dispatch_timestamp: float, batch_size: int) -> Any:
        """What is told when a batch has ended: of the class that is now under its name in this module."""
        return BatchCompletionCallBack(dispatch_timestamp, batch_size, self)

    def print_progress(self) -> None:
        """Say how far the call is, if ``verbose`` asks for it and it is time to."""
        if not self.verbose:
            return
        now = Standing(self.n_completed_tasks, self.n_dispatched_tasks, self.n_tasks, self._original_iterator is not None)
        is_over = self._is_over or (self._shows_progress() and self._is_completed())
        text = self._narration.finished(now) if is_over else self._narration.progress(now)
        if text is not None:
            self._print(text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_jobs={self.n_jobs})"


_own_progress = Parallel.print_progress


def _checked_return(return_as: Any) -> Any:
    if return_as not in {"list", "generator", "generator_unordered"}:
        msg = f"return_as={return_as!r} is not allowed; return_as is 'list', 'generator' or 'generator_unordered'"
        raise ValueError(msg)
    return return_as


def _checked_size(batch_size: Any) -> Any:
    if batch_size == "auto":
        return batch_size
    if hasattr(batch_size, "__index__") and batch_size > 0:
        return int(batch_size)
    msg = f"batch_size must be 'auto' or a positive integer, got: {batch_size!r}"
    raise ValueError(msg)


@functools.lru_cache(maxsize=8)  # nearly always the default
def _checked_bytes(max_nbytes: str) -> int:
    try:
        return parse_size(max_nbytes)
    except ValueError:
        msg = f"max_nbytes={max_nbytes!r} is not allowed; it is a number of bytes, a text like '1M', or None"
        raise ValueError(msg) from None


def _checked_jobs(n_jobs: Any) -> int:
    try:
        return int(n_jobs)
    except ValueError:
        msg = f"n_jobs could not be converted to int: {n_jobs!r}"
        raise ValueError(msg) from None


def __getattr__(name: str) -> Any:
    if name == "mp":  # the module, where processes may be used
        import multiprocessing  # noqa: PLC0415 - as above

        return multiprocessing if _config.HAS_PROCESSES else None
    if installing.lends("joblib.parallel", name):
        return getattr(installing.original("joblib.parallel"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
