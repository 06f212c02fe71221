"""Records, typed values and far objects beside multiprocessing's: ``python -m benchmarks.records [--rounds 7]``.

All in one process and in turn; the least of the rounds of each, in microseconds for one operation, and how many times that of the first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import secrets
import time
from multiprocessing.managers import SyncManager
from typing import TYPE_CHECKING, Any

from manyhands import lock, share, shared_array
from manyhands.compat import multiprocessing as ours
from manyhands.sharing.records import Array, Text  # noqa: TC001 - read when the classes are made

if TYPE_CHECKING:
    from collections.abc import Callable


@share.record
class Stats:
    """What is measured."""

    n: int
    x: float
    name: Text[32]
    hist: Array[float, 256]


@share.record
class Small:
    """One number."""

    n: int


class Counter:
    """What a far machine has."""

    def __init__(self) -> None:
        self.n = 0

    def inc(self) -> int:
        self.n += 1
        return self.n


class _Adding(SyncManager):
    pass


_Adding.register("Counter", Counter)


def locked(record: Any) -> None:
    """A transaction on a record."""
    with lock(record):
        record.n += 1


def under_lock(value: Any) -> None:
    """The same on a value."""
    with value.get_lock():
        value.value += 1


def many(work: Callable[[Any], None], value: Any, times: int) -> None:
    """In a process."""
    for _ in range(times):
        work(value)


_PROCESSES, _EACH = 4, 2000


def hammered(work: Callable[[Any], None], value: Any) -> float:
    """Seconds for one of all operations, by processes that all want the same."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=many, args=(work, value, _EACH)) for _ in range(_PROCESSES)]
    start = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return (time.perf_counter() - start) / (_PROCESSES * _EACH)


def timed(work: Callable[[], Any], times: int) -> float:
    """Seconds for one."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def rows(manager: Any, far: Any, far_stdlib: Any) -> dict[str, dict[str, Callable[[], float]]]:
    """By what is done: by whom."""
    stats, value, theirs, managed = Stats(), ours.Value("q", 0), multiprocessing.Value("q", 0), manager.Value("q", 0)
    raw, raw_theirs = ours.RawValue("q", 0), multiprocessing.RawValue("q", 0)
    array, array_theirs = ours.Array("d", 256), multiprocessing.Array("d", 256)
    small, pickled = Small(), pickle.dumps(stats)

    def set_n() -> None:
        stats.n = 5

    def set_name() -> None:
        stats.name = "a name"

    def set_raw() -> None:
        raw.value = 5

    return {
        "read a number": {
            "record": lambda: timed(lambda: stats.n, 2000),
            "RawValue": lambda: timed(lambda: raw.value, 2000),
            "Value": lambda: timed(lambda: value.value, 2000),
            "multiprocessing.RawValue": lambda: timed(lambda: raw_theirs.value, 2000),
            "multiprocessing.Value": lambda: timed(lambda: theirs.value, 2000),
            "SyncManager.Value": lambda: timed(lambda: managed.value, 300),
        },
        "write a number": {"record": lambda: timed(set_n, 2000), "RawValue": lambda: timed(set_raw, 20000)},
        "read, write a text": {"read": lambda: timed(lambda: stats.name, 2000), "write": lambda: timed(set_name, 20000)},
        "read an item of an array": {
            "record": lambda: timed(lambda: stats.hist[3], 2000),
            "Array": lambda: timed(lambda: array[3], 2000),
            "multiprocessing.Array": lambda: timed(lambda: array_theirs[3], 2000),
        },
        "increment under its lock": {
            "record": lambda: timed(lambda: locked(stats), 500),
            "Value": lambda: timed(lambda: under_lock(value), 500),
            "multiprocessing.Value": lambda: timed(lambda: under_lock(theirs), 500),
        },
        f"the same by {_PROCESSES} processes": {
            "record": lambda: hammered(locked, small),
            "Value": lambda: hammered(under_lock, value),
            "multiprocessing.Value": lambda: hammered(under_lock, theirs),
        },
        "create and drop": {
            "record of one number": lambda: timed(Small, 500),
            "record of four fields": lambda: timed(Stats, 2000),
            "Value": lambda: timed(lambda: ours.Value("q", 0), 2000),
            "shared_array(10)": lambda: timed(lambda: shared_array(10), 2000),
            "shared_array(100 000)": lambda: timed(lambda: shared_array(100_000), 100),
            "multiprocessing.Value": lambda: timed(lambda: multiprocessing.Value("q", 0), 500),
            "SyncManager.Value": lambda: timed(lambda: manager.Value("q", 0), 30),
        },
        "pickle, unpickle": {
            "pickle a record": lambda: timed(lambda: pickle.dumps(stats), 1000),
            "unpickle it": lambda: timed(lambda: pickle.loads(pickled), 1000),
        },
        "call over TCP": {
            "share.connect": lambda: timed(far.inc, 500),
            "BaseManager": lambda: timed(far_stdlib.inc, 500),
        },
    }


def _served(pipe: Any, key: bytes) -> None:
    with share.listen("tcp://127.0.0.1:0", key=key, expose={"counter": Counter()}) as listener:
        pipe.send(listener.address)
        pipe.recv()
    os._exit(0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    key = secrets.token_bytes(32)
    mine, other = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=_served, args=(other, key))
    server.start()
    far = share.connect(f"{mine.recv()}/counter", key=key)
    with _Adding(("127.0.0.1", 0), authkey=key) as manager:
        for what, contenders in rows(manager, far, manager.Counter()).items():  # type: ignore[attr-defined]
            best = dict.fromkeys(contenders, float("inf"))
            for _ in range(rounds):
                for name, measure in contenders.items():
                    best[name] = min(best[name], measure())
            first = next(iter(best.values()))
            print(what)
            for name, seconds in best.items():
                print(f"    {name:28}{seconds * 1e6:10.2f} µs {seconds / first:8.1f}")
    mine.send(None)
    server.join()


if __name__ == "__main__":
    main()
