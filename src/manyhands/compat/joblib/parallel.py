"""joblib's ``Parallel`` and what belongs to it, under the names that they have in ``joblib.parallel``.

Programs put things in their place in this module (``DEFAULT_BACKEND``, ``BatchCompletionCallBack``), and are heard.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import uuid
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Literal

from manyhands._core.options import parse_size
from manyhands._narration import Narration, Standing
from manyhands._noted_calls import ALL, Calls, all_of, chunks, make_plan, one_by_one, tasks_ahead
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
from manyhands.compat.joblib._errors import as_joblib_raises
from manyhands.compat.joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    LokyBackend,
    MultiprocessingBackend,
    ParallelBackendBase,
    ThreadingBackend,
    is_native,
)
from manyhands.compat.joblib._processors import cpu_count
from manyhands.compat.joblib.logger import Logger, short_format_time
from manyhands.parallel import delayed
from manyhands.settings import UNSET, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from manyhands._core.options import Options
    from manyhands._noted_calls import Noted
    from manyhands.backends import TaskStream

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
    backend, config = _choosing.active_backend(prefer, require, verbose, DEFAULT_BACKEND)
    return backend, chosen(default_parallel_config["n_jobs"], config, "n_jobs")


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


class Parallel(Logger):
    """Makes calls that :func:`delayed` has noted, in parallel: ``joblib.Parallel``.

    Example:
        >>> from manyhands.compat.joblib import Parallel, delayed
        >>> Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(4))
        [0, 1, 4, 9]

    Args:
        n_jobs: how many workers. -1: one for each processor; below: processors + 1 + n_jobs; 1: none, the calls are made here; None: 1, unless
            :class:`parallel_config` says otherwise.
        backend: "loky" (worker processes; the default), "multiprocessing" (the same), "threading", "sequential", a registered name, a
            backend, or a context of multiprocessing, whose start method is taken.
        return_as: "list"; "generator": an iterator of results in order; "generator_unordered": as they come. With all backends.
        verbose: above 0 progress messages, above 10 one whenever results have come, above 50 on standard output instead of standard error.
        timeout: seconds that each call may take; then it is stopped where that is possible.
        pre_dispatch: how many messages are sent ahead: a number, an expression like "2 * n_jobs", or "all".
        batch_size: calls in one message, or "auto": by measured time.
        temp_folder, max_nbytes, mmap_mode: arrays need no files. Where one of them is given, arrays of more than ``max_nbytes`` (a number, or a
            text like "1M") are written to files in ``temp_folder`` and arrive as ``numpy.memmap``, in the mode ``mmap_mode``, or, if that is
            not given, as a copy of the task's own ("c"). The files are removed at the end of the call, or of the ``with`` block. None for
            ``max_nbytes`` or ``mmap_mode``: no files.
        prefer: "processes" or "threads", where no backend is named.
        require: "sharedmem": threads, whose calls share the caller's objects.
        backend_kwargs: ``initializer`` and ``initargs`` for workers, ``idle_worker_timeout``, and the options of :class:`manyhands.Parallel`
            (``retries``, ``memory_limit`` and so on).

    Attributes:
        n_dispatched_tasks: how many calls of the last run have been read.
        n_completed_tasks: how many have ended.

    Raises:
        ValueError: an argument is not allowed.
        RuntimeError: it is called while its last generator has not come to its end.
        Exception: what the first call that failed has raised, with a note that names it; ``multiprocessing.TimeoutError`` after ``timeout``.

    Subclasses may override :meth:`print_progress`, which is called whenever calls have ended.
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
        given = {"max_nbytes": max_nbytes, "temp_folder": temp_folder, "mmap_mode": mmap_mode}
        given.update(prefer=prefer, require=require, verbose=verbose)
        self.verbose: float = chosen(verbose, config, "verbose")
        self.timeout = timeout
        self.pre_dispatch = pre_dispatch
        self.batch_size = _checked_size(batch_size)
        self.return_as = _checked_return(return_as)
        self.return_generator = return_as != "list"
        self.return_ordered = return_as != "generator_unordered"
        self._given = backend_kwargs
        self._shared = {name: chosen(value, config, name) for name, value in given.items()}
        if isinstance(self._shared["max_nbytes"], str):
            self._shared["max_nbytes"] = parse_size(self._shared["max_nbytes"])
        self._shared["verbose"] = max(0, self.verbose - 50)
        self._asked = {name for name, value in given.items() if is_given(value, config, name)}
        self.chosen_context = backend if hasattr(backend, "Pool") and hasattr(backend, "Lock") else None
        self._backend = _choosing.named_backend(backend, active, DEFAULT_BACKEND)
        n_jobs = chosen(default_parallel_config["n_jobs"] if n_jobs is None else n_jobs, config, "n_jobs")
        self.n_jobs = _checked_jobs(self._backend.default_n_jobs if n_jobs is None else n_jobs)
        self._check_backend(require)
        self._id = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._managed_backend = False
        self._call_id = self._id
        self._calling = self._running = self._aborting = self._aborted = False
        self._n_jobs_now = 1
        self._files: Any = None  # the arrays' , if there are any
        self._stream: TaskStream | None = None  # of the last call
        self._calls: Calls | None = None
        self._generator: weakref.ref[Generator[Any]] | None = None  # its results, if somebody still holds them
        self.n_dispatched_batches = 0
        self._taken = 0
        self._is_over = False

    def _check_backend(self, require: Any) -> None:
        backend = self._backend
        if require == "sharedmem" and not getattr(backend, "supports_sharedmem", False):
            msg = f"require='sharedmem': backend {backend} does not support shared memory; leave backend out, or use 'threading'"
            raise ValueError(msg)
        if self.return_generator and not (is_native(type(backend)) or backend.supports_return_generator):
            msg = f"Backend {backend} does not support return_as={self.return_as!r}; return_as='list' it does"
            raise ValueError(msg)

    # ------------------------------------------------------------ the backend

    @property
    def _backend_kwargs(self) -> dict[str, Any]:
        """What backends of others are configured with."""
        return {**self._given, **self._shared, "context": self.chosen_context or _default_context()}

    def _configuration(self) -> dict[str, Any]:
        """What this one is: ours need no context of multiprocessing, which takes time to load."""
        if is_native(type(self._backend)) and self.chosen_context is None:
            return {**self._given, **self._shared}
        return self._backend_kwargs

    def _initialize_backend(self) -> int:
        """Have the backend get ready, or the one that it names in its place; how many workers there are."""
        while True:
            try:
                n_jobs: int = self._backend.configure(n_jobs=self.n_jobs, parallel=self, **self._configuration())
            except Exception as error:
                if not _choosing.fallback_of(type(error)):
                    raise
                self._backend = _choosing.ours(error.backend)  # type: ignore[attr-defined] # of FallbackToBackend
                continue
            if self.timeout is not None and not getattr(self._backend, "supports_timeout", False):
                warnings.warn(
                    f"The backend class {type(self._backend).__name__!r} does not support timeout. You have set 'timeout={self.timeout}' "
                    "in Parallel but the 'timeout' parameter will not be used.",
                    stacklevel=3,
                )
            return n_jobs

    def _effective_n_jobs(self) -> int:
        return self._backend.effective_n_jobs(self.n_jobs)  # type: ignore[no-any-return]

    def __enter__(self) -> Parallel:
        self._managed_backend = True
        self._n_jobs_now = self._initialize_backend()
        return self

    def __exit__(self, *_: object) -> None:
        self._managed_backend = False
        generator = None if self._generator is None else self._generator()
        if generator is not None and self._is_running():
            self._stop()
            with contextlib.suppress(ValueError):  # another thread is waiting in it: it ends there, since its stream has
                generator.close()
        self._terminate_and_reset()

    def _abort(self) -> None:
        """Nothing more is dispatched, and what runs is stopped, as far as the backend can."""
        self._aborting = True
        if not self._aborted and hasattr(self._backend, "abort_everything"):
            self._backend.abort_everything(ensure_ready=self._managed_backend)
        self._aborted = True

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.close(at_once=True)

    def _terminate_and_reset(self) -> None:
        if self._calling and hasattr(self._backend, "stop_call"):
            self._backend.stop_call()
        self._calling = False
        if not self._managed_backend:
            self._backend.terminate()
            if self._files is not None:
                self._files.remove()
                self._files = None

    # ------------------------------------------------------------ calls

    def __call__(self, iterable: Iterable[Noted]) -> Any:
        """Make all calls; a list, or a generator if ``return_as`` says so."""
        self._begin(iterable)
        try:
            n_jobs = self._n_jobs_now = self._effective_n_jobs() if self._managed_backend else self._initialize_backend()
            if n_jobs == 0:
                msg = f"{type(self._backend).__name__} has no active worker."
                raise RuntimeError(msg)
            stream = self._stream = self._open(iterable, n_jobs)
        except BaseException:
            self._running = False
            raise
        results = self._results(stream, n_jobs)
        if not self.return_generator:
            return all_of(results)
        generator = one_by_one(results, stream)
        self._generator = weakref.ref(generator)
        next(generator)
        return generator

    def _begin(self, iterable: Iterable[Noted]) -> None:
        with self._lock:
            if self._is_running():
                msg = "This Parallel instance is already running !"
                if self.return_generator:
                    msg += " A generator of it has not come to its end: exhaust it, or drop it, before the next call."
                raise RuntimeError(msg)
            self._running = True
        self.n_tasks = len(iterable) if hasattr(iterable, "__len__") else None
        self._start_time = time.time()
        self._narration = Narration(self.verbose)
        self.n_dispatched_batches = self._taken = 0
        self._aborting = self._aborted = self._is_over = False
        self._stream = None

    def _is_running(self) -> bool:
        """Whether results are still to come: those that are there may be taken later."""
        if not self._running or self._stream is None or self._calls is None:
            return self._running
        counts = self._stream.counts()
        return not (self._calls.exhausted and counts.ended == counts.submitted)

    def _open(self, iterable: Iterable[Noted], n_jobs: int) -> TaskStream:
        """The stream of a call."""
        ahead = tasks_ahead(self.pre_dispatch, n_jobs, self.batch_size)
        calls = self._calls = Calls(list(iterable) if ahead == ALL and n_jobs > 1 else iterable)
        options = self._options(n_jobs)
        plan = make_plan(options, n_jobs, ahead, self.return_as, calls.total)
        inputs = calls.inputs(eager=plan.eager)
        if self._is_watched():
            plan = plan._replace(watch=self._arrived)
        if n_jobs == 1:
            return SequentialBackend().native_stream(plan, inputs)
        self._call_id = uuid.uuid4().hex
        self._print(f"Using backend {type(self._backend).__name__} with {n_jobs} concurrent workers.")
        self._calling = True
        if not is_native(type(self._backend)):
            return self._contract_stream(inputs, n_jobs, ahead)
        return self._filed(self._backend.native_stream(plan, inputs))

    def _options(self, n_jobs: int) -> Options:
        mine = {name: value for name, value in {**getattr(self._backend, "backend_kwargs", {}), **self._given}.items() if name in _OF_TASKS}
        timeout = UNSET if self.timeout is None else self.timeout
        return resolved(workers=n_jobs, timeout=timeout, chunk=self.batch_size, **mine)

    def _contract_stream(self, inputs: Any, n_jobs: int, ahead: int) -> TaskStream:
        """For a backend that is given batches."""
        from manyhands.compat.joblib import _contract_stream  # noqa: PLC0415 - takes multiprocessing

        backend = self._backend
        kind = _contract_stream.ContractStream if backend.supports_retrieve_callback else _contract_stream.OldContractStream
        first = None if ahead == ALL else ahead if ahead > 0 else 2 * n_jobs
        return kind(self, n_jobs, inputs, first, self.timeout if getattr(backend, "supports_timeout", False) else None)

    def _filed(self, stream: TaskStream) -> TaskStream:
        """The stream, with arrays by way of files, if somebody wants them."""
        files = self.array_files()
        if files is None:
            return stream
        from manyhands.compat.joblib._array_files import FiledStream  # noqa: PLC0415 - few want files

        return FiledStream(stream, files)

    def array_files(self) -> Any:
        """The files that arrays go by way of; None if nobody wants any."""
        if self._files is None and self._wants_files():
            from manyhands.compat.joblib._array_files import ArrayFiles  # noqa: PLC0415 - as above

            mode = self._shared["mmap_mode"] if "mmap_mode" in self._asked else "c"
            self._files = ArrayFiles(self._shared["temp_folder"], self._shared["max_nbytes"], mode)
        return self._files

    def _wants_files(self) -> bool:
        if getattr(self._backend, "supports_sharedmem", False) or self._asked.isdisjoint(_OF_FILES):
            return False
        return self._shared["max_nbytes"] is not None and self._shared["mmap_mode"] is not None and "numpy" in sys.modules

    def _results(self, stream: TaskStream, n_jobs: int) -> Generator[list[Any]]:
        """Results in chunks; first none, with which the call begins. However it ends, the backend is told."""
        assert self._calls is not None
        arriving = chunks(stream, self._calls, self._finished)
        is_single = n_jobs == 1
        try:
            next(arriving)
            yield []
            with contextlib.nullcontext() if is_single else self._backend.retrieval_context():
                for values in arriving:
                    self._taken += len(values)
                    yield values
        except GeneratorExit:
            stream.close(at_once=True)  # nobody waits for what runs
            self._give_up(is_single)
            raise
        except BaseException as error:
            self._give_up(is_single)
            raised = as_joblib_raises(error)
            if raised is error:
                raise
            raise raised from error
        finally:
            arriving.close()
            if stream is self._stream:
                self._running = False
                self._terminate_and_reset()

    def _give_up(self, is_single: bool) -> None:
        ready = self.n_completed_tasks - self._taken
        left = self.n_dispatched_tasks - self.n_completed_tasks
        if not is_single:
            self._abort()
        self._aborting = True
        if self.return_generator and isinstance(sys.exception(), GeneratorExit) and (ready > 0 or left > 0):
            warnings.warn(
                f"a generator of Parallel was dropped before its end: {max(ready, 0)} results that were there have not been used, and "
                f"{left} tasks that were under way have been cancelled; give Parallel no more calls than are needed",
                stacklevel=2,
            )

    # ------------------------------------------------------------ progress

    @property
    def n_dispatched_tasks(self) -> int:
        """How many calls of the last run have been read from its input."""
        return 0 if self._stream is None else self._stream.counts().submitted

    @property
    def n_completed_tasks(self) -> int:
        """How many calls of the last run have ended."""
        return 0 if self._stream is None else self._stream.counts().ended

    @property
    def _original_iterator(self) -> Any:
        """The calls that have not been read; None if all have. Private there, and looked at in recipes."""
        return None if self._calls is None or self._calls.exhausted else self._calls

    def _is_watched(self) -> bool:
        """Whether anybody is to be told of each arrival: else that costs nothing."""
        overridden = type(self).print_progress is not Parallel.print_progress
        return bool(self.verbose) or overridden or BatchCompletionCallBack is not _OwnCallBack

    def _arrived(self, count: int) -> None:
        """So many calls have ended."""
        if BatchCompletionCallBack is _OwnCallBack:
            self.print_progress()
        else:
            self.make_callback(self._start_time, count)(None)

    def make_callback(self, dispatch_timestamp: float, batch_size: int) -> Any:
        """What is told when a batch has ended: of the class that is now under its name in this module."""
        return BatchCompletionCallBack(dispatch_timestamp, batch_size, self)

    def _finished(self) -> None:
        self._is_over = True
        if self._is_watched():
            self.print_progress()

    def print_progress(self) -> None:
        """Say how far the call is, if ``verbose`` asks for it and it is time to."""
        if not self.verbose:
            return
        now = Standing(self.n_completed_tasks, self.n_dispatched_tasks, self.n_tasks, self._original_iterator is not None)
        text = self._narration.finished(now) if self._is_over else self._narration.progress(now)
        if text is not None:
            self._print(text)

    def _print(self, msg: str) -> None:
        """Say something, if ``verbose`` is above 0."""
        if self.verbose:
            (sys.stderr if self.verbose < 50 else sys.stdout).write(f"[{self}]: {msg}\n")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_jobs={self.n_jobs})"


_OF_FILES = frozenset({"temp_folder", "max_nbytes", "mmap_mode"})
_OF_TASKS = frozenset({"retries", "retry_on", "backoff", "priority", "on_stale"})


def _checked_return(return_as: Any) -> Any:
    if return_as not in {"list", "generator", "generator_unordered"}:
        msg = f"return_as={return_as!r} is not allowed; return_as is 'list', 'generator' or 'generator_unordered'"
        raise ValueError(msg)
    return return_as


def _checked_size(batch_size: Any) -> Any:
    if batch_size == "auto" or (hasattr(batch_size, "__index__") and batch_size > 0):
        return batch_size
    msg = f"batch_size must be 'auto' or a positive integer, got: {batch_size!r}"
    raise ValueError(msg)


def _checked_jobs(n_jobs: Any) -> int:
    try:
        return int(n_jobs)
    except ValueError:
        msg = f"n_jobs could not be converted to int: {n_jobs!r}"
        raise ValueError(msg) from None


def _default_context() -> Any:
    import multiprocessing  # noqa: PLC0415 - 10 ms; only for backends that are not ours
    import os  # noqa: PLC0415

    return multiprocessing.get_context(os.environ.get("JOBLIB_START_METHOD", "").strip() or None) if _config.HAS_PROCESSES else None


def __getattr__(name: str) -> Any:
    if name == "mp":  # the module, where processes may be used
        import multiprocessing  # noqa: PLC0415 - as above

        return multiprocessing if _config.HAS_PROCESSES else None
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
