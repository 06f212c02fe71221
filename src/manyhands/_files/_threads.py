"""Work that C does without the interpreter's lock, shared between threads that last no longer than a file is written or read."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands._wire import _cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8


def count() -> int:
    """How many are worth it."""
    return min(_cpus.cpu_count(), _MOST)


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map()``, some items ahead. One item is worked on in this thread."""
    iterator = iter(items)
    first = list(itertools.islice(iterator, 2))
    threads = count()
    if len(first) < 2 or threads < 2:
        yield from map(function, itertools.chain(first, iterator))
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not for small files

    with ThreadPoolExecutor(threads) as pool:
        ahead: collections.deque[Any] = collections.deque()
        try:
            for item in itertools.chain(first, iterator):
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for one in ahead:
                one.cancel()
