"""``concurrent.futures``, with a :class:`ProcessPoolExecutor` that does not break.

Example:
    >>> from manyhands.compat.concurrent_futures import ProcessPoolExecutor, as_completed
    >>> with ProcessPoolExecutor(2) as executor:
    ...     sorted(future.result() for future in as_completed([executor.submit(pow, i, 2) for i in range(4)]))
    [0, 1, 4, 9]
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    TimeoutError,  # noqa: A004 - its name there
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

import manyhands.executor
from manyhands._core.options import UNSET
from manyhands.backends._worker_handle import WorkerHandle
from manyhands.compat._contexts import context_or_default

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "BrokenProcessPool",
    "CancelledError",
    "Executor",
    "Future",
    "InvalidStateError",
    "ProcessPoolExecutor",
    "ThreadPoolExecutor",
    "TimeoutError",
    "as_completed",
    "wait",
]


class ProcessPoolExecutor(manyhands.executor.Executor):
    """:class:`manyhands.Executor` under the standard library's name; ``strict=True`` for a pool that breaks as that does.

    Without ``mp_context``, and where no ``start_method`` was chosen, workers are started as ``multiprocessing`` does by default: if that is
    "fork", all of them when the first work is submitted, as copies of the program.

    One whose initializer raises is broken in any case, as there; the worker logs the exception to ``concurrent.futures``.
    """

    _breaks_in_setup = True
    _starts_as_multiprocessing = True

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        *args: Any,
        **options: Any,
    ) -> None:
        if isinstance(max_workers, int) and max_workers <= 0:
            msg = "max_workers must be greater than 0"
            raise ValueError(msg)
        if callable(initializer):
            initializer = functools.partial(_initialize, initializer)
        if self._starts_as_multiprocessing:
            mp_context = context_or_default(mp_context, options.get("start_method", UNSET))
        super().__init__(max_workers, mp_context, initializer, *args, **options)

    @property
    def _processes(self) -> dict[int, WorkerHandle]:
        """Those that live, by pid. Private there, and widely used to end them."""
        return {pid: WorkerHandle(pid) for pid in self.worker_pids()}


def _initialize(initializer: Callable[..., object], *args: object) -> None:
    try:
        initializer(*args)
    except BaseException:
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
        raise
