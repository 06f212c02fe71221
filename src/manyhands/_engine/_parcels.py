"""What one task brings, or gives: a pickle and large buffers, and where they lie.

Buffers below :data:`SHARED` go over the socket; larger ones, and larger pickles, lie in a segment whose descriptor goes there.
"""

from __future__ import annotations

import errno
import marshal
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._wire._channel import Channel
    from manyhands._wire._frames import Bytes, Frame
    from manyhands._wire._segments import Lease

# Bytes from which on a buffer goes through a segment. Measured: see ARCHITECTURE.md.
SHARED = 1 << 18

# Segments in one message: what the kernel and the channel take together.
MOST = 16


class Placed:
    """A piece of a segment."""

    __slots__ = ("lease", "length", "offset")

    def __init__(self, lease: Lease, offset: int, length: int) -> None:
        self.lease = lease
        self.offset = offset
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        return self.lease.read(self.offset, self.length)


class Message(NamedTuple):
    """A frame that brings descriptors; ``leases``, by number, must be kept until the receiver is done with each."""

    pieces: list[Bytes]
    fds: list[int]
    leases: dict[int, Lease]


class Lent:
    """The segments that the other side may still see, by number: they are not used for anything else meanwhile."""

    __slots__ = ("_leases",)

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}

    def send(self, message: Message, channel: Channel) -> None:
        """Queue a message with segments."""
        self._leases.update(message.leases)
        channel.queue(message.pieces, message.fds)

    def take_back(self, gone: Frame) -> None:
        """The other side does not see some any more. What a child of its may see is not used again."""
        for number, spoiled in marshal.loads(gone.payload):
            lease = self._leases.pop(number, None)
            if lease is not None and spoiled:
                lease.spoiled = True

    def clear(self) -> None:
        """The other side has ended."""
        self._leases.clear()


def is_placed(payload: Any, buffers: Sequence[Any]) -> bool:
    """Whether any of it lies in a segment."""
    return type(payload) is Placed or any(type(buffer) is Placed for buffer in buffers)


def fetched(payload: Any, buffers: Sequence[Any]) -> tuple[Bytes, list[Bytes]]:
    """Copies of what lies in segments, for messages."""
    return bytes(payload) if type(payload) is Placed else payload, [bytes(buffer) for buffer in buffers]


def pack(kind: int, payload: Bytes | Placed, buffers: Sequence[Bytes | Placed], **head: int) -> Message:
    """A frame for what :func:`place` has made. What lies in segments is named in a table: which descriptor, where, how long."""
    from manyhands._wire import _segments  # noqa: PLC0415 - only where something large is sent

    leases: list[Lease] = []
    table: list[tuple[int, int, int] | None] = []
    inline: list[Bytes] = []
    for piece in (payload, *buffers):
        if not isinstance(piece, Placed):
            table.append(None)
            inline.append(piece)
            continue
        if piece.lease not in leases:
            leases.append(piece.lease)
        table.append((leases.index(piece.lease), piece.offset, piece.length))
    first = next(_segments.numbers) * MOST
    head["flags"] = head.get("flags", 0) | _frames.PLACED
    pieces = _frames.pack(kind, marshal.dumps((first, table)), inline, fds=len(leases), **head)
    return Message(pieces, [lease.fd for lease in leases], dict(enumerate(leases, first)))


def unpack(frame: Frame, close: Callable[[Sequence[int]], object], take: Callable[[int, int], memoryview]) -> None:
    """Put the payload and buffers of a frame in their places. ``take(descriptor, number)`` shows all of a segment.

    Raises:
        OSError: no memory or no descriptor was left for one of them.
    """
    first, table = marshal.loads(frame.payload)
    try:
        if len(frame.fds) < frame.n_fds:
            raise OSError(errno.EMFILE, "no file descriptor was left to receive a large argument or result (ulimit -n)")
        shown = [take(fd, first + index) for index, fd in enumerate(frame.fds)]
    finally:
        close(frame.fds)
        frame.fds = ()
    inline = iter(frame.buffers)
    pieces: list[Any] = [next(inline) if entry is None else shown[entry[0]][entry[1] : entry[1] + entry[2]] for entry in table]
    frame.payload, frame.buffers = pieces[0], pieces[1:]


def pack_gone(told: list[tuple[int, bool]]) -> list[Bytes]:
    """The frame that tells of segments that nobody sees any more."""
    return _frames.pack(_frames.GONE, marshal.dumps(told))
