"""What a worker has done and not sent yet."""

from __future__ import annotations

import time

from manyhands._codec import _packing, _passing, _pickling
from manyhands._wire import _frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from manyhands._codec._pickling import Bytes
    from manyhands._engine._worker import Worker

# Bytes of a pickle from which on it goes alone.
_LARGE = 1 << 18


class Reply:
    """Results that have not been sent yet, all of consecutive tasks.

    ``values`` are atoms, which go into one pickle. As soon as one result is none, all are pickled one by one, each when its task
    returns: it is a snapshot, and a crash in there is that task's.
    """

    __slots__ = ("_first", "_pickles", "_worker", "since", "values")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._first = 0
        self._pickles: list[Bytes] = []
        self.values: list[object] = []
        self.since = 0

    def add(self, value: object, clock: Callable[[], int]) -> None:
        """Take a result that is not an atom."""
        payload, views = _pickling.encode_views(value, None, _pickling.HOME, is_result=True)
        if _passing.seen[0]:
            _passing.done()
        if views or len(payload) >= _LARGE:
            self._send_large(payload, views, clock)
            return
        self._pickle_atoms()
        self._pickles.append(payload)

    def _pickle_atoms(self) -> None:
        if self.values:
            pickles = list(map(_packing.pickle_atoms, self.values))  # all or none
            self._pickles += pickles
            self.values.clear()

    def _send_large(self, payload: bytes, views: Sequence[memoryview], clock: Callable[[], int]) -> None:
        from manyhands._engine import _depot, _parcels  # noqa: PLC0415 - only where a result is large

        placed = _depot.place(payload, views, self._worker.luggage.segments)
        if _passing.unsettled:
            self._worker.settle()
        now = clock()
        self.send(now)
        head: dict[str, Any] = {"count": 1, "ordinal": self._first, "a": self.since, "b": now - self.since}
        if _parcels.is_placed(*placed):
            self._worker.luggage.lend(_parcels.pack(_frames.DONE, *placed, **head))
        else:
            self._worker.send(_frames.pack(_frames.DONE, payload, placed[1], **head))  # type: ignore[arg-type]
        self.restart(self._first + 1, now)

    def send(self, now: int) -> None:
        """Send what there is; ``now`` is when the last of it was ready."""
        if self._pickles:
            self._pickle_atoms()
            count, flags, payload = len(self._pickles), 0, _packing.join_pickles(self._pickles)
        elif self.values:
            count, flags, payload = len(self.values), _frames.ONE_PICKLE, _packing.join_atoms(self.values)
        else:
            return
        out = self._worker.out
        if _passing.unsettled:
            self._worker.settle()
        if self._worker.unsaid:
            self._worker.finish_lines()
        if self._worker.borrows:
            self._worker.luggage.tell_gone()
        pieces = _frames.pack(_frames.DONE, payload, flags=flags, count=count, ordinal=self._first, a=self.since, b=now - self.since)
        # An alarm that a task has set may strike, and break this off: nothing may be lost, or sent twice. Handlers of signals run after
        # calls and at jumps, so from here to the flush there is none of these.
        out += pieces
        self._first += count
        self.since = now
        del self._pickles[:], self.values[:]
        self._worker.flush()

    def begin_now(self) -> None:
        """What has taken time until now is none of the task's."""
        self.since = time.monotonic_ns()

    def restart(self, first: int, now: int) -> None:
        """Begin anew with the results of task ``first``."""
        self._first = first
        self._pickles.clear()
        self.values.clear()
        self.since = now
