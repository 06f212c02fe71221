"""The ``joblib`` face: :class:`Parallel` and :func:`delayed`."""

from __future__ import annotations

import contextlib
import importlib
import operator
import sys
import weakref
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

from manyhands import _quiet_calls, backends
from manyhands._core.options import BESIDE_JOBLIB, checked_count, whole
from manyhands._narration import Narration, Standing, say
from manyhands._noted_calls import ALL, Calls, Counting, all_of, chunks, make_plan, one_by_one, tasks_ahead
from manyhands._wire._cpus import cpu_count, workers_for
from manyhands.backends._choice import choose
from manyhands.errors import BackendMissing
from manyhands.reports import Recording
from manyhands.settings import UNSET, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from manyhands.backends import TaskStream

P = ParamSpec("P")
T = TypeVar("T")

_BACKENDS = {
    "loky": "processes",
    "multiprocessing": "processes",
    "processes": "processes",
    "threading": "threads",
    "threads": "threads",
    "sequential": "sequential",
}


class _Doc:
    """The docstring of a class, and of its instances that of what they wrap."""

    def __init__(self, own: str) -> None:
        self._own = own

    def __get__(self, instance: Any, _: type | None = None) -> str | None:
        return self._own if instance is None else getattr(instance.__wrapped__, "__doc__", None)


class Delayed(Generic[P, T]):
    __doc__ = _Doc("What :func:`delayed` returns: called, it notes the call.")
    __slots__ = ("__wrapped__",)

    def __init__(self, function: Callable[P, T]) -> None:
        self.__wrapped__: Callable[P, T] = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Callable[P, T], tuple[Any, ...], dict[str, Any]]:
        return self.__wrapped__, args, kwargs

    def __getattr__(self, name: str) -> object:
        if name in {"__wrapped__", "__deepcopy__"}:  # not set yet while it is being made anew; the function's would copy the function
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        module, name = getattr(self.__wrapped__, "__module__", None), getattr(self.__wrapped__, "__qualname__", None)
        # What is found by its name, as after @delayed, goes by it, as functions do; not in __main__, which is another module in a worker.
        if isinstance(module, str) and isinstance(name, str) and module != "__main__":
            with contextlib.suppress(ImportError, AttributeError):
                if _find(module, name) is self:
                    return _find, (module, name)
        return Delayed, (self.__wrapped__,)

    def __repr__(self) -> str:
        return f"delayed({self.__wrapped__!r})"


def _find(module: str, name: str) -> object:
    return operator.attrgetter(name)(sys.modules.get(module) or importlib.import_module(module))


def delayed(function: Callable[P, T]) -> Delayed[P, T]:
    """Note a call instead of making it: ``delayed(f)(1, y=2)`` is ``(f, (1,), {"y": 2})``. Also as a decorator.

    Example:
        >>> from manyhands import delayed
        >>> delayed(pow)(2, 10)
        (<built-in function pow>, (2, 10), {})

    Raises:
        TypeError: ``function`` is not callable.
    """
    if not callable(function):
        msg = f"delayed() takes a function; got {function!r:.100}. It is delayed(f)(x), not delayed(f(x))"
        raise TypeError(msg)
    return Delayed(function)


def is_quiet(iterable: object) -> bool:
    """Whether reading calls runs no code of the user's, which could change the arguments of those before."""
    return _quiet_calls.is_quiet(iterable, delayed, Delayed)


class Parallel(Counting):
    """Runs calls that :func:`delayed` has noted, like ``joblib.Parallel``.

    Example:
        >>> from manyhands import Parallel, delayed
        >>> Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(4))
        [0, 1, 4, 9]

    Args:
        n_jobs: how many workers. -1: one for each processor; below: processors + 1 + n_jobs; 1: none, the calls are made
            here, one after the other; None: 1, unless ``manyhands.options(workers=...)`` or ``MANYHANDS_WORKERS`` says otherwise.
        backend: "loky", "multiprocessing" or "processes" (worker processes), "threading" or "threads", "sequential", a registered name, or
            an executor.
        return_as: "list"; "generator": an iterator of results in order; "generator_unordered": as they come.
        verbose: above 0 progress messages, above 10 one whenever results have come, above 50 on standard output instead of standard error.
        timeout: seconds that each call may take; then it is stopped, and ``TaskTimeout`` (a ``TimeoutError``) is raised.
        pre_dispatch: how many messages are sent ahead: a number, an expression like "2 * n_jobs", or "all". Left alone,
            with batch_size="auto", as many as keep the workers busy.
        batch_size: calls in one message, or "auto": by measured time.
        temp_folder, max_nbytes, mmap_mode: taken for compatibility; nothing is written to files.
        prefer: "processes" or "threads", where no backend is named.
        require: "sharedmem": threads, whose calls share the caller's objects.
        options: ``retries``, ``retry_on``, ``backoff``, ``priority``, ``on_stale``, ``tag_output``, ``watch`` and ``record_failures`` of
            :func:`manyhands.map`; ``start_method``, ``memory_limit``, ``max_tasks_per_child``, ``idle_timeout`` and ``preload`` of
            :class:`manyhands.Executor`.

    The workers are those of ``manyhands.map``: warm, and shared by all calls of this process. A ``with`` block needs no
    more than a call does; when it is left, nothing runs any more, also of generators that were not exhausted: they end there.

    Raises:
        TypeError, ValueError: an argument is not allowed.
        Exception: what the first call that failed has raised, with a note that names it.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        backend: object = None,
        return_as: Literal["list", "generator", "generator_unordered"] = "list",
        verbose: int = 0,
        timeout: float | None = None,
        pre_dispatch: int | str = "2 * n_jobs",
        batch_size: int | Literal["auto"] = "auto",
        temp_folder: str | None = None,
        max_nbytes: int | str | None = "1M",
        mmap_mode: str | None = "r",
        prefer: Literal["processes", "threads"] | None = None,
        require: Literal["sharedmem"] | None = None,
        **options: Any,
    ) -> None:
        _check_options(options)
        _check(return_as, "return_as", ("list", "generator", "generator_unordered"))
        _check(prefer, "prefer", (None, "processes", "threads"))
        _check(require, "require", (None, "sharedmem"))
        _check(mmap_mode, "mmap_mode", (None, "r", "r+", "w+", "c"))
        size = _count_batch(batch_size)
        self._options = resolved(
            workers=UNSET if n_jobs is None else _count_jobs(n_jobs),
            backend=_choose_backend(backend, prefer, require),
            timeout=UNSET if timeout is None else timeout,
            chunk=size,
            **options,
        )
        self.n_jobs: int = self._options.workers or 1
        self.return_as = return_as
        self.verbose: float = _check_verbose(verbose)
        self.timeout = timeout
        self._ahead = tasks_ahead(pre_dispatch, self.n_jobs, size)
        self._stream: TaskStream | None = None  # of the last call
        # Those that somebody still holds; one that is dropped ends its call itself.
        self._generators: weakref.WeakKeyDictionary[Generator[object], TaskStream] = weakref.WeakKeyDictionary()

    def __call__(self, iterable: Iterable[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> Any:
        """Make all calls; a list, or an iterator if ``return_as`` says so."""
        backend, workers = self._backend()
        noted = list(iterable) if self._ahead == ALL else iterable
        calls = Calls(noted)
        quiet = not self.verbose and is_quiet(noted)
        plan = make_plan(self._options, workers, self._ahead, self.return_as, calls.total, quiet=quiet)
        narrator = _Narrator(self, calls, backend.capabilities.name, workers) if self.verbose else None
        if narrator is not None:
            plan = plan._replace(watch=narrator.progress)
        recording = Recording(None, backend.capabilities.name, workers, plan.chunk)
        stream = self._stream = backend.stream(plan, calls.inputs(eager=plan.eager), self._options)
        recording.follow(stream, calls.total)
        arriving = chunks(stream, calls, recording, None if narrator is None else narrator.finished)
        if self.return_as == "list":
            return all_of(arriving)
        generator = one_by_one(arriving, stream)
        next(generator)
        self._generators[generator] = stream
        return generator

    def _backend(self) -> tuple[backends.Backend, int]:
        if self.n_jobs == 1:
            return backends.get("sequential"), 1
        return choose(self._options)

    def __enter__(self) -> Parallel:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        at_once = kind is not None and not issubclass(kind, Exception)
        for generator, stream in list(self._generators.items()):
            stream.close(at_once=at_once)
            with contextlib.suppress(ValueError):  # another thread is waiting in it: it ends there, since its stream has
                generator.close()

    def __repr__(self) -> str:
        return f"Parallel(n_jobs={self.n_jobs})"


def _check(value: object, name: str, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        msg = f"{name}={value!r} is not allowed; {name} is one of {', '.join(map(repr, allowed))}"
        raise ValueError(msg)


def _count_jobs(n_jobs: float) -> int:
    count = int(n_jobs) if isinstance(n_jobs, float) and n_jobs.is_integer() else whole(n_jobs)  # 4 / 2 is a float
    if count is None:
        msg = f"n_jobs={n_jobs!r} is not allowed; n_jobs is a whole number other than 0, or None"
        raise TypeError(msg)
    if count == 0:
        msg = "n_jobs=0 is not allowed; n_jobs is a number of workers, or negative to count from the number of processors"
        raise ValueError(msg)
    return workers_for(count, cpu_count)


def _count_batch(batch_size: object) -> int | Literal["auto"]:
    if isinstance(batch_size, str) and batch_size == "auto":
        return "auto"
    return checked_count("batch_size", batch_size, 1, "a number of calls from 1 on, or 'auto'")


def _check_verbose(verbose: float) -> float:
    level = verbose if isinstance(verbose, int | float) else whole(verbose)
    if level is None:
        msg = f"verbose={verbose!r} is not allowed; verbose is a number: 0 for silence, higher for more messages"
        raise TypeError(msg)
    return level


def _check_options(names: Iterable[str]) -> None:
    for name in names:
        if name in {"initializer", "initargs"}:
            msg = (
                f"Parallel() does not support {name}: its workers are shared by all calls of this process; "
                "pass an executor instead: backend=manyhands.Executor(..., initializer=...)"
            )
            raise TypeError(msg)
        if name not in BESIDE_JOBLIB:
            msg = f"Parallel() has no parameter {name!r}; besides joblib's it takes {', '.join(sorted(BESIDE_JOBLIB))}"
            raise TypeError(msg)


def _choose_backend(backend: object, prefer: str | None, require: str | None) -> object:
    if isinstance(backend, str):
        if backend not in _BACKENDS and backend not in backends.names():
            known = ", ".join(map(repr, sorted({*_BACKENDS, *backends.names()})))
            msg = f"backend={backend!r} is not known; backend is one of {known}, or an executor"
            raise BackendMissing(msg)
        backend = _BACKENDS.get(backend, backend)
    if require == "sharedmem":
        if backend == "processes":
            msg = "require='sharedmem' cannot be had from processes; leave backend out, or use backend='threading'"
            raise ValueError(msg)
        return backend or "threads"
    if backend is None:
        return {"threads": "threads", "processes": "processes", None: UNSET}[prefer]
    return backend


class _Narrator:
    """Says how far a call is."""

    def __init__(self, parallel: Parallel, calls: Calls, backend: str, workers: int) -> None:
        self._parallel = parallel
        self._calls = calls
        self._narration = Narration(parallel.verbose)
        self._say(f"Using backend {backend} with {workers} concurrent workers.")

    def progress(self, _: int) -> None:
        """Results have come."""
        self._say(self._narration.progress(self._standing()))

    def finished(self) -> None:
        """All have."""
        self._say(self._narration.finished(self._standing()))

    def _standing(self) -> Standing:
        parallel, calls = self._parallel, self._calls
        return Standing(parallel.n_completed_tasks, parallel.n_dispatched_tasks, calls.total, not calls.exhausted)

    def _say(self, text: str | None) -> None:
        if text is not None:
            say(self._parallel, text, self._parallel.verbose)
