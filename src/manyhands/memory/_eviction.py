"""Which entries go. Pure: reads no clock, opens nothing.

An entry is worth what it takes to compute again for each byte that it takes up, times how often it has been used, over how long it
has not been. That is hyperbolic caching, with a cost: an entry that is used again and again stays, and one that nobody asks for sinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyhands.memory._index import EntryInfo

# So that less is evicted seldom, not a little with each write. A guess.
KEPT = 0.9

_BLOCK = 4096  # what a small file takes, with its name
_OVERHEAD = 1e-4  # seconds that no entry is below: of the call, and of the write. A guess.
_GRACE = 60.0  # seconds in which an entry is as good as new. A guess.


class Evicted(NamedTuple):
    """What has been removed: entries, and the bytes that they took up."""

    entries: int
    bytes: int


def worth(entry: EntryInfo, now: float) -> float:
    """How much is lost with it, for each byte that is won."""
    size = entry.size + entry.large + _BLOCK
    idle = max(now - entry.used, 0.0) + _GRACE
    return (entry.seconds + _OVERHEAD) * (1 + entry.uses) / (size * idle)


def victims(
    entries: Iterable[EntryInfo],
    *,
    now: float,
    stored: int = 0,
    bytes_limit: int | None = None,
    items_limit: int | None = None,
    age_limit: float | None = None,
) -> list[EntryInfo]:
    """Those that go, the first to go first.

    Args:
        entries: all that there are.
        now: seconds since the epoch.
        stored: bytes on disk.
        bytes_limit: at most so many are to stay.
        items_limit: at most so many entries.
        age_limit: none that has not been used for so many seconds.
    """
    chosen: list[EntryInfo] = []
    left = list(entries)
    if age_limit is not None:
        chosen = [entry for entry in left if now - entry.used > age_limit]
        left = [entry for entry in left if now - entry.used <= age_limit]
        stored -= sum(entry.size + entry.large for entry in chosen)
    too_many = 0 if items_limit is None else len(left) - items_limit
    if too_many <= 0 and (bytes_limit is None or stored <= bytes_limit):
        return chosen
    left.sort(key=lambda entry: worth(entry, now))
    for entry in left:
        if too_many <= 0 and (bytes_limit is None or stored <= bytes_limit):
            break
        chosen.append(entry)
        too_many -= 1
        stored -= entry.size + entry.large
    return chosen
