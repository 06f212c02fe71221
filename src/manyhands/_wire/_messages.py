"""What workers say besides results, in one pipe for all workers of a pool: text, log records, warnings.

::

    header (14 bytes) | payload

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

# pid, kind, whether more pieces follow, bytes of the payload, number of the message
_HEADER = struct.Struct("<IBBII")
_ROOM = min(getattr(select, "PIPE_BUF", 512), 4096) - _HEADER.size
# As much as a pipe holds: whoever has read so much has read all that had been written when he began.
_CAPACITY = 1 << 16
_MOST_BEGUN = 1000  # messages whose end has not come; those of processes that were killed have none

# The first two are the numbers of the descriptors, too.
OUT = 1  # text for standard output (UTF-8)
ERR = 2  # the same for standard error
LOG = 3  # a log record (marshal)
WARNING = 4  # a warning (marshal)
RAW_OUT = 5  # bytes for standard output
RAW_ERR = 6  # the same for standard error
WATCHED = 7  # the worker has had itself watched, and how (marshal)


class Message:
    """One of them."""

    __slots__ = ("kind", "payload", "pid")

    def __init__(self, pid: int, kind: int, payload: bytes) -> None:
        self.pid = pid
        self.kind = kind
        self.payload = payload


class Writer:
    """The worker's end. Any thread may use it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._numbers = itertools.count(1)

    def write(self, kind: int, payload: bytes) -> None:
        """Send one message; waits while the pipe is full.

        Raises:
            OSError: nobody reads any more, or somebody has closed it here.
        """
        number, pid = next(self._numbers) & 0xFFFFFFFF, os.getpid()
        if len(payload) <= _ROOM:  # nearly always
            os.write(self._fd, _HEADER.pack(pid, kind, 0, len(payload), number) + payload)
            return
        for start in range(0, len(payload), _ROOM):
            piece = payload[start : start + _ROOM]
            os.write(self._fd, _HEADER.pack(pid, kind, start + _ROOM < len(payload), len(piece), number) + piece)


class Pipe:
    """The parent's end, and the end that it gives to each worker."""

    def __init__(self) -> None:
        self.fd, self.theirs = os.pipe()  # neither is inherited by programs that are started
        os.set_blocking(self.fd, False)
        self._rest = b""
        self._begun: dict[tuple[int, int], list[bytes]] = {}  # by pid and number of the message

    def read(self) -> list[Message]:
        """All that had been said when this was called, and maybe more. Never waits."""
        if self.fd < 0:
            return []
        try:
            data = os.read(self.fd, _CAPACITY)
        except BlockingIOError:
            return []
        return list(self._messages(self._rest + data))

    def _messages(self, data: bytes) -> Iterator[Message]:
        position, size = 0, _HEADER.size
        while len(data) - position >= size:
            pid, kind, more, length, number = _HEADER.unpack_from(data, position)
            end = position + size + length
            if end > len(data):
                break
            piece, position = data[position + size : end], end
            if more:
                self._begin(pid, number, piece)
            else:
                begun = self._begun.pop((pid, number), None)
                yield Message(pid, kind, piece if begun is None else b"".join((*begun, piece)))
        self._rest = data[position:]

    def _begin(self, pid: int, number: int, piece: bytes) -> None:
        begun = self._begun.get((pid, number))
        if begun is None:
            begun = self._begun[pid, number] = []
            if len(self._begun) > _MOST_BEGUN:
                del self._begun[next(iter(self._begun))]
        begun.append(piece)

    def close(self) -> None:
        """Give both ends back."""
        fds, self.fd, self.theirs = (self.fd, self.theirs), -1, -1
        _posix.close_quietly(fds)
