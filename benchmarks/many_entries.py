"""Stores with many entries beside joblib's and diskcache: ``python -m benchmarks.many_entries [--entries 1000000] [--only NAME ...]``.

Each contender is filled through its own decorator, by two processes; then each step is measured in a process that has just started (what
it reads is in the system's cache still). A million entries take some 4 GB, which are removed at the end, and minutes. How long a file takes
to be removed is the file system's affair: ``--folder /dev/shm`` leaves the disk out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FILLERS = 2
_ONE_STEP = "import sys; from benchmarks import many_entries; many_entries.step(*sys.argv[1:])"

Figures = dict[str, float]


def small(x: int, name: str = "a") -> float:
    """A function whose result is small."""
    return x + len(name)


# ------------------------------------------------------------ contenders


class _Manyhands:
    name = "manyhands"

    def __init__(self, folder: str) -> None:
        from manyhands import Memory

        self._memory = Memory(folder, size_limit=None)
        self.small: Callable[[int], float] = self._memory.cache(small)

    def functions(self) -> int:
        """``manyhands cache ls``."""
        return sum(summary.entries for summary in self._memory.store.functions())  # type: ignore[union-attr]

    def entries(self) -> int:
        """``manyhands cache ls -l``."""
        return sum(1 for _ in self._memory.store.index().infos())  # type: ignore[union-attr]

    def halve(self, count: int) -> None:
        self._memory.reduce_size(items_limit=count // 2)

    def close(self) -> None:
        self._memory.close()


class _Joblib:
    name = "joblib"

    def __init__(self, folder: str) -> None:
        import joblib

        self._memory = joblib.Memory(folder, verbose=0)
        self.small: Callable[[int], float] = self._memory.cache(small)

    def entries(self) -> int:
        return len(self._memory.store_backend.get_items())

    def halve(self, count: int) -> None:
        self._memory.reduce_size(items_limit=count // 2)

    def close(self) -> None:
        pass


class _Diskcache:
    name = "diskcache"

    def __init__(self, folder: str) -> None:
        import diskcache

        self._cache = diskcache.Cache(folder, size_limit=2**40)
        self.small: Callable[[int], float] = self._cache.memoize()(small)

    def entries(self) -> int:
        return sum(1 for _ in self._cache)

    def halve(self, count: int) -> None:
        self._cache.reset("size_limit", self._cache.volume() // 2)  # it has no limit of entries
        self._cache.cull()

    def close(self) -> None:
        self._cache.close()


CONTENDERS = {kind.name: kind for kind in (_Manyhands, _Joblib, _Diskcache)}


# ------------------------------------------------------------ steps, each in a process of its own


def step(name: str, folder: str, which: str, *numbers: str) -> None:
    """One step of one contender; writes what it has measured."""
    kind = CONTENDERS[name]
    kind(folder + "-warm").close()  # its modules are loaded
    start = time.perf_counter()
    contender = kind(folder)
    figures = STEPS[which](contender, start, *map(int, numbers))
    contender.close()
    print(json.dumps(figures))


def _fill(contender: Any, _: float, first: int, last: int) -> Figures:
    for x in range(first, last):
        contender.small(x)
    return {}


def _hit(contender: Any, start: float, x: int) -> Figures:
    if contender.small(x) != x + 1:
        raise AssertionError
    return {"open it and have one result, ms": 1e3 * (time.perf_counter() - start)}


def _functions(contender: Any, start: float, count: int) -> Figures:
    if contender.functions() != count:
        raise AssertionError
    return {"open it and sum up by function, s": time.perf_counter() - start}


def _entries(contender: Any, start: float, count: int) -> Figures:
    if contender.entries() != count:
        raise AssertionError
    return {"open it and list all entries, s": time.perf_counter() - start}


def _halve(contender: Any, start: float, count: int) -> Figures:
    contender.halve(count)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    left = contender.entries()
    if not 0.3 * count < left < 0.7 * count:
        raise AssertionError(left)
    return {
        "open it and evict half, s": seconds,
        "the same, µs an entry that goes": 1e6 * seconds / (count - left),
        "the same: peak memory, MB": peak,
    }


STEPS: dict[str, Callable[..., Figures]] = {"fill": _fill, "hit": _hit, "functions": _functions, "entries": _entries, "halve": _halve}


def _run(*arguments: object) -> Figures:
    command = [sys.executable, "-c", _ONE_STEP, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


# ------------------------------------------------------------ the table


def measured(name: str, folder: str, count: int) -> Figures:
    """All steps of one contender."""
    figures = {"make them with two processes, µs an entry": 1e6 * _filled(name, folder, count) / count}
    figures |= _run(name, folder, "hit", count // 2)
    if hasattr(CONTENDERS[name], "functions"):
        figures |= _run(name, folder, "functions", count)
    figures |= _run(name, folder, "entries", count)
    return figures | _run(name, folder, "halve", count)


def _filled(name: str, folder: str, count: int) -> float:
    start = time.perf_counter()
    parts = [str(count * part // _FILLERS) for part in range(_FILLERS + 1)]
    commands = [[sys.executable, "-c", _ONE_STEP, name, folder, "fill", *parts[part : part + 2]] for part in range(_FILLERS)]
    with contextlib.ExitStack() as stack:
        fillers = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL)) for command in commands]
        for filler in fillers:
            stack.callback(filler.kill)  # if this is interrupted
        if any(filler.wait() for filler in fillers):
            raise AssertionError
    return time.perf_counter() - start


@contextlib.contextmanager
def _temporary(place: str | None) -> Iterator[str]:
    """A folder that is removed whatever happens; who is impatient meanwhile does not leave millions of files."""
    folder = tempfile.mkdtemp(prefix="benchmarks-", dir=place)
    try:
        yield folder
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, before)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_entries", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--folder", type=Path, help="where to make them; the system's folder for temporary files, if not given")
    options = parser.parse_args()
    found: dict[str, Figures] = {}
    for name in options.only:
        with _temporary(options.folder) as folder, contextlib.suppress(ImportError):
            found[name] = measured(name, os.path.join(folder, name), options.entries)
    print(f"| {options.entries:,} entries | " + " | ".join(found) + " |\n|---|" + "--:|" * len(found))
    for title in dict.fromkeys(title for figures in found.values() for title in figures):
        cells = [f"{figures[title]:.3g}" if title in figures else "-" for figures in found.values()]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
