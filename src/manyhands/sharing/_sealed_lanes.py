"""A lane to another machine: nobody in between can change, repeat, drop or reorder what goes over it.

A frame is its length (4 bytes), a seal (HMAC-SHA256 of direction, number of the frame, length and content, with a key that belongs to this
connection alone) and the content. What does not agree with its seal, or is longer than it may be, ends the connection. It can be read by
who listens in between: for secrecy there is TLS.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import TYPE_CHECKING

from manyhands import errors

if TYPE_CHECKING:
    import socket

    from manyhands.sharing._lanes import Bytes

_HEAD = struct.Struct("<I32s")
_NUMBERED = struct.Struct("<QI")
_STEP = 1 << 20
LIMIT = 64 << 20


class SealedLane:
    """Frames over a stream socket. ``sending`` and ``receiving``: the keys of both directions; ``limit``: bytes of a frame."""

    __slots__ = ("_limit", "_received", "_receiving", "_sending", "_sent", "socket")

    def __init__(self, connected: socket.socket, sending: bytes, receiving: bytes, limit: int = LIMIT) -> None:
        self.socket = connected
        self._sending = sending
        self._receiving = receiving
        self._sent = self._received = 0
        self._limit = min(limit, (1 << 32) - 1)

    def send(self, payload: Bytes) -> None:
        """Send a frame.

        Raises:
            ShareRefused: it is too long; nothing has been sent.
            OSError: nobody is there any more.
        """
        if len(payload) > self._limit:
            raise errors.ShareRefused(f"a message of {len(payload):,} bytes: at most {self._limit:,} go between machines (limit=)")
        self.socket.sendall(b"".join((_HEAD.pack(len(payload), _seal(self._sending, self._sent, payload)), payload)))
        self._sent += 1

    def receive(self) -> bytearray | None:
        """The next frame; None: the other side has closed.

        Raises:
            ShareRefused: it has been tampered with, or is too long. The lane is of no use any more.
            OSError: nobody is there any more.
        """
        head = self._exactly(_HEAD.size)
        if head is None:
            return None
        length, seal = _HEAD.unpack(head)
        if length > self._limit:
            raise errors.ShareRefused(f"a message of {length:,} bytes was refused: at most {self._limit:,} go between machines (limit=)")
        payload = self._exactly(length)
        if payload is None:
            return None
        if not hmac.compare_digest(seal, _seal(self._receiving, self._received, payload)):
            raise errors.ShareRefused("a message was refused: it is not what the other side has sent")
        self._received += 1
        return payload

    def _exactly(self, size: int) -> bytearray | None:
        data = bytearray()
        while len(data) < size:  # what has come takes memory, not what was announced
            more = self.socket.recv(min(size - len(data), _STEP))
            if not more:
                return None
            data += more
        return data

    def close(self) -> None:
        """Close it. The other side's :meth:`receive` returns None."""
        self.socket.close()


def _seal(key: bytes, number: int, payload: Bytes) -> bytes:
    sealing = hmac.new(key, _NUMBERED.pack(number, len(payload)), hashlib.sha256)
    sealing.update(payload)
    return sealing.digest()
