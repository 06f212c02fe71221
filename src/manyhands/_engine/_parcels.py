"""What one task brings, or gives: a pickle and large buffers, and where they lie.

Buffers below :data:`SHARED` go over the socket; larger ones, and larger pickles, lie in a segment whose descriptor goes there.
"""

from __future__ import annotations

import errno
import marshal
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from manyhands._wire._channel import Channel
    from manyhands._wire._frames import Bytes, Frame
    from manyhands._wire._segments import Lease
    from manyhands._wire._shared import SharedMemory

# Bytes from which on a buffer goes through a segment. Measured: see ARCHITECTURE.md.
SHARED = 1 << 18

# Segments in one message: what the channel takes together.
MOST = 64


class Placed:
    """A piece of a segment, or a memory that all processes write to; or a descriptor, whose content is of no use.

    Attributes:
        was_sent: another message has brought it.
    """

    __slots__ = ("lease", "length", "offset", "was_sent")

    def __init__(self, lease: Lease | SharedMemory, offset: int, length: int) -> None:
        self.lease = lease
        self.offset = offset
        self.length = length
        self.was_sent = False

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        return self.lease.read(self.offset, self.length)


class Message(NamedTuple):
    """A frame that brings descriptors; ``leases``, by number, must be kept until the receiver is done with each."""

    pieces: list[Bytes]
    fds: list[int]
    leases: dict[int, Lease | SharedMemory]


class Lent:
    """The segments that the other side may still see, by number: they are not used for anything else meanwhile."""

    __slots__ = ("_leases",)

    def __init__(self) -> None:
        self._leases: dict[int, Lease | SharedMemory] = {}

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
    """A frame for what :func:`place` has made. What lies in segments is named in a table: which descriptor, where, how long.

    And which of the descriptors are of memory that both sides write to, and which of no memory at all.
    """
    from manyhands._wire import _segments  # noqa: PLC0415 - only where something large is sent

    leases: list[Lease | SharedMemory] = []
    table: list[tuple[int, int, int] | None] = []
    inline: list[Bytes] = []
    seen: set[tuple[Lease | SharedMemory, int]] = set()
    for piece in (payload, *buffers):
        if not isinstance(piece, Placed):
            table.append(None)
            inline.append(piece)
            continue
        where = piece.lease, piece.offset
        if piece.lease not in leases or (where in seen and not piece.lease.is_shared_memory):  # two arrays, not two views of one
            leases.append(piece.lease)
        seen.add(where)
        table.append((len(leases) - 1 - leases[::-1].index(piece.lease), piece.offset, piece.length))
    first = next(_segments.numbers) * MOST
    head["flags"] = head.get("flags", 0) | _frames.PLACED
    shared = [index for index, lease in enumerate(leases) if lease.is_shared_memory]
    handed = [index for index, lease in enumerate(leases) if hasattr(lease, "is_descriptor")]
    pieces = _frames.pack(kind, marshal.dumps((first, shared, handed, table)), inline, fds=len(leases), **head)
    return Message(pieces, [lease.fd for lease in leases], dict(enumerate(leases, first)))


def queue(channel: Channel, lent: Lent, kind: int, payload: Bytes | Placed, buffers: Sequence[Bytes | Placed], **head: int) -> None:
    """Queue a frame, some of which may lie in segments."""
    if is_placed(payload, buffers):
        lent.send(pack(kind, payload, buffers, **head), channel)
    else:
        channel.queue(_frames.pack(kind, payload, buffers, **head))  # type: ignore[arg-type]


def unpack(frame: Frame, close: Callable[[Sequence[int]], object], take: Callable[[int, int], Any]) -> list[tuple[int, bool]]:
    """Put the payload and buffers of a frame in their places. ``take(descriptor, number)`` shows all of a segment.

    Returns what can be told gone at once, for :func:`pack_gone`: what is never used for anything else.

    Raises:
        OSError: no memory or no descriptor was left for one of them.
    """
    first, shared, handed, table = marshal.loads(frame.payload)
    try:
        if len(frame.fds) < frame.n_fds:
            raise OSError(errno.EMFILE, "no file descriptor was left to receive a large argument or result (ulimit -n)")
        ours = dict.fromkeys(shared, _shared_view) | dict.fromkeys(handed, _handed_view)
        shown = [ours[index](fd) if index in ours else take(fd, first + index) for index, fd in enumerate(frame.fds)]
    finally:
        close(frame.fds)
        frame.fds = ()
    inline = iter(frame.buffers)
    pieces: list[Any] = [next(inline) if entry is None else shown[entry[0]][entry[1] : entry[1] + entry[2]] for entry in table]
    frame.payload, frame.buffers = pieces[0], pieces[1:]
    return [(first + index, False) for index in ours]


def unpack_originals(frame: Frame, close: Callable[[Sequence[int]], object]) -> list[tuple[int, bool]]:
    """The same for what is kept, and used many times: see :func:`fresh`."""
    from manyhands._wire import _segments  # noqa: PLC0415 - only where something large has come

    numbers: list[tuple[int, bool]] = []

    def take(fd: int, number: int) -> _segments.Original:
        original = _segments.Original(fd)
        numbers.append((number, False))
        return original

    return unpack(frame, close, take) + numbers


def fresh(piece: Any) -> Any:
    """What can be given to a task: a copy of its own, which costs nothing until it is written to where the piece lies in a segment."""
    if hasattr(piece, "view"):
        return piece.view()
    return piece if is_shared(piece) else bytearray(piece)


def is_of_shared(piece: Any) -> bool:
    """The same of a piece of a message."""
    return type(piece) is Placed and piece.lease.is_shared_memory


def spared(pieces: Iterable[Any]) -> int:
    """How many bytes of what is sent now need not be moved for it: they lie where they have been sent from before, or all write to them."""
    found = 0
    for piece in pieces:
        if type(piece) is Placed:
            if piece.was_sent or piece.lease.is_shared_memory:
                found += piece.length
            piece.was_sent = True
    return found


def whole_memory(view: memoryview) -> Placed:
    """Shared memory, or a descriptor, as a piece of a message."""
    return Placed(view.obj, 0, len(view))  # type: ignore[arg-type] # is_shared() says what it is


def whole(piece: Any) -> Bytes:
    """A payload to be read."""
    return piece.view() if hasattr(piece, "view") else piece  # type: ignore[no-any-return]


def _shared_view(fd: int) -> memoryview:
    from manyhands._wire import _shared  # noqa: PLC0415 - most programs share nothing

    return memoryview(_shared.received(fd))


def _handed_view(fd: int) -> memoryview:
    from manyhands._codec import _handed  # noqa: PLC0415 - hardly any program sends sockets

    return memoryview(_handed.received(fd))


def is_shared(piece: Any) -> bool:
    """Whether a buffer shows memory that all processes write to, or stands for a descriptor: it goes as it is, not as a copy."""
    return hasattr(getattr(piece, "obj", None), "is_shared_memory")


def pack_gone(told: list[tuple[int, bool]]) -> list[Bytes]:
    """The frame that tells of segments that nobody sees any more."""
    return _frames.pack(_frames.GONE, marshal.dumps(told))
