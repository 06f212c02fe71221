"""How a process has ended, in words. Pure."""

from __future__ import annotations

import signal


def ended_by(code: int) -> str:
    """In words: an exit status, or minus a signal; empty for a regular end."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit status {code}" if code else ""
