"""Large pieces of a worker's messages: what lies in segments of the parent's, and what it puts in segments of its own.

Loaded where something large is sent or has come; most workers never do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands._engine import _parcels
from manyhands._wire import _posix
from manyhands._wire._loans import Loans
from manyhands._wire._segments import Segments

if TYPE_CHECKING:
    from manyhands._engine._parcels import Message
    from manyhands._engine._worker import Worker
    from manyhands._wire._frames import Frame


class Luggage:
    """Of one worker; for its main thread."""

    __slots__ = ("_lent", "_loans", "_worker", "segments")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._loans = Loans()
        self._lent = _parcels.Lent()
        self.segments = Segments()  # where large results are put

    def unpack(self, frame: Frame) -> list[tuple[int, bool]]:
        """Put the arguments of a task in their places; returns what can be told gone at once, for :meth:`put_away`.

        Raises:
            OSError: there is no room for them.
        """
        told = _parcels.unpack(frame, _posix.close_quietly, self._loans.take)
        self._loans.unpacked(frame.buffers)
        return told

    def put_away(self, frame: Frame, told: list[tuple[int, bool]]) -> None:
        """The task has ended: segments that it has not kept anything of can be used again."""
        self._loans.release_views()
        frame.payload, frame.buffers = b"", ()
        told += self._loans.returned()
        if told:
            self._worker.send(_parcels.pack_gone(told))
        self._loans.settle()

    def tell_gone(self) -> None:
        """With the reply that comes: which segments of its task nobody sees any more."""
        self._loans.release_views()
        told = list(self._loans.returned())
        if told:
            self._worker.out += _parcels.pack_gone(told)

    def with_originals(self, frame: Frame) -> Frame:
        """Put what is kept, to be used many times, in its place.

        Raises:
            OSError: there is no room for it.
        """
        told = _parcels.unpack_originals(frame, _posix.close_quietly)
        frame.payload = _parcels.whole(frame.payload)
        self._worker.out += _parcels.pack_gone(told)  # goes with the next reply
        return frame

    def take_back(self, frame: Frame) -> None:
        """The parent does not see some results any more."""
        self._lent.take_back(frame)

    def lend(self, message: Message) -> None:
        """Send a message with segments."""
        self._lent.send(message, self._worker.channel)
        self._worker.flush()
