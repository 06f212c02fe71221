"""Measure manyhands beside its peers: ``python -m benchmarks``, whose options ``--help`` shows."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cell, contenders, fresh, quiet, report, rows, surfaces
from benchmarks.surfaces import ALL as SURFACES

if TYPE_CHECKING:
    from benchmarks.cell import Cell


_TRIES = 3


def main() -> None:
    """Run the rows that were asked for, and print the table."""
    options = _parse()
    about = report.machine()
    present = _contenders(surfaces=options.surfaces)
    wanted = options.only or (surfaces.ROWS if options.surfaces else [row.name for row in rows.ROWS])
    chosen = [row for row in rows.ROWS if row.name in wanted]
    rounds = 1 if options.quick else options.rounds
    with fresh.bytecode_kept():
        results = {row: _run(row, present, rounds, quick=options.quick, limit=options.quiet) for row in chosen}
    print(report.describe(about))
    if options.quiet:
        print(f"What was not framed by bare ping-pongs of at most {options.quiet:g} µs was measured again, twice at most.")
    print()
    print(report.as_table(results, [rows.BARE, *present]))
    if options.quick:
        print("\nSmaller sizes than the titles say, and one round (--quick).")
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(about, results), indent=1))


def _contenders(*, surfaces: bool) -> list[str]:
    if surfaces:
        return [contender.label for contender in (*contenders.OWN, *SURFACES)]
    present = [contender.label for contender in contenders.installed()]
    missing = [contender.label for contender in contenders.ALL if contender.label not in present]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.")
    return present


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="manyhands beside its peers, measured in the same run")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, all in turn (default: 3)")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=[row.name for row in rows.ROWS], help="these rows only: %(choices)s")
    parser.add_argument("--quiet", type=float, metavar="US", help="measure while a bare ping-pong takes at most so many microseconds")
    parser.add_argument("--surfaces", action="store_true", help="instead of the peers, their names over manyhands beside manyhands' own")
    parser.add_argument("--json", metavar="FILE", help="write all rounds there")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and one round, to see that all works")
    return parser.parse_args()


def _run(row: rows.Row, labels: list[str], rounds: int, *, quick: bool, limit: float | None) -> dict[str, list[Cell]]:
    """All rounds of a row, every contender once in each, so that a noisy minute hits all of them."""
    begin = time.monotonic()
    everyone = [rows.BARE, *labels] if row.bare else labels
    cells: dict[str, list[Cell]] = {label: [] for label in everyone}
    for _ in range(min(rounds, row.rounds)):
        for label in everyone:
            if not _hopeless(cells[label]):
                cells[label].append(_measured(row, label, row.quick if quick else row.size, limit))
    print(f"{row.name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return cells


def _measured(row: rows.Row, label: str, size: int, limit: float | None) -> Cell:
    """One contender, once; if that fell into a noisy moment, once more, and again: the same for all of them."""
    for _ in range(_TRIES):
        if limit:
            quiet.wait(limit)
        found = cell.measure(row, label, size)
        if not limit or quiet.ping() <= limit:
            break
    return found


def _hopeless(rounds: list[Cell]) -> bool:
    """A contender that cannot do this, or hung, is not asked again."""
    return any(one.state in {cell.ABSENT, cell.TIMED_OUT} for one in rounds)


if __name__ == "__main__":
    main()
