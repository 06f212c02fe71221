"""One call of ``Parallel`` after another: the backend that gets ready, the stream, the results, and the end, however it comes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._core.options import OF_TASKS
from manyhands._narration import Narration
from manyhands._noted_calls import ALL, AUTO, Calls, all_of, chunks, make_plan, one_by_one, tasks_ahead
from manyhands.compat.joblib import _choosing, _config
from manyhands.compat.joblib._backend_base import SequentialBackend
from manyhands.compat.joblib._dispatching import Dispatching
from manyhands.compat.joblib._errors import as_joblib_raises
from manyhands.compat.joblib._parallel_backends import LokyBackend, MultiprocessingBackend, is_native, of_call
from manyhands.compat.joblib.logger import Logger
from manyhands.parallel import is_quiet
from manyhands.reports import Recording
from manyhands.settings import resolved

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterable
    from typing import Self

    from manyhands._core.options import Options
    from manyhands._noted_calls import Noted
    from manyhands.backends import TaskStream


class Runner(Dispatching, Logger):
    """What :class:`Parallel` does with what it was given."""

    # What it was given.
    n_jobs: int
    verbose: float
    timeout: float | None
    pre_dispatch: int | str
    batch_size: Any
    return_as: str
    return_generator: bool
    return_ordered: bool
    chosen_context: Any  # of multiprocessing, in place of a backend
    _given: dict[str, Any]  # for the backend
    _shared: dict[str, Any]  # for every backend
    _asked: set[str]  # what somebody has named of that which is for files

    # What changes.
    _backend: Any
    _lock: threading.RLock
    _managed_backend = False  # within a ``with`` block, which calls have in common
    _calling = False  # the backend has been told that a call begins
    _running = False
    _aborting = False  # the last call has been given up
    _aborted = False  # and the backend told
    _is_over = False  # all results have been taken
    _taken = 0  # how many
    _call_id = ""
    _start_time = 0.0
    _narration: Narration
    _files: Any = None  # of arrays, if there are any
    _generator: weakref.ref[Generator[Any]] | None = None  # its results, if somebody still holds them
    n_tasks: int | None = None

    # ------------------------------------------------------------ the backend

    @property
    def _backend_kwargs(self) -> dict[str, Any]:
        """What backends of others are configured with."""
        return {**self._given, **self._shared, "context": self.chosen_context or _default_context()}

    @property
    def _backend_args(self) -> dict[str, Any]:
        """What these were called before joblib 1.5; Spark's backend asks so."""
        return self._backend_kwargs

    def _configuration(self) -> dict[str, Any]:
        """What this one is: ours need no context of multiprocessing, which takes time to load."""
        if is_native(self._backend) and self.chosen_context is None:
            return {**self._given, **self._shared}
        return self._backend_kwargs

    def _initialize_backend(self) -> int:
        """Have the backend get ready, or the one that it names in its place; how many workers there are."""
        while True:
            try:
                n_jobs: int = self._backend.configure(n_jobs=self.n_jobs, parallel=self, **self._configuration())
            except Exception as error:
                if not _choosing.is_fallback(error):
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

    def __enter__(self) -> Self:
        self._managed_backend = True
        self._initialize_backend()
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
            n_jobs = self._effective_n_jobs() if self._managed_backend else self._initialize_backend()
            if n_jobs == 0:
                msg = f"{type(self._backend).__name__} has no active worker."
                raise RuntimeError(msg)
        except BaseException:
            self._running = False
            raise
        chunk = self.batch_size if isinstance(self.batch_size, int) else None
        recording = Recording(None, type(self._backend).__name__, n_jobs, chunk)
        try:
            stream = self._stream = self._open(iterable, n_jobs)
        except BaseException:
            self._running = False
            self._terminate_and_reset()
            raise
        recording.follow(stream, self.n_tasks)
        results = self._results(stream, n_jobs, recording)
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
        self.n_tasks = len(iterable) if hasattr(iterable, "__len__") else None  # type: ignore[arg-type] # it has one
        self._start_time = time.time()
        self._narration = Narration(self.verbose)
        self._taken = 0
        self._aborting = self._aborted = self._is_over = False
        if self._files is not None:
            self._files.tidy()  # what the call before was given is not under way any more
        self._stream = self.dispatcher = self._reported = None

    def _is_running(self) -> bool:
        """Whether results are still to come: those that are there may be taken later."""
        if not self._running or self._stream is None or self._calls is None:
            return self._running
        counts = self._stream.counts()
        return not (self._calls.exhausted and counts.ended == counts.submitted)

    def _open(self, iterable: Iterable[Noted], n_jobs: int) -> TaskStream:
        """The stream of a call."""
        ahead = AUTO if n_jobs == 1 else tasks_ahead(self.pre_dispatch, n_jobs, self.batch_size)
        noted = list(iterable) if ahead == ALL and n_jobs > 1 else iterable
        # What is called whenever calls have ended may be the user's.
        calls = self._calls = Calls(noted)
        options = self._options(n_jobs)
        is_watched = self._is_watched()
        quiet = n_jobs > 1 and not is_watched and is_quiet(noted)
        plan = make_plan(options, n_jobs, ahead, self.return_as, calls.total, quiet=quiet)
        inputs = calls.inputs(eager=plan.eager)
        if is_watched:
            plan = plan._replace(watch=self._arrived)
            self._reported = 0
        if n_jobs == 1:
            return SequentialBackend().native_stream(plan, inputs)
        self._call_id = os.urandom(16).hex()
        if self.verbose:
            self._print(f"Using backend {type(self._backend).__name__} with {n_jobs} concurrent workers.")
        self._calling = True
        if not is_native(self._backend) or self._has_say():
            return self._contract_stream(inputs, n_jobs, ahead)
        return self._filed(self._backend.native_stream(plan, inputs))

    def _options(self, n_jobs: int) -> Options:
        """The options of the calls; workers have been made with them."""
        if n_jobs > 1 and isinstance(self._backend, LokyBackend | MultiprocessingBackend) and is_native(self._backend):
            return self._backend.workers.options
        given = {**getattr(self._backend, "backend_kwargs", {}), **self._given}
        return resolved(workers=n_jobs, **of_call(self), **{name: value for name, value in given.items() if name in OF_TASKS})

    def _contract_stream(self, inputs: Any, n_jobs: int, ahead: int) -> TaskStream:
        """For a backend that is given batches."""
        from manyhands.compat.joblib import _contract_stream  # noqa: PLC0415 - takes multiprocessing

        backend = self._backend
        kind = _contract_stream.ContractStream if backend.supports_retrieve_callback else _contract_stream.OldContractStream
        first = None if ahead == ALL else ahead if ahead > 0 else 2 * n_jobs
        timeout = self.timeout if getattr(backend, "supports_timeout", False) else None
        self._reported = 0
        self.dispatcher = kind(self, n_jobs, inputs, first, timeout)
        return self._filed(self.dispatcher)

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
        if not self._asked or not isinstance(self._backend, LokyBackend | MultiprocessingBackend):
            return False
        return self._shared["max_nbytes"] is not None and self._shared["mmap_mode"] is not None and "numpy" in sys.modules

    def _results(self, stream: TaskStream, n_jobs: int, recording: Recording) -> Generator[list[Any]]:
        """Results in chunks; first none, with which the call begins. However it ends, the backend is told."""
        assert self._calls is not None
        arriving = chunks(stream, self._calls, recording, self._finished)
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
            self._give_up(stream, is_single)
            raise
        except BaseException as error:
            self._give_up(stream, is_single)
            raised = as_joblib_raises(error)
            if raised is error:
                raise
            raise raised from error
        finally:
            arriving.close()
            if stream is self._stream:
                self._running = False
                self._terminate_and_reset()

    def _give_up(self, stream: TaskStream, is_single: bool) -> None:
        if stream is not self._stream:
            return  # all of it has ended, and another call has begun: that goes on
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

    def _is_watched(self) -> bool:
        """Whether anybody is to be told of each arrival: else that costs nothing."""
        return bool(self.verbose)

    def _arrived(self, count: int) -> None:
        """So many calls have ended."""
        self.completed(count)

    def _finished(self) -> None:
        self._is_over = True
        if self._is_watched():
            self.print_progress()

    def _print(self, msg: str) -> None:
        """Say something, if ``verbose`` is above 0."""
        if self.verbose:
            (sys.stderr if self.verbose < 50 else sys.stdout).write(f"[{self}]: {msg}\n")


def _default_context() -> Any:
    import multiprocessing  # noqa: PLC0415 - 10 ms; only for backends that are not ours

    return multiprocessing.get_context(os.environ.get("JOBLIB_START_METHOD", "").strip() or None) if _config.HAS_PROCESSES else None
