"""The socket between a watched process and the observer: messages that are too long for the ring, and what the observer asks for.

A message is one packet of JSON. What is told is queued, and sent by the thread that samples: no other thread makes a system call for it.
When the observer is behind, messages wait; when it is gone, they are dropped.

A program may close all descriptors that it does not know, as daemons do, and then have others by these numbers: before anything is done
with the one of the socket, it is looked at whether it still is that.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import threading
from collections import deque
from typing import Any

from manyhands._wire import _posix

_PACKET = 60_000
_MOST_WAITING = 100_000
_FINISH = 0.5  # seconds that the observer may take for each of the last messages
KIND = socket.SOCK_SEQPACKET


class Link:
    """The watched process's side.

    Attributes:
        held: its descriptor.
        unsaid: messages that were dropped, because too many waited.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.held = Held(connected.fileno())
        connected.setblocking(False)
        self._waiting: deque[bytes] = deque()
        self._sending = threading.Lock()  # the thread that samples sends, and at the end of the process whoever ends it
        self.unsaid = 0

    def tell(self, message: dict[str, Any]) -> None:
        """Have something sent; at once it is only queued. For any thread."""
        if len(self._waiting) >= _MOST_WAITING:
            self.unsaid += 1
            return
        self._waiting.append(packed(message))

    def flush(self) -> None:
        """Send what waits, as much as the observer takes now.

        Raises:
            OSError: it is gone.
        """
        waiting = self._waiting
        with self._sending, contextlib.suppress(BlockingIOError):
            if waiting:
                self.held.check()
            while waiting:
                self.socket.send(waiting[0])
                waiting.popleft()

    def asked(self) -> list[dict[str, Any]] | None:
        """What the observer has asked for since the last time; None: it is gone."""
        messages = []
        try:
            self.held.check()
            while packet := self.socket.recv(_PACKET):
                messages.append(json.loads(packet))
        except BlockingIOError:
            return messages
        except OSError:
            pass
        return None

    def rouse(self) -> None:
        """Have the thread that waits for the observer find that nothing more will come."""
        with contextlib.suppress(OSError):  # it has hung up
            self.held.check()
            self.socket.shutdown(socket.SHUT_RD)

    def finish(self) -> None:
        """Send what waits, if the observer takes it soon, and hang up."""
        with contextlib.suppress(OSError):
            self.held.check()
            self.socket.settimeout(_FINISH)
            self.flush()
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self.socket.detach() >= 0:
            self.held.close()


class Held:
    """A descriptor that is used as long as it is what it was.

    Attributes:
        is_lost: it has been found not to be.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_lost = False
        self._was = os.fstat(fd)

    def check(self) -> None:
        """Look whether it is.

        Raises:
            OSError: it has been closed.
        """
        if self._fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._fd), self._was):
                return
        self.is_lost = True
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def close(self) -> None:
        """Close it, if it is not the program's by now."""
        with contextlib.suppress(OSError):
            self.check()
            fd, self._fd = self._fd, -1
            os.close(fd)


def packed(message: dict[str, Any]) -> bytes:
    """One packet. What is too long for one loses the end of its longest text."""
    data = json.dumps(message).encode()
    while len(data) > _PACKET:
        lengths = {key: len(json.dumps(value)) for key, value in message.items() if isinstance(value, str | list)}
        longest = max(lengths, key=lengths.__getitem__)
        value = message[longest]
        message = {**message, longest: value[: len(value) // 2]}
        data = json.dumps(message).encode()
    return data


def connect(address: str, timeout: float = 5.0) -> socket.socket:
    """A socket to the observer.

    Raises:
        OSError: nobody is there, or it is somebody else's.
    """
    connected = socket.socket(socket.AF_UNIX, KIND)
    try:
        connected.settimeout(timeout)
        with _posix.short_path(os.path.dirname(address)) as folder:
            connected.connect(os.path.join(folder, os.path.basename(address)))
        _check_owner(connected)
    except BaseException:
        connected.close()
        raise
    return connected


def greet(connected: socket.socket, hello: dict[str, Any], fds: list[int]) -> None:
    """Say to the observer who this is, and give it the memory that is to be watched; and the one that stacks are written to, if there is.

    Raises:
        OSError: it has gone.
    """
    socket.send_fds(connected, [packed(hello)], fds)


def answer(connected: socket.socket) -> dict[str, Any]:
    """What the observer says to a greeting, or to a question.

    Raises:
        OSError: it has hung up.
        ValueError: it is nothing that can be understood.
    """
    packet = connected.recv(_PACKET)
    if not packet:
        raise ConnectionResetError("the observer has hung up")
    said = json.loads(packet)
    if not isinstance(said, dict):
        raise ValueError("no answer")  # noqa: TRY004 - what came is wrong, not its type
    return said


def welcome(connected: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The observer's side of that: who it is, and its memory, whose descriptors are the caller's; none: it has only a question.

    Raises:
        OSError: it is somebody else's, or has hung up.
        ValueError: it says nothing of the kind.
    """
    _check_owner(connected)
    packet, fds, _, _ = socket.recv_fds(connected, _PACKET, 2, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    try:
        if not packet:
            raise ConnectionResetError("it has hung up")
        hello = json.loads(packet)
        if not isinstance(hello, dict):
            raise ValueError("no greeting")  # noqa: TRY004 - as above
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return hello, list(fds)


def _check_owner(connected: socket.socket) -> None:
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.geteuid():
            raise PermissionError("the process at the other end belongs to another user")
