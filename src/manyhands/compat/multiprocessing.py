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
from typing import Any

from manyhands._wire._cpus import cpu_count
from manyhands.async_results import AsyncResult, IMapIterator, MapResult
from manyhands.errors import RemoteTraceback
from manyhands.pool import Pool, ThreadPool

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


def __getattr__(name: str) -> Any:
    return getattr(multiprocessing, name)
