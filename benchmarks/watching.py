"""What watching costs: ``python -m benchmarks.watching``. Slow-down of tight loops and of a realistic body, by level, beside heartrate
and VizTracer.

Each contender is a process of its own that stays; all are asked in turn, again and again, to do a piece of work once, and the processor
time of each, with all its threads, is divided by that of an unwatched process just before. Medians of these ratios. heartrate and
VizTracer are taken along where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.watched_work import WORK

LEVELS = ("sample", "touch", "auto", "exact")
PEERS = ("heartrate", "viztracer")
TARGETS = {"sample": 1.01, "touch": 1.07, "auto": 1.1, "exact": 5.0}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watching", description="what watching costs, beside heartrate and VizTracer"
    )
    parser.add_argument("--rounds", type=int, default=41, help="how often each does each piece of work (default: 41)")
    parser.add_argument("--only", nargs="+", choices=["bare", *LEVELS, *PEERS], help="these contenders only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _serve(options.child)
        return
    names = [name for name in ("bare", *LEVELS, *PEERS) if not options.only or name in options.only or name == "bare"]
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.")
    names = [name for name in names if name not in missing]
    with tempfile.TemporaryDirectory() as folder:
        print_table(names, measure(names, options.rounds, folder))


def measure(names: list[str], rounds: int, folder: str) -> dict[str, dict[str, list[float]]]:
    """Ratios to the unwatched process, by work and contender."""
    children = {name: _child(name, folder) for name in names}
    found: dict[str, dict[str, list[float]]] = {work: {name: [] for name in names} for work in WORK}
    try:
        for work in WORK:
            for name in names:
                _ask(children[name], work)  # warm
            for _ in range(rounds):
                for name in names:
                    if name != "bare" and len(found[work][name]) < _enough(found[work][name], rounds):
                        bare = _ask(children["bare"], work)
                        found[work][name].append(_ask(children[name], work) / bare)
    finally:
        for child in children.values():
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()
    return found


def _enough(ratios: list[float], rounds: int) -> int:
    """Of what is slow, fewer rounds do."""
    return max(5, rounds // 5) if ratios and ratios[-1] > 3 else rounds


def _child(name: str, folder: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.watching", "--child", name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    child = subprocess.Popen(command, env={**os.environ, "MANYHANDS_RUNTIME_DIR": folder, "PYTHONHASHSEED": "0"}, **pipes)
    child.stdout.readline()  # it is ready
    return child


def _ask(child: Any, work: str) -> float:
    child.stdin.write(work + "\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def print_table(names: list[str], found: dict[str, dict[str, list[float]]]) -> None:
    """Medians, as a table of Markdown."""
    print(f"CPython {sys.version.split()[0]}, {os.cpu_count()} processors; processor times of unwatched, medians.\n")
    shown = [name for name in names if name != "bare"]
    print("| work |", " | ".join(shown), "|")
    print("|---|", "|".join("--:" for _ in shown), "|", sep="")
    for work, (title, _) in WORK.items():
        print(f"| {title} |", " | ".join(f"{statistics.median(found[work][name]):.3g}" for name in shown), "|")
    print("| *target* |", " | ".join(f"{TARGETS[name]:g}" if name in TARGETS else "" for name in shown), "|")


def _serve(name: str) -> None:
    """As a contender: do what is asked for, and say how long it took."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # others talk there
    keep = _be_watched(name)
    print("ready", file=answers)
    for line in sys.stdin:
        work = WORK[line.strip()][1]
        begun = time.process_time()
        work()
        print(time.process_time() - begun, file=answers)
    del keep
    os._exit(0)  # heartrate's server would stay


def _be_watched(name: str) -> Any:
    # What is imported takes part in each garbage collection; a program that uses manyhands has it, watched or not.
    from manyhands._probe import _levels, _probe  # noqa: F401
    from manyhands.watch import _choices, _starting

    if name in LEVELS:
        _starting.join(_choices.Choices(level=name, terminal=True))
        probe = _probe.here()
        assert probe is not None, "the observer did not start"
        assert probe.counts() == name, "lines cannot be counted"
        return probe
    if name == "heartrate":
        import heartrate

        from benchmarks import watched_work

        heartrate.trace(files=lambda path: path == watched_work.__file__, port=_free_port(), daemon=True)
    if name == "viztracer":
        from viztracer import VizTracer

        tracer = VizTracer(verbose=0)
        tracer.start()
        return tracer
    return None


def _free_port() -> int:
    import socket

    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


if __name__ == "__main__":
    main()
