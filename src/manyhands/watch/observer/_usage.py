"""How a process, or a worker, has used its time. Pure; times are nanoseconds of the monotonic clock."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque

NS = 1_000_000_000
MOSTLY = 0.5  # share of the last moments in which who is busy was at work
_FADES = NS / 2  # what was so long ago counts for a third
_MOST = 600  # looks that are kept, and up to twice as many
_MOST_PAUSES = 200


class Lately:
    """Which share of the last moments was work; the more recent a moment is, the more it counts."""

    __slots__ = ("_at", "_share")

    def __init__(self) -> None:
        self._at = 0
        self._share = 0.0

    def note(self, begin: int, end: int, busy: int) -> None:
        """So much of a time was work."""
        end = max(end, self._at)
        lasted = max(1, end - begin)
        self._share = min(1.0, self.share(end) + -math.expm1(-lasted / _FADES) * min(1.0, busy / lasted))
        self._at = end

    def share(self, now: int) -> float:
        """Between 0 and 1."""
        return self._share * math.exp(-max(0, now - self._at) / _FADES)


class Uses:
    """What a process takes of the machine, as it is looked at from outside.

    Attributes:
        memory: bytes, and when.
    """

    def __init__(self) -> None:
        self.memory: deque[tuple[int, int]] = deque(maxlen=_MOST)
        # When; and since the first look, nanoseconds of processor time, and those in which it had to wait for a processor.
        self._used: list[tuple[int, float, float]] = []

    def note(self, at: int, memory: int, processors: float, queued: float) -> None:
        """It has used so many since the last look, and could have used one for another share of the time."""
        if memory:
            self.memory.append((at, memory))
        last, used, waited = self._used[-1] if self._used else (at, 0.0, 0.0)
        self._used.append((at, used + processors * (at - last), waited + queued * (at - last)))
        if len(self._used) > 2 * _MOST:
            del self._used[:_MOST]

    def processors(self, begin: int, end: int) -> tuple[float, float, int]:
        """How many it used at a time, on average; how much it waited for one; and in how many nanoseconds of this time it was looked at."""
        first, last = bisect_left(self._used, (begin,)), bisect_right(self._used, (end, math.inf)) - 1
        if last <= first:
            return 0.0, 0.0, 0
        (since, used, waited), (until, used_then, waited_then) = self._used[first], self._used[last]
        lasted = max(1, until - since)
        return (used_then - used) / lasted, (waited_then - waited) / lasted, until - since


class Pauses:
    """When it stood still, because somebody wanted it so."""

    def __init__(self) -> None:
        self._over: list[tuple[int, int]] = []
        self._since: int | None = None

    def note(self, at: int, *, is_paused: bool) -> None:
        """It stands still from now on, or goes on."""
        if is_paused:
            self._since = at if self._since is None else self._since
        elif self._since is not None:
            self._over.append((self._since, at))
            del self._over[:-_MOST_PAUSES]
            self._since = None

    def within(self, begin: int, end: int) -> int:
        """How many nanoseconds of a time."""
        found = sum(max(0, min(end, until) - max(begin, since)) for since, until in self._over)
        return found if self._since is None else found + max(0, end - max(begin, self._since))
