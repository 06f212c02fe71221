"""What is measured of those who share objects."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.sharing.contender import Floor
from benchmarks.sharing.contenders import Pyro, SyncManagers

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sharing.contender import Contender

_CLIENTS = 8
_BATCHES = 5  # of which the median counts
_OWNERS = (1, 2, 4, 8)
_MEGABYTES = 100
_WARM = 4  # arrays: from then on there is memory that can be used again


def _micros_each(contender: Contender, do: Callable[[Any], Any]) -> float:
    counter = contender.counter()
    for _ in range(contender.calls // 10):
        do(counter)
    return statistics.median(_micros(lambda: do(counter), contender.calls // _BATCHES) for _ in range(_BATCHES))


def _micros(do: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        do()
    return (time.perf_counter() - start) / count * 1e6


def _call(contender: Contender) -> float:
    return _micros_each(contender, contender.call)


def _get(contender: Contender) -> float:
    return _micros_each(contender, contender.get)


def _set(contender: Contender) -> float:
    return _micros_each(contender, contender.set)


def _made(contender: Contender) -> float:
    if isinstance(contender, Floor | Pyro):
        raise NotImplementedError
    contender.counter()
    return statistics.median(_micros(contender.counter, max(1, contender.calls // 200)) for _ in range(_BATCHES))


def _unpickled(contender: Contender) -> float:
    counter = contender.counter()
    load = contender.handed_on(counter)
    if not contender.needs_original:
        del counter  # so that each load makes a proxy
    _micros(load, 5)
    return statistics.median(_micros(load, 40) for _ in range(_BATCHES))


def _iterated(contender: Contender) -> float:
    numbers = contender.numbers()

    def read() -> None:
        if sum(numbers) != 4999950000:
            raise AssertionError

    return _micros(read, 1) / 1e3


def _hammered(contender: Contender) -> float:
    counters = contender.crowd(_CLIENTS)
    rate = contender.race(counters)
    if contender.is_atomic and contender.call(counters[0]) < _CLIENTS * contender.calls:
        raise AssertionError
    return rate / 1e3


def _with_owners(count: int) -> Callable[[Contender], float]:
    def measure(contender: Contender) -> float:
        if isinstance(contender, SyncManagers):
            raise NotImplementedError
        others = [contender.another() for _ in range(count - 1)]
        try:
            counters = [one.crowd(1)[0] for one in (contender, *others)]
            return contender.race(counters) / 1e3
        finally:
            for other in others:
                if other is not contender:
                    other.close()

    return measure


def _put(contender: Contender) -> float:
    import numpy as np

    keeper, array = contender.keeper(), np.ones(_MEGABYTES * 1_000_000 // 8)
    for _ in range(_WARM):
        contender.put(keeper, array)
    return statistics.median(_micros(lambda: contender.put(keeper, array), 1) for _ in range(_BATCHES)) / 1e3


def _taken(contender: Contender) -> float:
    import numpy as np

    keeper = contender.keeper()
    contender.put(keeper, np.ones(_MEGABYTES * 1_000_000 // 8))

    def take() -> None:
        if contender.take(keeper)[-1] != 1:
            raise AssertionError

    for _ in range(_WARM):
        take()
    return statistics.median(_micros(take, 1) for _ in range(_BATCHES)) / 1e3


ROWS: dict[str, Callable[[Contender], float]] = {
    "call, µs": _call,
    "attribute get, µs": _get,
    "attribute set, µs": _set,
    "create and drop, µs": _made,
    "load a proxy from a pickle, µs": _unpickled,
    "iterate over 100 000 numbers, ms": _iterated,
    f"{_MEGABYTES} MB array as an argument, ms": _put,
    f"{_MEGABYTES} MB array as a result, ms": _taken,
    f"{_CLIENTS} processes at one object, 1000 calls a second": _hammered,
    **{f"{count} owners with a client each, 1000 calls a second": _with_owners(count) for count in _OWNERS},
}
