"""Sizes, times and numbers as people read them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_STEPS = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (60.0, 1.0, "s"),
    (3600.0, 60.0, "min"),
    (2 * 86400.0, 3600.0, "h"),
    (float("inf"), 86400.0, "days"),
)
_MANY = 10  # from here on without a decimal


def size(count: float) -> str:
    """Bytes: ``12 B``, ``3.4 MiB``. Powers of 1024, as in limits."""
    unit = 0
    while count >= 1024 and unit < len(_SIZES) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_SIZES[unit]}" if unit == 0 or count >= _MANY * _MANY else f"{count:.1f} {_SIZES[unit]}"


def span(seconds: float) -> str:
    """A time that something takes: ``250 ms``, ``3.4 s``, ``12 min``."""
    if not seconds:
        return "0 s"
    one, unit = next((one, unit) for end, one, unit in _STEPS if seconds < end)
    return f"{seconds / one:.0f} {unit}" if seconds / one >= _MANY else f"{seconds / one:.1f} {unit}"


def ago(when: float) -> str:
    """How long ago something was."""
    passed = max(time.time() - when, 0.0)
    return "just now" if passed < 1 else f"{span(passed)} ago"


def counted(count: int, what: str) -> str:
    """``1 result``, ``2,000 results``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Columns under their heads, numbers flush right; the last ``texts`` columns are text."""
    lines = [list(heads), *map(list, rows)]
    numbers = len(heads) - texts
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column < numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
