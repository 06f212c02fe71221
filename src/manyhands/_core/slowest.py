"""The tasks of a call that took longest."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT = 5
LEAST = 1_000_000  # nanoseconds; whatever is quicker is slow for nobody


class Slowest:
    """Keeps some of them. Ask about tasks that took ``LEAST`` together only: nearly always they did not."""

    __slots__ = ("_floor", "_heap", "_tie")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []
        self._floor = LEAST
        self._tie = itertools.count()

    def add(self, nanoseconds: int, count: int, describe: Callable[[], str]) -> None:
        """Tasks that ended together, after so long for all of them; ``describe()`` names the first."""
        each = nanoseconds // count
        if each <= self._floor:
            return
        text = describe() if count == 1 else f"{describe()} and {count - 1} more, each"
        heapq.heappush(self._heap, (each, next(self._tie), text))
        if len(self._heap) > _KEPT:
            heapq.heappop(self._heap)
            self._floor = self._heap[0][0]

    def seconds(self) -> tuple[tuple[float, str], ...]:
        """(seconds, which task), the slowest first."""
        return tuple((each / 1e9, text) for each, _, text in sorted(self._heap, reverse=True))
