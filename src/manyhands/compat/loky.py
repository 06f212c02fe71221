"""``loky``: :func:`get_reusable_executor`, and what goes with it.

Example:
    >>> from manyhands.compat.loky import get_reusable_executor
    >>> get_reusable_executor(max_workers=2).submit(pow, 2, 5).result()
    32
"""

from __future__ import annotations

import threading
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    TimeoutError,  # noqa: A004 - its name there
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from manyhands._core.options import checked_count
from manyhands.compat import concurrent_futures
from manyhands.compat._processors import cpu_count
from manyhands.compat._set_up import begin
from manyhands.compat._wrapping import wrap_non_picklable_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenProcessPool",
    "CancelledError",
    "Executor",
    "Future",
    "ProcessPoolExecutor",
    "TimeoutError",
    "as_completed",
    "cpu_count",
    "get_reusable_executor",
    "set_loky_pickler",
    "wait",
    "wrap_non_picklable_objects",
]

_FOR_EVER = 20 * 86400.0

_lock = threading.Lock()
_current: tuple[tuple[object, ...], ProcessPoolExecutor] | None = None


class ProcessPoolExecutor(concurrent_futures.ProcessPoolExecutor):
    """:class:`manyhands.Executor` with the parameters of loky's.

    Example:
        >>> from manyhands.compat.loky import ProcessPoolExecutor
        >>> executor = ProcessPoolExecutor(2, timeout=10)
        >>> executor.submit(pow, 2, 5).result()
        32
        >>> executor.shutdown(kill_workers=True)

    Args:
        max_workers: None: one for each processor that may be used.
        job_reducers, result_reducers: not needed: what pickle cannot do is done, and :func:`manyhands.register_reducer` is for the rest.
        timeout: seconds after which idle workers leave; None: never.
        context: a start method, as for :class:`manyhands.Executor`; "loky" is manyhands' own.
        initializer, initargs: called once in each worker.
        env: variables for the workers.

    Raises:
        NotImplementedError: reducers are given.
    """

    _starts_as_multiprocessing = False  # but in clean processes

    def __init__(
        self,
        max_workers: int | None = None,
        job_reducers: object = None,
        result_reducers: object = None,
        timeout: float | None = None,
        context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        if job_reducers or result_reducers:
            msg = "job_reducers and result_reducers are not supported; use manyhands.register_reducer(cls, reduce)"
            raise NotImplementedError(msg)
        if env:
            initializer, initargs = begin, (tuple(sorted(env.items())), None, initializer, initargs)
        context = None if context in {"loky", "loky_init_main"} else context
        super().__init__(max_workers, context, initializer, initargs, idle_timeout=_FOR_EVER if timeout is None else timeout)

    def shutdown(self, wait: bool = True, kill_workers: bool = False, *, cancel_futures: bool = False) -> None:
        """Accept nothing more, and end the workers when what was submitted is done.

        Args:
            wait: return only then.
            kill_workers: do not wait for what runs: end the workers at once.
            cancel_futures: cancel what has not started.
        """
        if kill_workers:
            self.kill_workers()
        else:
            super().shutdown(wait, cancel_futures=cancel_futures)


def set_loky_pickler(loky_pickler: str | None = None) -> None:
    """Taken for compatibility: there is one way in which objects travel here, and it takes what cloudpickle takes."""


def get_reusable_executor(
    max_workers: int | None = None,
    context: Any = None,
    timeout: float | None = 10,
    kill_workers: bool = False,
    reuse: bool | str = "auto",
    job_reducers: object = None,
    result_reducers: object = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[object, ...] = (),
    env: Mapping[str, str] | None = None,
) -> ProcessPoolExecutor:
    """The executor of this process: made when it is first asked for, resized to ``max_workers``, and made anew if it has been shut down.

    Args:
        max_workers: None: as many as it has; of a new one, one for each processor that may be used.
        context: a start method, as for :class:`manyhands.Executor`; "loky" is manyhands' own.
        timeout: seconds after which idle workers leave.
        kill_workers: if a new one has to be made, end the workers of the old at once.
        reuse: "auto": unless one of the arguments differs; True: in any case; False: never.
        job_reducers, result_reducers, initializer, initargs, env: as for :class:`ProcessPoolExecutor`.

    Unlike loky's, it is one for all threads, and a worker that dies does not break it.

    Raises:
        NotImplementedError: reducers are given.
    """
    if max_workers is not None:
        checked_count("max_workers", max_workers, 1, "a number of workers from 1 on, or None")
    key = (context, timeout, initializer, initargs, tuple(sorted(env.items())) if env else ())
    global _current  # noqa: PLW0603 - that there is one is what it is for
    with _lock:
        if _current is not None:
            known, executor = _current
            same = reuse is True or (reuse == "auto" and known == key)
            if same and executor.is_open:
                if max_workers is not None:
                    executor.resize(max_workers)
                return executor
            if kill_workers:
                executor.kill_workers()
            else:
                executor.shutdown(wait=False)
        executor = ProcessPoolExecutor(max_workers, job_reducers, result_reducers, timeout, context, initializer, initargs, env)
        _current = key, executor
        return executor
