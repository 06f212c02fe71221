"""Where what is large is put: into segments, and what is in one already is not put there again. Loaded when something large is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _sealed
from manyhands._engine._parcels import MOST, SHARED, Placed, is_shared, whole_memory
from manyhands._engine._store import Store
from manyhands._wire import _segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._wire._frames import Bytes
    from manyhands._wire._segments import Segments


class Depot:
    """Where large arguments of one pool are put: segments, and what is in them already. For any thread."""

    def __init__(self) -> None:
        self.segments = _segments.Segments()
        self.store = Store(_segments.kept_bytes())

    def place(
        self, payload: Bytes, views: Sequence[memoryview], call: object, again: tuple[bytes, Placed] | None = None
    ) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
        """Pickle and buffers of one task, copied: into segments what is large. ``call``: see :meth:`Store.find`.

        ``again``: a buffer that has been placed already, and where.

        Each array has a segment of its own, so that others can use it as well; there are not more than a message may bring.
        """
        known = _shared(views)
        for index, view in enumerate(views):
            if again is not None and view.obj is again[0]:
                known[index] = again[1]
            elif len(view) >= SHARED and len(known) < MOST - 1 and index not in known:
                placed = self._alone(view, call)
                if placed is not None:
                    known[index] = placed
        rest = [view for index, view in enumerate(views) if index not in known]
        placed_payload, placed_rest = place(payload, rest, self.segments)
        others = iter(placed_rest)
        return placed_payload, [known[index] if index in known else next(others) for index in range(len(views))]

    def place_payload(self, payload: bytes) -> Placed | None:
        """A pickle that many messages will have in common; None: there is no segment for it."""
        leased = self.segments.lease([payload])
        return None if leased is None else Placed(leased[0], 0, len(payload))

    def place_apart(self, payload: Bytes, views: Sequence[memoryview]) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
        """Pickle and buffers of a function, which workers keep, and map for each task: in segments of their own that are not used again."""
        shared = _shared(views)
        room = MOST - len({id(placed.lease) for placed in shared.values()})
        pieces: list[Bytes | Placed] = []
        for index, piece in enumerate((payload, *views), -1):
            if index in shared:
                pieces.append(shared[index])
                continue
            leased = self.segments.lease([piece]) if len(piece) >= SHARED and room else None
            if leased is None:
                pieces.append(bytes(piece))
                continue
            room -= 1
            leased[0].spoiled = True
            pieces.append(Placed(leased[0], 0, len(piece)))
        return pieces[0], pieces[1:]

    def _alone(self, view: memoryview, call: object) -> Placed | None:
        placed = self.store.find(view, call)
        if placed is None:
            sealed = _sealed.seal(view.obj)
            leased = self.segments.lease([view])
            if leased is None:
                return None
            placed = Placed(leased[0], 0, len(view))
            self.store.keep(view, placed, call, sealed=sealed)
        return placed

    def close(self) -> None:
        """Let all go that no worker sees."""
        self.store.clear()
        self.segments.close()


def place(payload: Bytes, views: Sequence[memoryview], segments: Segments) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
    """The same, copied: into one segment what is large, if there is one."""
    shared = _shared(views)
    pieces = dict(enumerate((payload, *views), -1))
    large = [index for index, piece in pieces.items() if len(piece) >= SHARED and index not in shared]
    leased = segments.lease([pieces[index] for index in large]) if large else None
    placed = dict(shared)
    if leased is not None:
        lease, offsets = leased
        placed |= {index: Placed(lease, at, len(pieces[index])) for index, at in zip(large, offsets, strict=True)}
    return placed.get(-1, payload), [placed[index] if index in placed else bytes(view) for index, view in enumerate(views)]


def _shared(views: Sequence[memoryview]) -> dict[int, Placed]:
    """Those that show memory which all processes write to, or stand for a descriptor.

    Raises:
        NotSerializable: there are too many.
    """
    found = {index: whole_memory(view) for index, view in enumerate(views) if is_shared(view)}
    if len({id(placed.lease) for placed in found.values()}) >= MOST:
        why = f"at most {MOST - 1} shared arrays and sockets can travel together"
        mend = "make one shared array of them, with one more dimension; or give each task fewer"
        raise errors.NotSerializable("", [errors.Part(f"{len(found)} arrays or sockets in one task", "SharedArray, socket", why, mend)])
    return found
