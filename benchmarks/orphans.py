"""What is left of a pool whose parent was killed with ``kill -9``: while its workers were idle, and while they were busy."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import contenders, fresh, tasks

if TYPE_CHECKING:
    import subprocess

MOMENTS = (2.0, 6.0)  # seconds after the kill
STATES = ("idle", "busy")
READY = 30.0  # seconds until the pool must be up
LONG = 60.0  # seconds of work for each busy worker: more than we look


@dataclass(frozen=True, slots=True)
class Victim:
    """A program with a pool, about to be killed."""

    process: subprocess.Popen[bytes]
    workers: list[psutil.Process]
    helpers: list[psutil.Process]


def child(path: str, label: str, state: str) -> None:
    """Start a pool, make its workers busy if that is asked for, report their pids, and wait for the end."""
    pool = contenders.named(label)(2).warm()
    pids = sorted(pool.pids())
    if state == "busy":
        threading.Thread(target=pool.each, args=(tasks.nap, [LONG] * 2), daemon=True).start()
        time.sleep(0.5)  # until they have begun
    fresh.Reports(path).write({"pids": pids})
    signal.pause()


def count(labels: list[str]) -> dict[str, list[str]]:
    """For each contender, for each state and moment: how many workers live, and how many other processes of the pool."""
    table: dict[str, list[str]] = {label: [] for label in labels}
    for state in STATES:
        for label in labels:
            table[label] += _try(label, state)
    return table


def _try(label: str, state: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as folder:
        reports = Path(folder, "reports")
        process = fresh.start("benchmarks.orphans", str(reports), label, state)
        try:
            victim = _when_ready(process, reports)
            if victim is None:
                return ["failed"] * len(MOMENTS)
            os.kill(process.pid, signal.SIGKILL)
            return _watch(victim)
        finally:
            fresh.end(process)


def _when_ready(process: subprocess.Popen[bytes], reports: Path) -> Victim | None:
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline and process.poll() is None:
        if found := fresh.read(reports):
            pids = set(found[0]["pids"])
            everything = psutil.Process(process.pid).children(recursive=True)
            workers = [one for one in everything if one.pid in pids]
            return Victim(process, workers, [one for one in everything if one.pid not in pids])
        time.sleep(0.05)
    return None


def _watch(victim: Victim) -> list[str]:
    begin = time.monotonic()
    victim.process.wait()
    seen = []
    for moment in MOMENTS:
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        workers, helpers = (sum(map(_lives, group)) for group in (victim.workers, victim.helpers))
        seen.append(f"{workers} of {len(victim.workers)}" + (f" (+{helpers})" if helpers else ""))
    for process in victim.workers:
        if _lives(process):
            process.kill()
    fresh.let_helpers_finish(victim.process.pid)  # with the workers gone, helpers remove what the pool has left on the disk
    return seen


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    child(*sys.argv[1:])
