"""From the cells to medians, ratios, a markdown table and JSON."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks import cell, contenders
from benchmarks.measuring import BARE, OWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.cell import Cell
    from benchmarks.measuring import Metric, Row

    Cells = Mapping[str, Sequence[Cell]]  # of one row: contender -> rounds

_DISTRIBUTIONS = ("manyhands", "joblib", "loky", "mpire", "pebble", "distributed", "ray", "numpy", "psutil", "cloudpickle")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu_count": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _DISTRIBUTIONS if (version := _version(name))},
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe(about: Mapping[str, Any]) -> str:
    """One line about the machine."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    load = about["load_average"][0]
    return f"{about['date']}: Python {about['python']}, {about['cpus_usable']} processors, load {load:.1f}; {versions}."


def medians(metric: Metric, cells: Cells) -> dict[str, float]:
    """One figure for each contender that has any."""
    found: dict[str, float] = {}
    for label, rounds in cells.items():
        figures = [one.figures[metric.key] for one in rounds if metric.key in one.figures]
        if figures:
            found[label] = statistics.median(figures)
    return found


def best_peer(figures: Mapping[str, float]) -> str | None:
    """The contender with the lowest figure, apart from ourselves and the floor."""
    own = {contender.label for contender in contenders.OWN}
    peers = [label for label in figures if label not in own and label != BARE]
    return min(peers, key=lambda label: figures[label], default=None)


def as_table(results: Mapping[Row, Cells], labels: Sequence[str]) -> str:
    """A markdown table: one line for each metric, one column for each contender."""
    heads = ["what", "unit", *labels, "best peer", "joblib is", "target", ""]
    lines = [_line(heads), _line("---" if index < 2 else "---:" for index in range(len(heads)))]
    for row, cells in results.items():
        lines += [_line(_fields(metric, cells, labels)) for metric in row.metrics]
    return "\n".join(lines)


def _fields(metric: Metric, cells: Cells, labels: Sequence[str]) -> list[str]:
    figures = medians(metric, cells)
    best = best_peer(figures) if metric.compared else None
    beside = f"{best}: {_ratio(figures, best)}" if best else ""
    return [
        metric.title,
        metric.unit,
        *(_figure(figures.get(label), cells.get(label, ())) for label in labels),
        beside,
        _ratio(figures, "joblib") if metric.compared else "",
        metric.target.text if metric.target else "",
        _verdict(metric, figures),
    ]


def _figure(value: float | None, rounds: Sequence[Cell]) -> str:
    if value is not None:
        lost = sum(one.state != cell.OK for one in rounds)
        return _number(value) + (f" ({lost} of {len(rounds)} rounds failed)" if lost else "")
    states = {one.state for one in rounds}
    return next((state for state in (cell.TIMED_OUT, cell.FAILED) if state in states), "-")


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _ratio(figures: Mapping[str, float], label: str) -> str:
    """How many times our figure theirs is."""
    if label not in figures or figures.get(OWN, 0) <= 0:
        return ""
    return f"{figures[label] / figures[OWN]:.2g}x" if figures[label] < 10 * figures[OWN] else f"{figures[label] / figures[OWN]:.0f}x"


def _verdict(metric: Metric, figures: Mapping[str, float]) -> str:
    """Whether the target is met, and whether a peer is better."""
    if OWN not in figures:
        return ""
    words = []
    if metric.target:
        try:
            words.append("met" if metric.target.met(figures) else "MISSED")
        except KeyError:  # of a figure that this run does not have
            words.append("?")
    best = best_peer(figures)
    if metric.compared and best and figures[best] < figures[OWN]:
        words.append("behind")
    return ", ".join(words)


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def as_json(about: Mapping[str, Any], results: Mapping[Row, Cells]) -> dict[str, Any]:
    """Everything: all rounds, and where there are no figures, why."""
    return {"machine": about, "rows": [_row_as_json(row, cells) for row, cells in results.items()]}


def _row_as_json(row: Row, cells: Cells) -> dict[str, Any]:
    return {
        "row": row.name,
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title,
                "unit": metric.unit,
                "target": metric.target.text if metric.target else None,
                "medians": medians(metric, cells),
                "verdict": _verdict(metric, medians(metric, cells)),
            }
            for metric in row.metrics
        ],
        "rounds": {
            label: [{"state": one.state, "figures": dict(one.figures), "errors": one.errors} for one in rounds]
            for label, rounds in cells.items()
        },
    }
