"""``multiprocessing``, with :class:`Pool`, :class:`ThreadPool`, typed values and managers of manyhands; all else is the standard library's.
Those managers are in :mod:`manyhands.compat.multiprocessing.managers`.

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
    from collections.abc import Callable, Iterable, Sequence

    from manyhands.compat.multiprocessing.managers import SyncManager

__all__ = [
    "Array",
    "AsyncResult",
    "IMapIterator",
    "Manager",
    "MapResult",
    "Pool",
    "RawArray",
    "RawValue",
    "RemoteTraceback",
    "ThreadPool",
    "TimeoutError",
    "Value",
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


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """A number, or a structure of ``ctypes``, in memory that all processes have to which it is sent; it has no lock.

    Raises:
        MemoryError: there is not so much.
    """
    from manyhands.compat import _typed_values  # noqa: PLC0415 - it needs ctypes

    return _typed_values.raw_value(typecode_or_type, *args)


def RawArray(typecode_or_type: Any, size_or_initializer: int | Sequence[Any]) -> Any:
    """The same for an array: of zeros, for a length, or with what is in a sequence."""
    from manyhands.compat import _typed_values  # noqa: PLC0415 - as above

    return _typed_values.raw_array(typecode_or_type, size_or_initializer)


def Value(typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
    """The same as :func:`RawValue` with a lock, which is taken whenever ``value`` is read or set.

    Example:
        >>> from manyhands.compat.multiprocessing import Pool, Value
        >>> total = Value("d", 0.0)
        >>> def add(x):
        ...     with total.get_lock():
        ...         total.value += x
        >>> with Pool(2) as pool:
        ...     pool.map(add, [1, 2])
        [None, None]
        >>> total.value
        3.0

    It can be sent at any time, by any way, also to processes that run already: as an argument, by a queue. Its lock is given back when its
    holder dies.
    """
    from manyhands.compat import _typed_values  # noqa: PLC0415 - as above

    return _typed_values.with_lock(RawValue(typecode_or_type, *args), lock)


def Array(typecode_or_type: Any, size_or_initializer: int | Sequence[Any], *, lock: Any = True) -> Any:
    """The same as :func:`RawArray` with a lock, which is taken whenever an item is read or set."""
    from manyhands.compat import _typed_values  # noqa: PLC0415 - as above

    return _typed_values.with_lock(RawArray(typecode_or_type, size_or_initializer), lock)


def Manager() -> SyncManager:
    """A manager that has been started, as there; see :mod:`manyhands.compat.multiprocessing.managers`."""
    from manyhands.compat.multiprocessing import managers  # noqa: PLC0415 - who uses pools alone need not have it

    return managers.Manager()


def __getattr__(name: str) -> Any:
    return getattr(multiprocessing, name)
