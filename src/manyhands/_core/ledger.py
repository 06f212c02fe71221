"""What a call has cost, noted while it runs."""

from __future__ import annotations

from manyhands._core.slowest import Slowest

NEVER = 2**63


class Ledger:
    """Times are nanoseconds, ``first_start`` on the monotonic clock; for the rest see ``manyhands.reports.Report``."""

    __slots__ = (
        "ahead",
        "away",
        "batches",
        "chunk",
        "collecting",
        "first_start",
        "hired",
        "preparing",
        "preparing_since",
        "received",
        "sent",
        "slowest",
        "spared",
    )

    def __init__(self) -> None:
        self.first_start: int = NEVER
        self.preparing: int = 0
        self.preparing_since: int = 0
        self.collecting: int = 0
        self.away: int = 0  # the program was elsewhere with what it had been given
        self.sent: int = 0
        self.spared: int = 0  # of what was sent, bytes that did not have to be moved
        self.received: int = 0
        self.hired: bool = False  # workers had to be started
        self.chunk: int = 0
        self.batches: int = 0
        self.ahead: int = 0
        self.slowest: Slowest = Slowest()

    def dispatched(self, ahead: int) -> None:
        """So many tasks have been dispatched and not ended."""
        if ahead > self.ahead:
            self.ahead = ahead
