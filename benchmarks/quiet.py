"""A machine that is shared with others runs at another speed each minute. What it is worth now: a message to another process and back."""

from __future__ import annotations

import os
import socket
import statistics
import time

_PATIENCE = 120.0  # seconds to wait for a quiet moment
_BETWEEN = 0.5


def ping() -> float:
    """Microseconds for a byte to another process and back, without any library."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            ours.close()
            while theirs.recv(1):
                theirs.send(b"x")
            os._exit(0)
        theirs.close()
        try:
            return statistics.median(_exchange(ours, 400) for _ in range(5))
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            os.waitpid(pid, 0)


def _exchange(ours: socket.socket, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        ours.send(b"x")
        ours.recv(1)
    return 1e6 * (time.perf_counter() - begin) / count


def wait(limit: float) -> None:
    """Wait until a ping takes at most ``limit`` microseconds, or for two minutes."""
    end = time.monotonic() + _PATIENCE
    while ping() > limit and time.monotonic() < end:
        time.sleep(_BETWEEN)
