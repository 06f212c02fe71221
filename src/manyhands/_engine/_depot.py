"""Where what is large is put: into segments, and what is in one already is not put there again. Loaded when something large is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands._engine._parcels import MOST, SHARED, Placed
from manyhands._engine._store import Store
from manyhands._wire import _segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._wire._frames import Bytes
    from manyhands._wire._segments import Segments


class Depot:
    """Where large arguments of one pool are put: segments, and what is in them already. For any thread."""

    def __init__(self) -> None:
        self.segments = _segments.Segments()
        self.store = Store(_segments.kept_bytes())

    def place(self, payload: Bytes, views: Sequence[memoryview], call: object) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
        """Pickle and buffers of one task, copied: into segments what is large. ``call``: see :meth:`Store.find`.

        Each array has a segment of its own, so that others can use it as well; there are not more than a message may bring.
        """
        known: dict[int, Placed] = {}
        for index, view in enumerate(views):
            if len(view) >= SHARED and len(known) < MOST - 1:
                placed = self._alone(view, call)
                if placed is not None:
                    known[index] = placed
        rest = [view for index, view in enumerate(views) if index not in known]
        placed_payload, placed_rest = place(payload, rest, self.segments)
        others = iter(placed_rest)
        return placed_payload, [known[index] if index in known else next(others) for index in range(len(views))]

    def _alone(self, view: memoryview, call: object) -> Placed | None:
        placed, digest = self.store.find(view, call)
        if placed is None:
            leased = self.segments.lease([view])
            if leased is None:
                return None
            placed = Placed(leased[0], 0, len(view))
            self.store.keep(view, placed, call, digest)
        return placed

    def close(self) -> None:
        """Let all go that no worker sees."""
        self.store.clear()
        self.segments.close()


def place(payload: Bytes, views: Sequence[memoryview], segments: Segments) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
    """The same, copied: into one segment what is large, if there is one."""
    large: list[Bytes] = [piece for piece in (payload, *views) if len(piece) >= SHARED]
    leased = segments.lease(large) if large else None
    if leased is None:
        return payload, [bytes(view) for view in views]
    lease, offsets = leased
    at = iter(offsets)

    def put(piece: Bytes, keep: Callable[[Bytes], Bytes]) -> Bytes | Placed:
        return Placed(lease, next(at), len(piece)) if len(piece) >= SHARED else keep(piece)

    return put(payload, lambda piece: piece), [put(view, bytes) for view in views]
