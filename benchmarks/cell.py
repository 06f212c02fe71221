"""One cell of the table: one row, one contender, one round, in a fresh interpreter. What goes wrong in it costs this cell only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import contenders, fresh, rows, surfaces

if TYPE_CHECKING:
    from collections.abc import Mapping

OK, ABSENT, FAILED, TIMED_OUT = "ok", "absent", "failed", "timed out"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one round of one contender gave.

    Attributes:
        state: OK; ABSENT: the library cannot do this; FAILED; TIMED_OUT.
        figures: one for each metric of the row.
        errors: the end of what was written to standard error, where there are no figures.
    """

    state: str
    figures: Mapping[str, float]
    errors: str


def measure(row: rows.Row, label: str, size: int) -> Cell:
    """Run the cell in a fresh interpreter."""
    outcome = fresh.run("benchmarks.cell", row.name, label, str(size), timeout=row.timeout)
    if outcome.reports:  # also of one that hung afterwards: what it had measured, it had
        report = outcome.reports[0]
        return Cell(report["state"], report["figures"], "")
    return Cell(TIMED_OUT if outcome.timed_out else FAILED, {}, outcome.errors)


def main(path: str, row_name: str, label: str, size: str) -> None:
    """Measure, and report the figures."""
    row = rows.named(row_name)
    reports = fresh.Reports(path)
    try:
        if label == rows.BARE:
            assert row.bare is not None
            figures = row.bare(int(size))
        else:
            figures = row.measure(_named(label), int(size))
    except contenders.Absent:
        reports.write({"state": ABSENT, "figures": {}})
    else:
        reports.write({"state": OK, "figures": figures})


def _named(label: str) -> type[contenders.Contender]:
    return next(contender for contender in (*contenders.ALL, *surfaces.ALL) if contender.label == label)


if __name__ == "__main__":
    main(*sys.argv[1:])
