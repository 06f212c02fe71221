"""Where the time of a process has gone, by whole stacks. Pure."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 8192
_WINDOW = 16


class Stacks:
    """Stacks in the order in which they were seen, each with the nanoseconds that it was seen for; equal neighbours are one.

    When there are too many, equal ones that are near one another are put together, near meaning farther and farther: all time is kept,
    and of their order as much as there is room for.
    """

    def __init__(self) -> None:
        self._stacks, self._lasted = array("Q"), array("Q")
        self._window = _WINDOW

    def __len__(self) -> int:
        return len(self._stacks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._stacks, self._lasted, strict=True)

    def add(self, stack: int, lasted: int) -> None:
        """A thread was there for so many nanoseconds."""
        if self._stacks and self._stacks[-1] == stack:
            self._lasted[-1] += lasted
            return
        self._stacks.append(stack)
        self._lasted.append(lasted)
        if len(self) > MOST:
            self._fold()

    def _fold(self) -> None:
        while len(self) > MOST // 2 and self._window <= MOST:
            kept = list(self)
            self._stacks, self._lasted = array("Q"), array("Q")
            for at in range(0, len(kept), self._window):
                self._put(_together(kept[at : at + self._window]))
            self._window *= 2
        self._window = min(self._window, MOST)
        if len(self) > MOST // 2:  # too many different ones: of the shorter half, only the time is kept
            kept = sorted(self, key=lambda item: item[1], reverse=True)
            self._stacks, self._lasted = array("Q"), array("Q")
            rest = sum(lasted for _, lasted in kept[MOST // 4 :])
            self._put(_together([*kept[: MOST // 4], (0, rest)]))

    def _put(self, times: dict[int, int]) -> None:
        self._stacks.extend(times)
        self._lasted.extend(times.values())


def _together(seen: list[tuple[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for stack, lasted in seen:
        found[stack] = found.get(stack, 0) + lasted
    return found
