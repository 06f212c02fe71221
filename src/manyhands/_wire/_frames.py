"""The frame: one message between two processes.

::

    header (44 bytes) | length of each buffer (8 bytes each) | payload | buffers

The header is the same for every kind of frame, so that one ``struct`` call reads it. ``payload`` is what the codec made; ``buffers``
are the large pieces that it left out of band; descriptors travel beside the bytes (SCM_RIGHTS) and are counted in the header.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Bytes = bytes | bytearray | memoryview

# length of the whole frame, kind, flags, descriptors, buffers, count, ordinal, a, b
HEADER = struct.Struct("<QBBHIIQqq")
HEADER_SIZE = HEADER.size
_LENGTH = struct.Struct("<Q")

# Frames above this size are read straight into memory of their own, which their buffers then share.
LARGE = 65536

# ---- parent to worker
SURROUNDINGS = 1  # payload: what has changed around the program (marshal); the first one brings the pipe for what is said
FUNCTION = 2  # a: function id; payload: the function
RUN = 3  # count tasks of function a from ordinal on, under epoch b; flags: see below
STOP = 4  # finish what has started and leave
FORGET = 5  # a: id of a function that will not be used again
TAG = 8  # payload: name of the function; count tasks from ordinal a on, from index b on, are to be named before their lines
GIVEN = 6  # the answer to WANT; payload: what was asked for, or with flags FAILURE why it cannot be had
INHERITANCE = 7  # what a worker gets before all else; payload: a table; descriptors: what it refers to

# ---- worker to parent
DONE = 16  # results of count tasks from ordinal on; a: when the first started (ns); b: nanoseconds for all of them
FAILED = 17  # task ordinal raised; a, b as above; payload: the failure
SKIPPED = 18  # task ordinal was taken back and has not run
WANT = 20  # payload: what the worker has not, and has to have before it goes on (marshal)
LEAVING = 19  # a: why the worker goes, one of the LEAVES_* below; payload: the failure, if any
FAREWELL = 21  # the last word of a worker that leaves; payload: what its exit function returned, or with flags FAILURE why it did not

# ---- parent to zygote and back
FORK = 32  # a: worker id; descriptors: channel, slot; payload: settings of the worker
ATTACH = 33  # descriptor: a new control connection
REAP = 34  # a: pid whose exit has been noted
PRELOAD = 35  # payload: names of modules
FORKED = 36  # a: worker id, b: pid
FORK_FAILED = 37  # a: worker id, b: errno; payload: text
EXITED = 38  # a: worker id, b: exit status

# ---- both ways
GONE = 48  # payload: (number, spoiled) of segments that came and that nobody sees any more (marshal)

# ---- flags of RUN and DONE
ONE_PICKLE = 1  # payload is one pickle of a list; without it: a table of lengths, then a pickle for each task
STAR = 2  # arguments are tuples of positional arguments, not single values
KEYWORDS = 4  # arguments are pairs (args, kwargs)
PLACED = 32  # payload: where the payload proper and each buffer lie (marshal): in a segment, or behind it
FAILURE = 16  # of GIVEN and FAREWELL
QUICK = 8  # the tasks are so short that looking at the clock for each would cost more than they do

_KINDS = frozenset({SURROUNDINGS, FUNCTION, RUN, STOP, FORGET, DONE, FAILED, SKIPPED, LEAVING, FORK, ATTACH, REAP, PRELOAD})
_KINDS |= {TAG, FAREWELL, INHERITANCE, FORKED, FORK_FAILED, EXITED, GIVEN, WANT, GONE}
_LARGEST = 1 << 46  # bytes of one frame; no machine has more memory

LEAVES_IDLE = 1
LEAVES_SPENT = 2  # it has run as many tasks as it may
LEAVES_MEMORY = 3  # it has hit its memory limit
LEAVES_SETUP = 4  # its initializer raised
LEAVES_TOO_LARGE = 5  # a message is larger than its memory limit


class Frame:
    """One message that has arrived."""

    __slots__ = ("a", "b", "buffers", "count", "fds", "flags", "kind", "n_fds", "ordinal", "payload")

    def __init__(
        self,
        kind: int,
        flags: int,
        count: int,
        ordinal: int,
        a: int,
        b: int,
        payload: Bytes,
        buffers: Sequence[memoryview] = (),
        n_fds: int = 0,
    ) -> None:
        self.kind: int = kind
        self.flags: int = flags
        self.count: int = count
        self.ordinal: int = ordinal
        self.a: int = a
        self.b: int = b
        self.payload: Bytes = payload
        self.buffers: Sequence[memoryview] = buffers
        self.n_fds: int = n_fds
        self.fds: Sequence[int] = ()  # the channel fills it in

    def __repr__(self) -> str:
        return (
            f"<Frame kind={self.kind} flags={self.flags} count={self.count} ordinal={self.ordinal} a={self.a} b={self.b} "
            f"{len(self.payload)} bytes>"
        )


def pack(
    kind: int,
    payload: Bytes = b"",
    buffers: Sequence[Bytes] = (),
    *,
    flags: int = 0,
    count: int = 0,
    ordinal: int = 0,
    a: int = 0,
    b: int = 0,
    fds: int = 0,
) -> list[Bytes]:
    """The pieces of a frame, to be sent one after the other; a small frame is one piece."""
    if not buffers and len(payload) < LARGE:
        head = HEADER.pack(HEADER_SIZE + len(payload), kind, flags, fds, 0, count, ordinal, a, b)
        return [head + payload]
    lengths = [len(buffer) for buffer in buffers]
    total = HEADER_SIZE + 8 * len(lengths) + len(payload) + sum(lengths)
    head = HEADER.pack(total, kind, flags, fds, len(lengths), count, ordinal, a, b)
    return [head + b"".join(map(_LENGTH.pack, lengths)), payload, *buffers]


class Garbled(Exception):
    """What has arrived is no frame: somebody else has written to the socket."""


class FrameReader:
    """Cuts a stream of bytes into frames.

    Small frames come through :meth:`feed`. When the head of a large frame has been seen, :attr:`room` is the
    memory into which the rest has to be read, so that large buffers are not copied again.
    """

    __slots__ = ("_body", "_filled", "_head", "_pending", "room")

    def __init__(self) -> None:
        self._pending: bytes = b""
        self._head: tuple[int, ...] = ()
        self._body = bytearray()
        self._filled = 0
        self.room: memoryview | None = None

    @property
    def partial(self) -> bool:
        """Whether a frame has arrived in part."""
        return bool(self._pending) or self.room is not None

    def feed(self, data: bytes, frames: list[Frame]) -> None:
        """Take bytes as they came and append the frames that are complete.

        Raises:
            Garbled: they are no frames.
        """
        if self._pending:
            data = self._pending + data
        position, end = 0, len(data)
        while end - position >= HEADER_SIZE:
            head = HEADER.unpack_from(data, position)
            length = head[0]
            if not HEADER_SIZE <= length < _LARGEST or head[1] not in _KINDS:
                raise Garbled
            if end - position < length:
                if length >= LARGE:
                    self._open(head, data[position + HEADER_SIZE :])
                    position = end
                break
            if head[4] or length >= LARGE:
                body = bytearray(memoryview(data)[position + HEADER_SIZE : position + length])
                frames.append(_assemble(head, body))
            else:
                _, kind, flags, n_fds, _, count, ordinal, a, b = head
                payload = data[position + HEADER_SIZE : position + length]
                frames.append(Frame(kind, flags, count, ordinal, a, b, payload, (), n_fds))
            position += length
        self._pending = data[position:]

    def filled(self, count: int, frames: list[Frame]) -> None:
        """``count`` bytes have been read into :attr:`room`."""
        self._filled += count
        if self._filled < len(self._body):
            self.room = memoryview(self._body)[self._filled :]
            return
        frames.append(_assemble(self._head, self._body))
        self.room = None
        self._body = bytearray()

    def _open(self, head: tuple[int, ...], start: bytes) -> None:
        self._head = head
        self._body = bytearray(head[0] - HEADER_SIZE)
        self._body[: len(start)] = start
        self._filled = len(start)
        self.room = memoryview(self._body)[self._filled :]


def _assemble(head: tuple[int, ...], body: bytearray) -> Frame:
    length, kind, flags, n_fds, n_buffers, count, ordinal, a, b = head
    view = memoryview(body)
    lengths = [_LENGTH.unpack_from(body, 8 * i)[0] for i in range(n_buffers)]
    start = 8 * n_buffers
    stop = length - HEADER_SIZE - sum(lengths)
    buffers = []
    position = stop
    for size in lengths:
        buffers.append(view[position : position + size])
        position += size
    return Frame(kind, flags, count, ordinal, a, b, view[start:stop], buffers, n_fds)
