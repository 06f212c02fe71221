"""Where threads are while the process computes: what share of its time goes into lines that are not counted just then."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from manyhands._probe._counts import Place

_REMEMBERED = 60  # looks
_COMPUTES = 0.3  # of the time since the last look; else it is not known which of the places the time went into
_EXPECTED = 0.85  # what is closed by its budget goes on, most often
_LEAST_VARIANCE = 0.05


class Share(NamedTuple):
    """Of processor time, and by how much it may be wrong."""

    value: float = _EXPECTED
    error: float = 1 - _EXPECTED


class Looks:
    """The last of them. ``clock``: processor time of the process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._last = time.monotonic_ns(), clock()
        self._seen: deque[frozenset[Place]] = deque(maxlen=_REMEMBERED)

    def note(self, places: list[Place]) -> None:
        """Threads are at these."""
        now = time.monotonic_ns(), self._clock()
        if places and now[1] - self._last[1] >= _COMPUTES * (now[0] - self._last[0]):
            self._seen.append(frozenset(places))
        self._last = now

    def share(self, places: Collection[Place]) -> Share:
        """How much of the time goes into these lines, or what they call."""
        looks = len(self._seen) + 1
        value = (sum(not seen.isdisjoint(places) for seen in self._seen) + _EXPECTED) / looks
        return Share(value, 2 * math.sqrt(max(value * (1 - value), _LEAST_VARIANCE) / looks))
