"""``multiprocessing``, with :class:`Pool` and :class:`ThreadPool` of manyhands; everything else is the standard library's.

Example:
    >>> from manyhands.compat.multiprocessing import Pool, cpu_count
    >>> with Pool(2) as pool:
    ...     pool.map(abs, [-1, -2])
    [1, 2]
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import TimeoutError  # noqa: A004 - its name there
from typing import TYPE_CHECKING, Any

import manyhands.pool
from manyhands._wire._cpus import cpu_count
from manyhands.async_results import AsyncResult, IMapIterator, MapResult
from manyhands.compat._contexts import context_or_default, is_fork
from manyhands.errors import RemoteTraceback
from manyhands.pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "AsyncResult",
    "IMapIterator",
    "MapResult",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
    "TimeoutError",
    "cpu_count",
]
__all__ += [name for name in multiprocessing.__all__ if name not in __all__]


class Pool(manyhands.pool.Pool):
    """:class:`manyhands.Pool` with the start method of ``multiprocessing``, where none of manyhands' was chosen.

    If that is "fork", the workers are forked here and now, as there: they have what the program's modules have gathered, and the queues
    and locks in its global variables; and it is as unsafe as there once the program has threads.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        context = context_or_default(context)
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)
        if is_fork(context):
            self._executor.start_workers()


def __getattr__(name: str) -> Any:
    return getattr(multiprocessing, name)
