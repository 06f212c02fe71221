"""One socket between two processes, for requests one after the other and their replies.

The socket keeps packets apart, so that a frame needs no length before it: one system call sends it, and one receives it. That takes a
microsecond off a call, against a stream socket. What is longer than a packet is announced, and follows in packets; what lies in memory of
its own is announced as well, and the descriptor of that follows.

The first byte of a frame says what it is. Below 0x80 it is one that shows by itself where it ends, see :mod:`manyhands.sharing._coding`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from manyhands.sharing import _freight

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

KIND = socket.SOCK_SEQPACKET
_PACKET = 65536
_LENGTH = struct.Struct("<Q")
ENDLESS = 0x80  # frames that begin with this, or with more, do not show where they end
_LONG = 0xFF  # how an announcement begins, and no frame does
_LENGTH_SAID = 1 + _LENGTH.size  # bytes of the announcement of packets; that of memory is longer
_DESCRIPTOR, _NO_DESCRIPTOR = b"d", b"n"
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Lane:
    """Frames over a connected socket. What comes is valid until the next :meth:`receive`; more may follow one that shows its end.

    Attributes:
        is_broken: it was left in the midst of a frame, whose rest would be taken for others.
    """

    __slots__ = ("_buffer", "_receive_into", "_send", "_view", "is_broken", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.is_broken = False
        self._send = connected.send
        self._receive_into = connected.recv_into
        self._buffer = bytearray(_PACKET)
        self._view = memoryview(self._buffer)

    def send(self, payload: Bytes | _freight.Freight) -> None:
        """Send a frame, which is not empty.

        Raises:
            OSError: nobody is there any more.
        """
        if len(payload) <= _PACKET:
            self._send(payload)  # type: ignore[arg-type] # a freight is longer
        elif type(payload) is _freight.Freight:
            self._send(b"\xff" + payload.places)
            self.send_descriptor(payload.fd)
            payload.close()
        else:
            self._send_long(payload)  # type: ignore[arg-type]

    def _send_long(self, payload: Bytes) -> None:
        self._send(b"\xff" + _LENGTH.pack(len(payload)))
        view = memoryview(payload)
        for start in range(0, len(view), _PACKET):
            self._send(view[start : start + _PACKET])

    def receive(self) -> Bytes | None:
        """The next frame; None: the other side has closed."""
        buffer = self._buffer
        count = self._receive_into(buffer)
        if not count:
            return None
        first = buffer[0]
        if first < ENDLESS:
            return buffer
        return self._announced(count) if first == _LONG else self._view[:count]

    def _announced(self, count: int) -> Bytes | None:
        try:
            if count == _LENGTH_SAID:
                return self._long()
            return _freight.received(self.receive_descriptor, bytes(self._view[1:count]))
        except BaseException:
            self.is_broken = True
            raise

    def _long(self) -> Bytes | None:
        whole = bytearray(_LENGTH.unpack_from(self._buffer, 1)[0])
        view = memoryview(whole)
        have = 0
        while have < len(whole):
            count = self._receive_into(view[have:])
            if not count:
                return None
            have += count
        return whole

    def send_descriptor(self, fd: int) -> None:
        """Send a copy of a descriptor, instead of a frame; a negative number: there is none.

        Raises:
            OSError: nobody is there any more.
        """
        if fd < 0:
            self._send(_NO_DESCRIPTOR)
        else:
            socket.send_fds(self.socket, [_DESCRIPTOR], [fd])

    def receive_descriptor(self) -> int | None:
        """What the other side has sent by that: now the caller's. None: there is none.

        Raises:
            OSError: the other side has closed, or this process has no room for it.
        """
        told, fds, flags, _ = socket.recv_fds(self.socket, 1, 1, _CLOEXEC)
        if not told:
            raise ConnectionResetError
        if fds:
            return fds[0]
        if told == _DESCRIPTOR or flags & socket.MSG_CTRUNC:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return None

    def close(self) -> None:
        """Close it. The other side's :meth:`receive` returns None."""
        self.socket.close()
