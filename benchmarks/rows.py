"""What is measured: one function for each row. It gets a contender and a size, and returns one figure for each metric; lower is better.

``BARE`` stands beside the contenders where a row has a floor that no library can go below: a bare interpreter, a bare pair of sockets, the
time that the tasks themselves take.
"""

from __future__ import annotations

import gc
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.contenders import Contender, Manyhands
from benchmarks.data_rows import DATA_ROWS
from benchmarks.file_rows import FILE_ROWS
from benchmarks.measuring import (
    BARE,
    MANY,
    MEGA,
    MICRO,
    MILLI,
    OWN,
    WORKERS,
    Metric,
    Row,
    Target,
    all_equal,
    at_most,
    median_time,
    micros_a_task,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measuring import Figures


# ------------------------------------------------------------ calls and single tasks


def warm_call(contender: type[Contender], repeats: int) -> Figures:
    """Two no-op tasks on a warm pool."""
    inputs = range(2)
    with contender(WORKERS).warm() as pool:
        all_equal(pool.map(tasks.noop, inputs), inputs)
        return {"ms": MILLI * median_time(lambda: pool.map(tasks.noop, inputs), repeats)}


def round_trip(contender: type[Contender], repeats: int) -> Figures:
    """``submit(f).result()``."""
    with contender(WORKERS) as pool:
        for _ in range(10):  # also starts the workers: with one task at a time, one is enough
            assert pool.submit(tasks.noop, 1)(None) == 1
        return {"us": MICRO * median_time(lambda: pool.submit(tasks.noop, 1)(None), repeats)}


def ping_pong(repeats: int) -> Figures:
    """A byte to another process and back: the floor of a round trip."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while byte := theirs.recv(1):
            theirs.send(byte)
        os._exit(0)
    theirs.close()

    def once() -> None:
        ours.send(b"x")
        ours.recv(1)

    with ours:
        seconds = median_time(once, repeats)
    os.waitpid(pid, 0)
    return {"us": MICRO * seconds}


def one_by_one(contender: type[Contender], count: int) -> Figures:
    """No-op tasks, one message each."""
    with contender(WORKERS).warm() as pool:
        pool.each(tasks.noop, range(100))
        return {"us": micros_a_task(pool.each, count)}


def futures(contender: type[Contender], count: int) -> Figures:
    """Submit all, then take all results."""
    with contender(WORKERS) as pool:

        def run(fn: Callable[[Any], Any], inputs: Sequence[Any]) -> list[Any]:
            takes = [pool.submit(fn, value) for value in inputs]
            return [take(None) for take in takes]

        run(tasks.nap, [0.02] * 4 * WORKERS)
        run(tasks.noop, range(100))
        return {"us": micros_a_task(run, count)}


def automatic_batches(contender: type[Contender], count: int) -> Figures:
    """No-op tasks, the way that the library advises."""
    with contender(WORKERS).warm() as pool:
        pool.map(tasks.noop, range(count // 20))  # those that learn the cost of a task may have learnt it
        return {"us": micros_a_task(pool.map, count)}


# ------------------------------------------------------------ starting


def whole_script(contender: type[Contender], repeats: int) -> Figures:
    """From the start of the interpreter to its end."""
    return {"s": _script_time(contender.script, repeats)}


def bare_script(repeats: int) -> Figures:
    """A script that needs no library."""
    return {"s": _script_time("print([x * x for x in range(4)])", repeats)}


def one_more_worker(contender: type[Contender], _: int) -> Figures:
    """From the wish for one more worker to its first result."""
    return {"ms": MILLI * contender.grow()}


def import_cost(contender: type[Contender], repeats: int) -> Figures:
    """What the import adds to a bare interpreter, in time and in modules."""
    count = "import sys; print(len(sys.modules))"
    with tempfile.TemporaryDirectory() as folder:

        def python(code: str) -> str:
            return _python(folder, "-c", code)

        modules = int(python(f"{contender.imports}\n{count}")) - int(python(count))  # also compiles what was not yet
        durations = [(seconds_of(lambda: python(contender.imports)), seconds_of(lambda: python("pass"))) for _ in range(repeats)]
    return {"ms": MILLI * statistics.median(full - bare for full, bare in durations), "modules": modules}


def _script_time(script: str, repeats: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text(script)
        assert _python(folder, str(path)).strip() == "[0, 1, 4, 9]"  # also compiles what was not yet
        return median_time(lambda: _python(folder, str(path)), repeats)


def _python(folder: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


# ------------------------------------------------------------ memory and long runs


def idle_memory(contender: type[Contender], _: int) -> Figures:
    """Private memory of an idle worker; and of all processes that the pool needs, divided among the workers."""
    import psutil

    with contender(WORKERS).warm() as pool:
        pids = pool.pids()
        time.sleep(0.3)  # until they are idle
        workers = [_private(psutil.Process(pid)) for pid in pids]
        everything = [_private(process) for process in psutil.Process().children(recursive=True)]
        return {"worker": MEGA * statistics.mean(workers), "with_helpers": MEGA * sum(everything) / WORKERS}


def _private(process: Any) -> float:
    return process.memory_full_info().uss


def streamed(contender: type[Contender], count: int) -> Figures:
    """Results taken from an iterator: time for each task at three sizes, what the parent grows by, and time on many workers."""
    import psutil

    me = psutil.Process()
    sizes = {"small": count // 100, "middle": count // 10, "large": count}
    figures: Figures = {}
    with contender(WORKERS).warm() as pool:
        _drain(pool.stream(tasks.noop, range(1000)), 1000)
        for name, size in sizes.items():
            gc.collect()
            before = peak = me.memory_info().rss
            begin = time.perf_counter()
            for _ in _drain_by(pool.stream(tasks.noop, range(size)), size, 20_000):
                peak = max(peak, me.memory_info().rss)
            figures[name] = MICRO * (time.perf_counter() - begin) / size
            figures["growth"] = MEGA * (peak - before)
    figures["flatness"] = figures["large"] / figures["small"]
    with contender(MANY).warm() as pool:
        _drain(pool.stream(tasks.noop, range(count // 10)), count // 10)
        begin = time.perf_counter()
        _drain(pool.stream(tasks.noop, range(count)), count)
        figures["wide"] = MICRO * (time.perf_counter() - begin) / count
    figures["width"] = figures["wide"] / figures["large"]
    return figures


def _drain(results: Iterator[Any], count: int) -> None:
    for _ in _drain_by(results, count, count):
        pass


def _drain_by(results: Iterator[Any], count: int, step: int) -> Iterator[None]:
    """Take all results and check them; yield now and then."""
    taken = 0
    for value in results:
        assert value == taken, "a result is missing or out of order"
        taken += 1
        if not taken % step:
            yield
    assert taken == count
    yield


def many_workers(contender: type[Contender], count: int) -> Figures:
    """One by one, on more and more workers, whatever the number of processors."""
    figures: Figures = {}
    for workers in (WORKERS, 8, MANY):
        with contender(workers).warm() as pool:
            pool.each(tasks.noop, range(10 * workers))
            figures[f"on_{workers}"] = micros_a_task(pool.each, count)
    figures["flatness"] = figures["on_64"] / figures["on_2"]
    return figures


# ------------------------------------------------------------ uneven tasks


def mixed_durations(contender: type[Contender], count: int) -> Figures:
    """Tasks from a microsecond to a tenth of a second, in random order."""
    with contender(WORKERS).warm() as pool:
        return {"s": _spread_time(pool, _mixed(count))}


def ideal_mixed(count: int) -> Figures:
    """What the tasks take when two processors share them evenly."""
    return {"s": sum(_mixed(count)) / WORKERS}


def stragglers(contender: type[Contender], count: int) -> Figures:
    """Many short tasks and a long one, which comes last or in the middle."""
    with contender(WORKERS).warm() as pool:
        return {place: _spread_time(pool, durations) for place, durations in _with_straggler(count).items()}


def ideal_stragglers(count: int) -> Figures:
    """What two workers take that begin the tasks in their order, each as soon as it is free."""
    return {place: _in_order(durations) for place, durations in _with_straggler(count).items()}


def _mixed(count: int) -> list[float]:
    durations = [10 ** (-6 + 5 * index / (count - 1)) for index in range(count)]
    random.Random(1).shuffle(durations)
    return durations


def _with_straggler(count: int) -> dict[str, list[float]]:
    short, long = [0.001] * count, [0.5]
    return {"last": short + long, "middle": short[: count // 2] + long + short[count // 2 :]}


def _in_order(durations: list[float]) -> float:
    free = [0.0] * WORKERS
    for duration in durations:
        first = free.index(min(free))
        free[first] += duration
    return max(free)


def _spread_time(pool: Contender, durations: list[float]) -> float:
    results: list[float] = []
    seconds = seconds_of(lambda: results.extend(pool.uneven(tasks.burn, durations)))
    all_equal(results, durations)
    return seconds


# ------------------------------------------------------------ the table


ROWS: tuple[Row, ...] = (
    Row(
        "call",
        (
            Metric(
                "ms",
                "warm call: 2 no-op tasks",
                "ms",
                Target("≤ 0.25, joblib ≥ 30x", lambda m: m[OWN] <= 0.25 and m.get("joblib", 1e9) >= 30 * m[OWN]),
            ),
        ),
        warm_call,
        size=500,
        quick=100,
    ),
    Row(
        "round-trip",
        (Metric("us", "submit(f).result()", "µs", Target("≤ 1.5x bare + 40", lambda m: m[OWN] <= 1.5 * m[BARE] + 40)),),
        round_trip,
        size=5000,
        quick=1000,
        bare=ping_pong,
    ),
    Row("one-by-one", (Metric("us", "no-op tasks one by one, 50k", "µs/task", at_most(8)),), one_by_one, size=50_000, quick=5000, rounds=2),
    Row("futures", (Metric("us", "submit 20k futures, then all results", "µs/task", at_most(15)),), futures, size=20_000, quick=3000),
    Row(
        "batches",
        (
            Metric(
                "us",
                "no-op tasks, automatic batches, 200k",
                "µs/task",
                Target("map ≤ 0.25, Parallel ≤ 0.8", lambda m: m[OWN] <= 0.25 and m["manyhands.Parallel"] <= 0.8),
            ),
        ),
        automatic_batches,
        size=200_000,
        quick=50_000,
    ),
    Row("script", (Metric("s", "whole script: 4 tasks, 2 workers", "s", at_most(0.10)),), whole_script, size=5, quick=3, bare=bare_script),
    Row("growth", (Metric("ms", "one more worker, to its first result", "ms", at_most(3)),), one_more_worker, size=1, quick=1),
    Row(
        "import",
        (Metric("ms", "import", "ms", at_most(20)), Metric("modules", "modules that the import loads", "modules")),
        import_cost,
        size=10,
        quick=5,
    ),
    Row(
        "memory",
        (
            Metric("worker", "private memory of an idle worker", "MB", at_most(8)),
            Metric("with_helpers", "the same with all helper processes, per worker", "MB"),
        ),
        idle_memory,
        size=1,
        quick=1,
        rounds=2,
    ),
    Row(
        "stream",
        (
            Metric("small", "streamed, 10^4 tasks", "µs/task"),
            Metric("middle", "streamed, 10^5 tasks", "µs/task"),
            Metric("large", "streamed, 10^6 tasks", "µs/task"),
            Metric("flatness", "streamed, 10^6 against 10^4 tasks", "ratio", at_most(1.3, "flat (≤ 1.3)"), compared=False),
            Metric("growth", "streamed, 10^6 tasks: growth of the parent", "MB", at_most(50, "< 50")),
            Metric("wide", "streamed, 10^6 tasks on 64 workers", "µs/task"),
            Metric("width", "streamed, 64 against 2 workers", "ratio", at_most(1.3, "flat (≤ 1.3)"), compared=False),
        ),
        streamed,
        size=1_000_000,
        quick=100_000,
    ),
    Row(
        "workers",
        (
            Metric("on_2", "20k tasks one by one on 2 workers", "µs/task"),
            Metric("on_8", "20k tasks one by one on 8 workers", "µs/task"),
            Metric("on_64", "20k tasks one by one on 64 workers", "µs/task"),
            Metric("flatness", "one by one, 64 against 2 workers", "ratio", compared=False),
        ),
        many_workers,
        size=20_000,
        quick=1000,
        rounds=2,
    ),
    Row(
        "mixed",
        (Metric("s", "tasks of 1 µs to 100 ms, shuffled", "s"),),
        mixed_durations,
        size=300,
        quick=50,
        rounds=2,
        bare=ideal_mixed,
    ),
    Row(
        "straggler",
        (
            Metric("last", "1000 tasks of 1 ms, the last of 500 ms", "s"),
            Metric("middle", "1000 tasks of 1 ms, the middle one of 500 ms", "s"),
        ),
        stragglers,
        size=1000,
        quick=100,
        rounds=2,
        bare=ideal_stragglers,
    ),
    *DATA_ROWS,
    *FILE_ROWS,
)

assert Manyhands.label == OWN


def named(name: str) -> Row:
    """The row of this name."""
    return next(row for row in ROWS if row.name == name)
