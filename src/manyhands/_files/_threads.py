"""Work that C does without the interpreter's lock, shared between threads that last no longer than a file is written or read."""

from __future__ import annotations

import collections
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands._wire import _cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8


def count() -> int:
    """How many are worth it."""
    return min(_cpus.cpu_count(), _MOST)


def shared(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """``map()``, with other threads that take items as well. This one takes its share rather than wait, so that it is as if there were
    no others where the processors are busy.

    Raises:
        Exception: what ``function`` raises; nothing is begun after that.
    """
    results: list[Any] = [None] * len(items)
    errors: list[BaseException] = []
    waiting = collections.deque(enumerate(items))

    def work() -> None:
        try:
            while not errors:
                try:
                    number, item = waiting.popleft()
                except IndexError:
                    return
                results[number] = function(item)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    others: list[threading.Thread] = []
    with contextlib.suppress(RuntimeError):  # no more threads: at the end of the program, or of what is allowed
        while len(others) < min(count(), len(items)) - 1:
            thread = threading.Thread(target=work, name="manyhands-file")
            thread.start()
            others.append(thread)
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
    return results


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
