"""What the engine takes while it is watched: ``python -m benchmarks.watched_engine``.

Two processes that stay, one of them watched, are asked in turn to do a piece of work once; medians of the ratios of each pair. Then the
processor time of the observer, while 64 workers run 100 000 tasks and somebody looks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil

import manyhands

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET, OBSERVER_TARGET = 1.02, 0.05
TASKS, WORKERS, SECONDS = 100_000, 64, 0.005


def nothing(number: int) -> int:
    """A task without any work."""
    return number


def work(number: int) -> int:
    """A task of about a millisecond."""
    for _ in range(30_000):
        number += 1
    return number


def wait(_number: int) -> None:
    """A task that takes no processor."""
    time.sleep(SECONDS)


def _submitted() -> None:
    executor = _executor()
    for future in [executor.submit(nothing, number) for number in range(5000)]:
        future.result()


def _executor() -> manyhands.Executor:
    global _kept  # noqa: PLW0603 - warm, as the default pool is
    _kept = _kept or manyhands.Executor(2)
    return _kept


_kept: manyhands.Executor | None = None

ROWS: dict[str, tuple[str, Callable[[], object]]] = {
    "warm": ("50 warm calls of 2 tasks", lambda: [manyhands.map(nothing, range(2), workers=2) for _ in range(50)]),
    "single": ("5000 tasks one by one", lambda: manyhands.map(nothing, range(5000), workers=2, chunk=1)),
    "batches": ("100 000 tasks in batches", lambda: manyhands.map(nothing, range(100_000), workers=2)),
    "futures": ("5000 futures", _submitted),
    "work": ("100 tasks of a millisecond", lambda: manyhands.map(work, range(100), workers=2)),
}


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watched_engine", description="the engine, watched and not")
    parser.add_argument("--rounds", type=int, default=41, help="how often each does each piece of work (default: 41)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _serve(is_watched=options.child == "watched")
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MANYHANDS_RUNTIME_DIR": folder}
        print(f"CPython {sys.version.split()[0]}, {os.cpu_count()} processors; watched / not, medians of {options.rounds} pairs\n")
        children = {name: _child(name, environment) for name in ("bare", "watched")}
        for row, (title, _) in ROWS.items():
            print(f"| {title} | {_ratio(children, row, options.rounds):.3f} |", flush=True)
        for child in children.values():
            child.stdin.close()
            child.wait()
        print(f"| *target* | {TARGET} |\n")
        os.environ["MANYHANDS_RUNTIME_DIR"] = folder
        print(f"observer, {WORKERS} workers and {TASKS:,} tasks: {_observer():.1%} of a processor (target: {OBSERVER_TARGET:.0%})")


def _child(name: str, environment: dict[str, str]) -> Any:
    command = [sys.executable, "-m", "benchmarks.watched_engine", "--child", name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, env=environment, **pipes)
    child.stdout.readline()  # it is ready
    return child


def _ask(child: Any, row: str) -> float:
    child.stdin.write(row + "\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def _ratio(children: dict[str, Any], row: str, rounds: int) -> float:
    for child in children.values():
        _ask(child, row)  # warm
    ratios = []
    for turn in range(rounds):
        order = ("bare", "watched") if turn % 2 else ("watched", "bare")
        taken = {name: _ask(children[name], row) for name in order}
        ratios.append(taken["watched"] / taken["bare"])
    return statistics.median(ratios)


def _serve(*, is_watched: bool) -> None:
    from manyhands.watch import _choices, _starting  # what is imported takes part in each garbage collection, watched or not

    if is_watched:
        _starting.join(_choices.Choices(terminal=True))
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        ROWS[line.strip()][1]()
        print(time.perf_counter() - begun, flush=True)


def _observer() -> float:
    """Share of one processor that the observer takes, from the first task to the last."""
    from manyhands.watch import _choices, _commands, _starting

    _starting.join(_choices.Choices(terminal=True))
    look = _commands.Look()
    threading.Thread(target=lambda: [None for _ in iter(look.next, None)], daemon=True).start()
    manyhands.map(nothing, range(WORKERS), workers=WORKERS, chunk=1)
    observer = next(each for each in psutil.process_iter() if _is_observer(each))
    begun, before = time.perf_counter(), observer.cpu_times()
    manyhands.map(wait, range(TASKS), workers=WORKERS)
    lasted, after = time.perf_counter() - begun, observer.cpu_times()
    _starting.leave("done", "")
    _commands.end_observer()
    return (after.user + after.system - before.user - before.system) / lasted


def _is_observer(process: psutil.Process) -> bool:
    try:
        return _runs_in() in process.cmdline()
    except psutil.Error:
        return False


def _runs_in() -> str:
    from manyhands.watch import _starting

    return _starting.folder()


if __name__ == "__main__":
    main()
