"""``Memory`` beside joblib's and diskcache: ``python -m benchmarks.remembering [--rounds 5] [--only ROW]``.

All contenders in one process and in turn, each with a folder of its own, the medians of the rounds. diskcache is taken along where it is
installed; it has no keys for arrays.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_MB = 2**20
_numbers = itertools.count()


def small(x: int, y: float = 1.5, name: str = "a") -> float:
    """A function whose result is small."""
    return x + y + len(name)


def of_array(array: Any) -> float:
    """One with a large argument."""
    return float(array[0])


def large(n: int) -> Any:
    """One with a large result."""
    return np.ones(n * _MB // 8)


class _Manyhands:
    name = "manyhands"

    def __init__(self, folder: Path) -> None:
        from manyhands import Memory

        self._memory = Memory(folder / self.name)

    def cached(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._memory.cache(function)  # type: ignore[no-any-return]


class _Joblib:
    name = "joblib"

    def __init__(self, folder: Path) -> None:
        import joblib

        self._memory = joblib.Memory(folder / self.name, verbose=0)

    def cached(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._memory.cache(function)  # type: ignore[no-any-return]


class _Diskcache:
    name = "diskcache"

    def __init__(self, folder: Path) -> None:
        import diskcache

        self._cache = diskcache.Cache(folder / self.name)

    def cached(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function is of_array:
            raise NotImplementedError
        return self._cache.memoize()(function)  # type: ignore[no-any-return]


CONTENDERS = (_Manyhands, _Joblib, _Diskcache)


def _timed(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def hit(cached: Callable[..., Any]) -> float:
    """Small arguments, small result, microseconds."""
    function = cached(small)
    function(1, name="b")
    return 1e6 * _timed(lambda: function(1, name="b"), 2000)


def hit_argument(cached: Callable[..., Any]) -> float:
    """An array of 100 MB as argument, milliseconds."""
    array = np.random.default_rng(0).random(100 * _MB // 8)
    function = cached(of_array)
    function(array)
    return 1e3 * _timed(lambda: function(array), 3)


def hit_result(cached: Callable[..., Any]) -> float:
    """A result of 100 MB, of which all is read, milliseconds."""
    function = cached(large)
    function(100)
    return 1e3 * _timed(lambda: function(100).sum(), 3)


def miss(cached: Callable[..., Any]) -> float:
    """What keeping a small result costs, microseconds."""
    function = cached(small)
    function(0)
    return 1e6 * _timed(lambda: function(next(_numbers), y=-1.0), 200)


ROWS = {
    "hit, small arguments, µs": hit,
    "hit, an argument of 100 MB, ms": hit_argument,
    "hit, a result of 100 MB that is read, ms": hit_result,
    "miss, small result, µs": miss,
}
TOGETHER = "16 processes on one key of 0.5 s, s"

_ONE_OF_MANY = """
import sys, time
from pathlib import Path
from benchmarks import remembering
def slow(x):
    time.sleep(0.5)
    return x
kind = next(kind for kind in remembering.CONTENDERS if kind.name == sys.argv[1])
cached = kind(Path(sys.argv[2])).cached(slow)
print("ready", flush=True)
sys.stdin.readline()
cached(1)
"""


def together(kind: type[Any], folder: Path) -> float:
    """Sixteen processes want one result that takes half a second: until all have it, seconds."""
    command = [sys.executable, "-c", _ONE_OF_MANY, kind.name, str(folder)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(16)]
    for process in processes:
        process.stdout.readline()  # type: ignore[union-attr] # it is a pipe
    start = time.perf_counter()
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.close()  # type: ignore[union-attr]
    for process in processes:
        process.wait()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remembering", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*ROWS, TOGETHER])
    options = parser.parse_args()
    print("| | " + " | ".join(kind.name for kind in CONTENDERS) + " |\n|---|" + "--:|" * len(CONTENDERS))
    for title in options.only or (*ROWS, TOGETHER):
        figures: dict[str, list[float]] = {kind.name: [] for kind in CONTENDERS}
        for _ in range(options.rounds):
            for kind in CONTENDERS:
                folder = Path(tempfile.mkdtemp())
                try:
                    figures[kind.name].append(together(kind, folder) if title == TOGETHER else ROWS[title](kind(folder).cached))
                except (ImportError, NotImplementedError):
                    continue
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
        cells = [f"{statistics.median(found):.3g}" if found else "-" for found in figures.values()]
        print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
