"""What is told to who reads the log of ``manyhands``: that a call has fewer workers than it asked for. Each reason once."""

from __future__ import annotations

import sys

_told: set[str] = set()


def info(reason: str) -> None:
    """Something that is as it should be, and may surprise. Without ``logging`` nobody would see it, so it need not be loaded."""
    if "logging" in sys.modules and reason not in _told:
        _tell("info", reason)


def warning(reason: str) -> None:
    """Something that should not be. Shown on standard error, unless the program does something else with its log."""
    if reason not in _told:
        _tell("warning", reason)


def _tell(level: str, reason: str) -> None:
    import logging  # noqa: PLC0415 - 6 ms, for which few have a reason

    _told.add(reason)
    getattr(logging.getLogger("manyhands"), level)(reason)
