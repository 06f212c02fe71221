"""Shared objects beside managers, rpyc, Pyro5 and Ray's actors: ``python -m benchmarks.sharing [--rounds 5] [--only WORDS]``.

In each round every contender is measured once, in an interpreter of its own, beside a bare ping-pong of 40 bytes over a Unix socket,
which is the floor of them all; for arrays that is a copy. Medians of the rounds. What a contender cannot do has no figure.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections import defaultdict

from benchmarks import fresh
from benchmarks.sharing import contenders
from benchmarks.sharing.rows import ROWS

_TIMEOUT = 1800.0  # seconds for all rows of one contender, waits for a quiet moment included


def main() -> None:
    """Measure, and print a table."""
    options = _parse()
    present = _contenders(options.without.split(","))
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    with fresh.bytecode_kept():
        for _ in range(options.rounds):
            for name in present:
                outcome = fresh.run("benchmarks.sharing.cell", name, options.only, options.quiet, timeout=_TIMEOUT)
                for report in outcome.reports:
                    figures[report["row"], name].append(report["figure"])
                if outcome.status:
                    print(f"{name}: {outcome.errors}", file=sys.stderr)
    _print(figures, present)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, all in turn (default: 5)")
    parser.add_argument("--only", default="", help="rows whose names have this in them")
    parser.add_argument("--without", default="", help="contenders to leave out, by name, with commas")
    parser.add_argument("--quiet", metavar="US", default="", help="wait until a bare ping-pong takes at most so many microseconds")
    return parser.parse_args()


def _contenders(unwanted: list[str]) -> list[str]:
    wanted = [one for one in contenders.ALL if one.name not in unwanted]
    missing = [one.name for one in wanted if importlib.util.find_spec(one.module) is None]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.")
    return [one.name for one in wanted if one.name not in missing]


def _print(figures: dict[tuple[str, str], list[float]], names: list[str]) -> None:
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "--:|" * len(names))
    for row in ROWS:
        found = [figures.get((row, name)) for name in names]
        if any(found):
            print(f"| {row} | " + " | ".join(_said(statistics.median(one)) if one else "-" for one in found) + " |")


def _said(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 20 else f"{figure:.1f}"


if __name__ == "__main__":
    main()
