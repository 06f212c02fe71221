"""The worker processes behind "loky" and "multiprocessing": those that all calls of this process share, or, where somebody wants an
initializer, variables or a number of threads, some that are set up so.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._core.options import OF_WORKERS
from manyhands._engine import _state
from manyhands.backends.processes import ProcessBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from manyhands._core.options import Options
    from manyhands.backends import Plan
    from manyhands.backends._process_executor import Executor
    from manyhands.backends._process_stream import ProcessStream


class SetUp(NamedTuple):
    """What workers are to be set up with."""

    variables: tuple[tuple[str, str], ...]
    threads: int | None
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]

    @property
    def is_usual(self) -> bool:
        """Whether those that all calls share will do."""
        return not self.variables and self.threads is None and self.initializer is None

    def is_same(self, other: SetUp) -> bool:
        """Whether it asks for the same; arguments are compared by identity, since nobody knows what comparing them would do."""
        return self[:3] == other[:3] and list(map(id, self.initargs)) == list(map(id, other.initargs))


class Workers:
    """What a backend of processes has while it is configured."""

    def __init__(self, n_jobs: int, options: Options, set_up: SetUp, parallel: Any) -> None:
        self.n_jobs = n_jobs
        self._parallel = parallel
        self.options = options
        self._own = None if set_up.is_usual else _set_up(n_jobs, options, set_up)
        self._submitter: Any = None

    @property
    def _temp_folder(self) -> str | None:
        """Where arrays are written to, if any are. Private there, and looked at."""
        files = None if self._parallel is None else self._parallel.array_files()
        return None if files is None else files.folder()

    def stream(self, plan: Plan, inputs: Iterator[object]) -> ProcessStream:
        """Begin a call."""
        if self._own is None:
            return ProcessBackend().stream(plan, inputs, self.options)
        from manyhands.backends._process_stream import ProcessStream  # noqa: PLC0415 - of the others, the zygote starts before it

        return ProcessStream(self._own._pool, plan, inputs)  # noqa: SLF001 - the package's own

    def submit(self, func: Callable[..., Any], *args: Any) -> Future[Any]:
        """Begin one task, for backends that submit their batches themselves."""
        if self._submitter is None:
            if self._own is None:
                from manyhands.backends._views import SharedExecutor  # noqa: PLC0415 - takes concurrent.futures

                self._submitter = SharedExecutor(self.n_jobs, self.options)
            else:
                self._submitter = self._own.with_options()
        return self._submitter.submit(func, *args)  # type: ignore[no-any-return]

    def stop(self) -> None:
        """End what was submitted. The workers stay."""
        if self._submitter is not None:
            self._submitter.stop()

    def close(self) -> None:
        """Accept nothing more. The workers stay warm."""
        if self._submitter is not None:
            self._submitter.shutdown(wait=False, cancel_futures=True)


_lock = threading.Lock()
_latest: tuple[SetUp, Options, Executor] | None = None


def _set_up(n_jobs: int, options: Options, wanted: SetUp) -> Executor:
    """Workers that are set up so: those of the latest call, if that wanted the same."""
    from manyhands.backends._process_executor import Executor  # noqa: PLC0415 - few want it
    from manyhands.compat._set_up import begin  # noqa: PLC0415 - as above

    global _latest  # noqa: PLW0603 - that there is one is what it is for
    kept = {name: getattr(options, name) for name in OF_WORKERS}
    with _lock:
        if _latest is not None:
            known, before, executor = _latest
            if known.is_same(wanted) and all(getattr(before, name) == value for name, value in kept.items()) and executor.is_open:
                executor.resize(n_jobs)
                return executor
        # That of the call before ends when nobody uses it any more.
        executor = Executor(n_jobs, initializer=begin, initargs=tuple(wanted), **kept)
        _state.share(("set up for joblib",), executor._pool)  # noqa: SLF001 - the package's own
        _latest = wanted, options, executor
        return executor


class SharedWorkers:
    """The warm workers of this process, as far as programs look at the executor that loky has for its own: to end them."""

    def shutdown(self, wait: bool = True, kill_workers: bool = False, **_: Any) -> None:
        """End the workers. The next call starts new ones."""
        _state.shutdown()

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args, **kwargs)`` in a worker."""
        from manyhands.compat.loky import get_reusable_executor  # noqa: PLC0415 - takes concurrent.futures

        return get_reusable_executor().submit(fn, *args, **kwargs)


_shared = SharedWorkers()


def shared_workers(*_: Any, **__: Any) -> SharedWorkers:
    """In the place of the function that gives programs the executor behind joblib, which is there for all of them."""
    return _shared
