"""A call that ends with its first failure, in the order of the inputs: what still matters when one has failed."""

from __future__ import annotations

# Seconds that tasks before one that has failed may take to end; one of them may fail as well, and would be the first. A guess.
GRACE = 0.1


class FirstFailure:
    """The failure with the lowest index so far.

    ``index`` is its index, None while there is none: no later task needs to run. ``until``: how long the earlier ones are waited for, in
    seconds on the clock that :meth:`note` is told.
    """

    __slots__ = ("index", "until")

    def __init__(self) -> None:
        self.index: int | None = None
        self.until: float | None = None

    def note(self, index: int, now: float) -> bool:
        """Task ``index`` has failed for good; whether it is the first."""
        if self.index is not None and index >= self.index:
            return False
        self.index = index
        if self.until is None:
            self.until = now + GRACE
        return True

    def is_final(self, now: float) -> bool:
        """Whether there is a failure, and the others have had their time."""
        return self.until is not None and now >= self.until
