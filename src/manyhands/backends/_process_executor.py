"""The executor of worker processes. Apart from ``processes``, since ``concurrent.futures`` takes 8 ms to import."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Literal

from manyhands import errors
from manyhands._codec import _failures, _pickling
from manyhands._core.living import Living
from manyhands._core.options import UNSET, block, checked_count, is_chosen, refuse, resolve
from manyhands._core.policy import add_note
from manyhands._engine import _state, _watched
from manyhands._engine._set_up import Hooks
from manyhands._wire import _frames
from manyhands._wire._cpus import cpu_count
from manyhands.backends._preload import warn_of_missing
from manyhands.backends._submitting import Submitter
from manyhands.backends._views import BoundExecutor
from manyhands.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from manyhands._engine._futures import Future
    from manyhands._wire._frames import Frame


_WORKERS = "a number of workers from 1 on, or None for one for each processor"


class Executor(Submitter):
    """Runs calls in worker processes: a ``concurrent.futures.Executor`` that does not break.

    Example:
        >>> from manyhands import Executor
        >>> with Executor(max_workers=2) as executor:
        ...     executor.submit(pow, 2, 10).result()
        1024

    Args:
        max_workers: how many worker processes at most; None: what ``manyhands.options(workers=...)`` or ``MANYHANDS_WORKERS`` says,
            else one for each processor that may be used.
        initializer: called with ``initargs`` once in each worker, before its first task.
        initargs: its arguments. What can only be inherited (queues, locks, pipes of ``multiprocessing``) may be among them.
        max_tasks_per_child: a worker is replaced after so many tasks; None: never.
        start_method: "zygote" (forked from a small clean process), "spawn" (a new interpreter) or "fork" (a copy of this process). When
            it is given nowhere: "fork" if the initializer or its arguments hold what workers cannot get otherwise, such as a ``Queue`` of
            multiprocessing's "fork" context; else "zygote".
        memory_limit: bytes (or a text like "2GB") of data that a worker may hold; the task that needs more fails with MemoryError.
        idle_timeout: seconds after which a worker that has nothing to do leaves. It is started again when there is work.
            The longest is 20 days.
        preload: names of modules that are imported once, before workers are forked (start method "zygote").
        worker_exit: called without arguments in each worker that leaves, at the end of the executor or before; what it returns is in
            :meth:`exit_results`. Not in one that is killed, or ends in a task.
        strict: as in the standard library, one worker that dies breaks the executor: all that was submitted fails with ``WorkerDied``,
            which is a ``BrokenProcessPool``, and so does ``submit`` from then on. For code that relies on it.
        watch: have this program watched from now on, as by :func:`manyhands.watch`.
        record_failures: a folder in which tasks that fail are saved, so that they can be run again: see :func:`manyhands.map`.
        mp_context: as in the standard library, or a name ("fork", "spawn", "forkserver"): that start method is taken if ``start_method`` is
            not given.

    What is left out, from ``max_tasks_per_child`` on, is taken from :func:`manyhands.options` or the environment, if there is anything; and
    so are ``timeout``, ``retries``, ``retry_on``, ``backoff``, ``priority`` and ``on_stale``, which :meth:`with_options` changes.

    **Promises.** A task that ends its worker fails alone, with ``WorkerDied``; all others go on, and the executor remains usable.
    Arguments are copied when ``submit`` is called. When a ``with`` block has been left, nothing runs any more; in a coroutine, where it is
    ``async with``, the event loop goes on until then, and who is cancelled in it stops what runs.
    No ``if __name__ == "__main__"`` guard is needed, except with ``start_method="fork"``.

    **Not promised.** A task that ended its worker may have had effects before; ``retries`` runs it again.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        *,
        max_tasks_per_child: int | None = UNSET,
        start_method: str = UNSET,
        memory_limit: int | str | None = UNSET,
        idle_timeout: float = UNSET,
        preload: tuple[str, ...] | list[str] = UNSET,
        worker_exit: Callable[[], object] | None = None,
        strict: bool = False,
        watch: bool = UNSET,
        record_failures: str | os.PathLike[str] | None = UNSET,
    ) -> None:
        for name, hook in (("initializer", initializer), ("worker_exit", worker_exit)):
            if hook is not None and not callable(hook):
                msg = f"{name}={hook!r} is not callable"
                raise TypeError(msg)
        named = _start_method_of(mp_context)
        given = {
            "workers": UNSET if max_workers is None else checked_count("max_workers", max_workers, 1, _WORKERS),
            "max_tasks_per_child": max_tasks_per_child,
            "start_method": named if start_method is UNSET else start_method,
            "memory_limit": memory_limit,
            "idle_timeout": idle_timeout,
            "preload": preload,
            "watch": watch,
            "record_failures": record_failures,
        }
        if not isinstance(initargs, tuple | list):
            raise refuse("initargs", initargs, "a tuple of the arguments of the initializer")
        if not isinstance(strict, bool):
            raise refuse("strict", strict, "True or False")
        options = resolve(given, block.get(), os.environ)
        if options.watch:
            _watched.begin()
        warn_of_missing(options.preload, stacklevel=2)
        self._max_workers = options.workers or cpu_count()
        pool = _state.new_pool(
            finish_at_exit=self._finishes_at_exit,
            start_method=options.start_method,
            may_fork=not is_chosen("start_method", given, block.get(), os.environ),
            hooks=Hooks(initializer, tuple(initargs), worker_exit),
            max_tasks_per_child=options.max_tasks_per_child,
            memory_limit=options.memory_limit,
            idle_timeout=options.idle_timeout,
            preload=options.preload,
            limit=self._max_workers,
        )
        super().__init__(pool, options, Living())
        self._broken: BaseException | None = None
        self._strict = strict
        if strict or self._breaks_in_setup:
            self._sink.on_death = self._note_failure
        if strict:
            method = weakref.WeakMethod(self._break)  # the pool must not keep the executor
            pool.watch_for_losses(lambda error: None if (tell := method()) is None else tell(error))
        # One that is forgotten finishes what it was given, and ends.
        self._forgotten = weakref.finalize(self, pool.shutdown_later)
        self._forgotten.atexit = False

    _finishes_at_exit = True  # the program ends only when what was submitted has

    def _width(self) -> int:
        return self._max_workers

    def await_worker(self, future: Future[Any], deadline: float) -> int | None:
        """Process id of a worker as soon as there is one; None if ``future`` has ended without, or at ``deadline`` (monotonic)."""
        self._pool.wait(lambda: future.done() or bool(self._pool.pids()), deadline)
        return next(iter(self._pool.pids()), future.worker)

    _breaks_in_setup = False  # an initializer that raises breaks the executor

    def _note_failure(self, error: BaseException) -> None:
        if self._strict or (self._breaks_in_setup and isinstance(error, errors.WorkerDied) and error.in_setup):
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """A worker has died, and nothing goes on."""
        if self._broken is None and isinstance(error, errors.WorkerDied):
            why = "This executor is strict, so" if self._strict else "So"
            what = f"{str(error).splitlines()[0]} {why} nothing else can be run"
            self._broken = errors.WorkerDied(what, pid=error.pid, exit_code=error.exit_code)
            self._pool.break_off(self._broken)

    def _check_open(self) -> None:
        if self._broken is not None:
            raise self._broken
        super()._check_open()

    def with_options(
        self,
        *,
        timeout: float | None = UNSET,
        retries: int = UNSET,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = UNSET,
        backoff: float = UNSET,
        priority: int = UNSET,
        on_stale: Literal["send", "raise"] = UNSET,
        tag_output: bool = UNSET,
        record_failures: str | os.PathLike[str] | None = UNSET,
    ) -> BoundExecutor:
        """The same workers, with a policy for what is submitted through the returned executor.

        Args:
            timeout: seconds that a task may run, counted from its start; then its worker is stopped and it fails with ``TaskTimeout``.
                None: no limit.
            retries: how often a task that failed runs again.
            retry_on: failures for which it does; the death of its worker is ``WorkerDied``.
            backoff: seconds before the first repetition, doubled for each further one.
            priority: tasks of a higher priority start first.
            on_stale: "send" or "raise", as for :func:`manyhands.map`.
            tag_output: name the task before each line that it writes.
            record_failures: a folder in which tasks that fail are saved, as for :func:`manyhands.map`.

        What is left out is as it was. A ``with`` block of the returned executor waits for what was submitted through it.

        Example:
            >>> with Executor(2) as executor:
            ...     executor.with_options(timeout=5, retries=2).submit(sum, [1, 2]).result()
            3
        """
        given: dict[str, object] = {"timeout": timeout, "retries": retries, "retry_on": retry_on, "backoff": backoff}
        given.update(priority=priority, on_stale=on_stale, tag_output=tag_output, record_failures=record_failures)
        return BoundExecutor(self, self._options, given)

    def resize(self, max_workers: int) -> None:
        """From now on at most ``max_workers`` workers; those that are too many leave when they have finished their tasks.

        Raises:
            PoolClosed: the executor has been shut down.
        """
        max_workers = checked_count("max_workers", max_workers, 1, "a number of workers from 1 on")
        self._pool.resize(max_workers)
        self._max_workers = max_workers

    def start_workers(self) -> None:
        """Start all workers now, not when there is work for them. Does not wait until they are there.

        Example:
            >>> with Executor(2) as executor:
            ...     executor.start_workers()
            ...     executor.submit(abs, -1).result()
            1

        Raises:
            PoolClosed: the executor has been shut down.
        """
        self._pool.hire(self._max_workers)

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return self._pool.pids()

    def exit_results(self, *, errors: Literal["raise", "return"] = "raise") -> list[Any]:
        """What ``worker_exit`` has returned in the workers that have left so far, in the order in which they did; all, after ``shutdown``.

        Example:
            >>> import os
            >>> with Executor(1, worker_exit=os.getpid) as executor:
            ...     pid = executor.submit(os.getpid).result()
            >>> executor.exit_results() == [pid]
            True

        Args:
            errors: "raise": if one has raised an exception, that is raised, with a note of how many have not; what those have returned
                is still there, and can be asked for. "return": in its place there is a :class:`manyhands.Failure`.
        """
        if errors not in {"raise", "return"}:
            raise refuse("errors", errors, "'raise' or 'return'")
        found = [_farewell(index, frame) for index, frame in enumerate(self._pool.farewells())]
        failed = [value.error for value in found if isinstance(value, Failure)]
        if failed and errors == "raise":
            which = f"worker_exit failed in {len(failed)} of {len(found)} workers"
            add_note(failed[0], f'{which}; exit_results(errors="return") gives what it has returned in the others, and all failures')
            raise failed[0]
        return found

    @property
    def is_open(self) -> bool:
        """Whether anything can be submitted."""
        return not self._pool.closed and self._pool.pid == os.getpid()

    # ------------------------------------------------------------ the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more, and end the workers when what was submitted is done.

        Args:
            wait: return only then. Otherwise a thread sees to it.
            cancel_futures: cancel what has not started.
        """
        pool = self._pool
        pool.close()
        self._forgotten.detach()
        if pool.pid != os.getpid():
            return
        if cancel_futures:
            pool.cancel_waiting()
        if wait:
            for stream in self._streams if not cancel_futures else ():
                if stream.owner is not None:
                    stream.finish()
            pool.drain()
            pool.shutdown()
        else:
            pool.shutdown_later()

    def terminate_workers(self) -> None:
        """Ask all workers to end (SIGTERM), whatever they do, and shut the executor down. What they ran fails with ``WorkerDied``."""
        self._forgotten.detach()
        self._pool.terminate()

    def kill_workers(self) -> None:
        """End all workers at once (SIGKILL) and shut the executor down. What they ran fails with ``WorkerDied``."""
        self._forgotten.detach()
        self._pool.kill()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C, sys.exit
            self.kill_workers()
        else:
            self.shutdown(wait=True)

    def __repr__(self) -> str:
        state = "closed" if self._pool.closed else f"{len(self._pool.pids())} running"
        return f"<manyhands.Executor of {self._max_workers} workers, {state}>"


def _farewell(index: int, frame: Frame) -> Any:
    if frame.flags & _frames.FAILURE:
        return Failure(index, _failures.decode_failure(frame.payload))
    try:
        return _pickling.decode(frame.payload, (), "result")
    except Exception as error:  # noqa: BLE001 - __setstate__ may raise anything
        return Failure(index, error)


# Their forkserver is what our zygote is.
_START_METHODS = {"fork": "fork", "spawn": "spawn", "forkserver": "zygote"}


def _start_method_of(context: Any) -> object:
    """What is meant by ``mp_context``; one that has another start method may be anything, and counts as not given."""
    if context is None:
        return UNSET
    if isinstance(context, str):
        if context in _START_METHODS:
            return _START_METHODS[context]
    elif hasattr(context, "get_start_method"):
        return _START_METHODS.get(context.get_start_method(), UNSET)
    raise refuse("mp_context", context, "a context of multiprocessing, one of 'fork', 'spawn', 'forkserver', or None")
