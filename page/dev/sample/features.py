"""Makes features out of records. A sample for the page: it is shown, not run."""

from __future__ import annotations

import json
import statistics
from pathlib import Path


def load(path: Path) -> list[dict[str, float]]:
    """Read one file of records."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scaled(values: list[float]) -> list[float]:
    """Mean 0, deviation 1."""
    mean = statistics.fmean(values)
    deviation = statistics.pstdev(values, mean) or 1.0
    return [(value - mean) / deviation for value in values]


def features(records: list[dict[str, float]], names: list[str]) -> list[list[float]]:
    """A row for each record: its values, and their products."""
    columns = [scaled([record[name] for record in records]) for name in names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    for row in rows:
        size = len(row)
        for first in range(size):
            for second in range(first, size):
                row.append(row[first] * row[second])
    return rows
