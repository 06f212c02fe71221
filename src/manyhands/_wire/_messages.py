"""What workers say besides results, in one pipe for all workers of a pool: lines of text, log records, warnings.

::

    header (24 bytes) | payload

Any thread of a worker may write, and so may processes that a task has forked: what is no longer than ``PIPE_BUF`` (4096 bytes on Linux)
the kernel writes as a whole or not at all, so nothing is ever torn, and a writer that is killed spoils nothing. What is longer
goes in pieces, which the reader puts together again.
"""

from __future__ import annotations

import itertools
import os
import select
import struct

from manyhands._wire import _posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Bytes = bytes | bytearray | memoryview

# worker number, pid, kind, whether more pieces follow, bytes of the payload, number of the message, ordinal of the task that runs
_HEADER = struct.Struct("<IIBBHIQ")
_ROOM = min(getattr(select, "PIPE_BUF", 512), 4096) - _HEADER.size
_CHUNK = 1 << 16

# The first two are the numbers of the descriptors, too.
OUT = 1  # a text for standard output (UTF-8)
ERR = 2  # the same for standard error
LOG = 3  # a log record (marshal)
WARNING = 4  # a warning (marshal)


class Message:
    """One of them. ``ordinal`` is the task that the worker had started last when it said so."""

    __slots__ = ("kind", "ordinal", "payload", "pid", "worker")

    def __init__(self, worker: int, pid: int, kind: int, ordinal: int, payload: bytes) -> None:
        self.worker = worker
        self.pid = pid
        self.kind = kind
        self.ordinal = ordinal
        self.payload = payload


class Writer:
    """The worker's end; ``worker`` is its number. Any thread may use it."""

    def __init__(self, fd: int, worker: int) -> None:
        self._fd = fd
        self._worker = worker
        self._numbers = itertools.count(1)

    def write(self, kind: int, payload: bytes, ordinal: int) -> None:
        """Send one message; waits while the pipe is full.

        Raises:
            OSError: nobody reads any more, or somebody has closed it here.
        """
        number, pid = next(self._numbers) & 0xFFFFFFFF, os.getpid()
        for start in range(0, len(payload) or 1, _ROOM):
            piece = payload[start : start + _ROOM]
            more = start + _ROOM < len(payload)
            os.write(self._fd, _HEADER.pack(self._worker, pid, kind, more, len(piece), number, ordinal) + piece)


class Pipe:
    """The parent's end, and the end that it gives to each worker."""

    def __init__(self) -> None:
        self.fd, self.theirs = os.pipe()  # neither is inherited by programs that are started
        os.set_blocking(self.fd, False)
        self._rest = b""
        self._begun: dict[tuple[int, int], list[bytes]] = {}  # by pid and number of the message

    def read(self) -> Iterator[Message]:
        """What has been said since. Never waits."""
        while self.fd >= 0:
            try:
                data = os.read(self.fd, _CHUNK)
            except BlockingIOError:
                return
            yield from self._messages(self._rest + data)
            if len(data) < _CHUNK:
                return

    def _messages(self, data: bytes) -> Iterator[Message]:
        position = 0
        while len(data) - position >= _HEADER.size:
            worker, pid, kind, more, length, number, ordinal = _HEADER.unpack_from(data, position)
            end = position + _HEADER.size + length
            if end > len(data):
                break
            piece, position = data[position + _HEADER.size : end], end
            self._rest = data[position:]
            begun = self._begun.pop((pid, number), None)
            if more:
                self._begun[pid, number] = [*(begun or ()), piece]
            else:
                yield Message(worker, pid, kind, ordinal, b"".join((*begun, piece)) if begun else piece)
        self._rest = data[position:]

    def forget(self, pid: int) -> None:
        """A process has ended: what it began to say has no end."""
        for key in [key for key in self._begun if key[0] == pid]:
            del self._begun[key]

    def close(self) -> None:
        """Give both ends back."""
        fds, self.fd, self.theirs = (self.fd, self.theirs), -1, -1
        _posix.close_quietly(fds)
