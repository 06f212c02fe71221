"""``loky``: :func:`get_reusable_executor`, and what goes with it.

Example:
    >>> from manyhands.compat.loky import get_reusable_executor
    >>> get_reusable_executor(max_workers=2).submit(pow, 2, 5).result()
    32
"""

from __future__ import annotations

import threading
from concurrent.futures import as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from manyhands._core.options import checked_count
from manyhands._wire._cpus import cpu_count
from manyhands.compat._set_up import begin
from manyhands.compat.concurrent_futures import ProcessPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BrokenProcessPool", "ProcessPoolExecutor", "as_completed", "cpu_count", "get_reusable_executor", "wait"]

_lock = threading.Lock()
_current: tuple[tuple[object, ...], ProcessPoolExecutor] | None = None


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
        job_reducers, result_reducers: not needed: what pickle cannot do is done, and :func:`manyhands.register_reducer` is for the rest.
        initializer, initargs: called once in each worker.
        env: variables for the workers.

    Unlike loky's, it is one for all threads, and a worker that dies does not break it.

    Raises:
        NotImplementedError: reducers are given.
    """
    if job_reducers or result_reducers:
        msg = "job_reducers and result_reducers are not supported; use manyhands.register_reducer(cls, reduce)"
        raise NotImplementedError(msg)
    if max_workers is not None:
        checked_count("max_workers", max_workers, 1, "a number of workers from 1 on, or None")
    variables = tuple(sorted(env.items())) if env else ()
    key = (context, timeout, initializer, initargs, variables)
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
        set_up = (begin, (variables, None, initializer, initargs)) if variables else (initializer, initargs)
        executor = ProcessPoolExecutor(
            max_workers,
            None if context == "loky" else context,
            *set_up,
            idle_timeout=20 * 86400 if timeout is None else timeout,
        )
        _current = key, executor
        return executor
