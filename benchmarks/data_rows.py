"""Rows about data: large arrays to and from tasks, many small ones, functions that hold something, and the codec alone."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.contenders import Absent, Contender
from benchmarks.measuring import BARE, MEGA, MICRO, MILLI, OWN, WORKERS, Metric, Row, Target, median_time, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measuring import Figures

MB = 131_072  # numbers of 8 bytes
_REPEATS = 5


def same_array(contender: type[Contender], megabytes: int) -> Figures:
    """One array to 8 tasks: as it was in the last call, and changed."""
    import numpy as np

    return _shared(contender, np.ones(megabytes * MB), tasks.touch, _change)


def same_frame(contender: type[Contender], megabytes: int) -> Figures:
    """The same with a DataFrame of four columns."""
    try:
        import pandas as pd
    except ImportError:
        raise Absent from None
    import numpy as np

    frame = pd.DataFrame({name: np.ones(megabytes * MB // 4) for name in "abcd"})
    return _shared(contender, frame, tasks.touch_frame, lambda given: given.__setitem__("a", given["a"] + 1))


def _change(array: Any) -> None:
    array += 1


def _shared(contender: type[Contender], value: Any, fn: Callable[[Any], float], change: Callable[[Any], object]) -> Figures:
    with contender(WORKERS).warm() as pool:
        changed, again = [], []
        for _ in range(_REPEATS):
            change(value)
            expected = [fn(value)] * 8
            for times in (changed, again):
                begin = time.perf_counter()
                results = pool.share(fn, value, 8)
                times.append(time.perf_counter() - begin)
                assert results == expected, "a task got an old value"
        return {"changed": MILLI * statistics.median(changed), "again": MILLI * statistics.median(again), "peak": _peak()}


def hash_and_copy(megabytes: int) -> Figures:
    """One hash and one copy of the array, in memory that is there."""
    import numpy as np
    import xxhash

    array = np.ones(megabytes * MB)
    copy = array.copy()

    def once() -> None:
        xxhash.xxh3_128_digest(array)
        copy[:] = array

    milliseconds = MILLI * median_time(once, 9)
    return {"changed": milliseconds, "again": milliseconds}


def large_arguments(contender: type[Contender], megabytes: int) -> Figures:
    """8 arrays, one for each task."""
    import numpy as np

    arrays = [np.full(megabytes * MB, float(number)) for number in range(8)]
    expected = [tasks.touch(array) for array in arrays]
    with contender(WORKERS).warm() as pool:
        assert pool.each(tasks.touch, arrays) == expected
        return {"ms": MILLI * median_time(lambda: pool.each(tasks.touch, arrays), _REPEATS), "peak": _peak()}


def large_results(contender: type[Contender], megabytes: int) -> Figures:
    """8 arrays, one from each task; they are read."""
    sizes = [megabytes * MB] * 8
    with contender(WORKERS).warm() as pool:

        def once() -> None:
            assert [tasks.touch(array) for array in pool.each(tasks.fill, sizes)] == [megabytes * MB / 512] * 8

        once()
        return {"ms": MILLI * median_time(once, _REPEATS), "peak": _peak()}


def small_arrays(contender: type[Contender], count: int) -> Figures:
    """Tasks with an array of 10 kB each."""
    import numpy as np

    arrays = [np.full(1250, float(number)) for number in range(count)]
    with contender(WORKERS).warm() as pool:
        pool.map(tasks.touch, arrays[: count // 10])
        seconds = seconds_of(lambda: pool.map(tasks.touch, arrays))
        return {"us": MICRO * seconds / count}


def captured(contender: type[Contender], count: int) -> Figures:
    """Tasks of a function that holds 16 MB."""
    import numpy as np

    function = functools.partial(tasks.first, np.ones(16 * MB))
    with contender(WORKERS).warm() as pool:
        pool.map(function, range(20))
        seconds = seconds_of(lambda: pool.map(function, range(count)))
        return {"s": seconds}


@dataclasses.dataclass
class Record:
    """One of many."""

    number: int
    share: float
    name: str


def codec(contender: type[Contender], repeats: int) -> Figures:
    """To bytes and back, without any process."""
    dumps, loads = contender.codec()
    factor = 3

    def closure(x: int) -> int:
        return x * factor

    records = [Record(number, number / 2, str(number)) for number in range(20_000)]
    figures: Figures = {}
    for name, value in (("plain", tasks.noop), ("closure", closure), ("records", records)):
        try:
            loads(dumps(value))
        except Exception:
            continue  # the library cannot do this
        figures[name] = MICRO * median_time(lambda value=value: loads(dumps(value)), repeats)
    return figures


def _peak() -> float:
    """The most memory that this process and its children have had at one time each, in MB. What they share counts for each."""
    import psutil

    me = psutil.Process()
    return sum(_high(process.pid) for process in (me, *me.children(recursive=True)))


def _high(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next((MEGA * 1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0.0)


DATA_ROWS: tuple[Row, ...] = (
    Row(
        "same-array",
        (
            Metric(
                "changed",
                "one array of 100 MB to 8 tasks, changed before",
                "ms",
                Target("≤ 2x bare", lambda m: m[OWN] <= 2 * m[BARE]),
            ),
            Metric("again", "the same array again", "ms"),
            Metric("peak", "the same: peak memory of all processes", "MB"),
        ),
        same_array,
        size=100,
        quick=20,
        bare=hash_and_copy,
    ),
    Row(
        "same-frame",
        (
            Metric("changed", "one DataFrame of 100 MB to 8 tasks, changed before", "ms"),
            Metric("again", "the same DataFrame again", "ms"),
        ),
        same_frame,
        size=100,
        quick=20,
        rounds=2,
    ),
    Row(
        "arguments",
        (Metric("ms", "8 arrays of 25 MB to 8 tasks", "ms"), Metric("peak", "the same: peak memory of all processes", "MB")),
        large_arguments,
        size=25,
        quick=5,
    ),
    Row(
        "results",
        (
            Metric(
                "ms",
                "8 results of 25 MB",
                "ms",
                Target(
                    "≤ 110, joblib ≥ 4x, PPE ≥ 2.5x",
                    lambda m: m[OWN] <= 110 and m.get("joblib", 1e9) >= 4 * m[OWN] and m.get("PPE", 1e9) >= 2.5 * m[OWN],
                ),
            ),
            Metric("peak", "the same: peak memory of all processes", "MB"),
        ),
        large_results,
        size=25,
        quick=5,
    ),
    Row("small-arrays", (Metric("us", "10k tasks with 10 kB each", "µs/task"),), small_arrays, size=10_000, quick=1000),
    Row("captured", (Metric("s", "1000 tasks of a function that holds 16 MB", "s"),), captured, size=1000, quick=100, rounds=2),
    Row(
        "codec",
        (
            Metric("plain", "to bytes and back: a function of a module", "µs"),
            Metric("closure", "to bytes and back: a closure", "µs"),
            Metric("records", "to bytes and back: 20k dataclasses", "µs"),
        ),
        codec,
        size=300,
        quick=50,
    ),
)
