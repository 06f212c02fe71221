"""What the kernel tells of a process, from outside it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct

from manyhands.watch.observer._endings import ended_by

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_AT_WORK = 0.1  # share of a processor that a thread uses which is at work
_MOST_THREADS = 256


class Look:
    """Looks at a process now and then. Where there is no /proc, there is nothing to be seen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._at = 0.0
        self._used = 0.0
        self._queued = 0.0
        self._threads: dict[str, float] = {}  # processor time

    def look(self, now: float) -> tuple[int, float, int, float]:
        """Bytes of memory of its own; processors that it has used since the last look; how many of its threads did.

        And in which share of the time its main thread could have run, and had no processor.
        """
        first, since = not self._at, now - self._at
        self._at = now
        before, (self._used, threads) = self._used, _times(f"/proc/{self._pid}/stat")
        cpu = 0.0 if first or not since else max(0.0, self._used - before) / since
        at_work = 0 if cpu < _AT_WORK else 1
        if threads > 1 and (at_work or first):
            at_work = self._look_at_threads(since)
        queued, self._queued = self._queued, _queued(self._pid)
        return memory(self._pid), cpu, at_work, 0.0 if first or not since else max(0.0, self._queued - queued) / since

    def _look_at_threads(self, since: float) -> int:
        folder = f"/proc/{self._pid}/task"
        try:
            names = os.listdir(folder)[:_MOST_THREADS]
        except OSError:
            return 0
        before, self._threads = self._threads, {name: _times(f"{folder}/{name}/stat")[0] for name in names}
        return sum(used - before[name] > _AT_WORK * since for name, used in self._threads.items() if name in before)


def memory(pid: int) -> int:
    """Bytes that a process has in memory and does not share with a file or another process; 0: it is gone, or this is no Linux."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE


def _queued(pid: int) -> float:
    """Seconds in which the main thread of a process has waited for a processor; 0 where that cannot be told."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _times(path: str) -> tuple[float, int]:
    """Seconds of processor time that a process or a thread has taken, and how many threads the process has; 0 where that cannot be told."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[17])
    except (OSError, ValueError, IndexError):
        return 0.0, 0


class Ending:
    """How a process ends, told from outside it, whoever its parent is.

    Attributes:
        fd: of the process: readable when it has ended; None: there is none.
    """

    def __init__(self, pid: int, connected: socket.socket) -> None:
        self._pid = pid
        self.fd: int | None = None
        with contextlib.suppress(OSError, AttributeError):  # it has ended already; or this is no Linux
            self.fd = _of_peer(connected) or os.pidfd_open(pid)

    def told(self) -> str | None:
        """In words, see :func:`ended_by`; None: it has not ended, or nobody knows any more."""
        status = self._before_it_is_waited_for()
        if status is None:
            status = self._after_that()
        return None if status is None else ended_by(os.waitstatus_to_exitcode(status))

    def is_there(self) -> bool:
        """Whether it is known not to have ended."""
        if self.fd is None:
            return False
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return not poll.poll(0)

    def _before_it_is_waited_for(self) -> int | None:
        try:
            with open(f"/proc/{self._pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            state, status = fields[0], int(fields[49])
        except (OSError, ValueError, IndexError):
            return None
        return status if state in "ZXx" or status else None

    def _after_that(self) -> int | None:
        if self.fd is None:
            return None
        info = bytearray(_INFO.size)
        _INFO.pack_into(info, 0, _ASKED, 0)
        try:
            fcntl.ioctl(self.fd, _GET_INFO, info)
        except OSError:  # the kernel is older than 6.15, or it has not ended
            return None
        given, status = _INFO.unpack(info)
        return status if given & _ASKED else None

    def close(self) -> None:
        """Forget it."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def _of_peer(connected: socket.socket) -> int | None:
    """The descriptor of the process at the other end, also if it has ended by now; None: the kernel is older than 6.5."""
    try:
        return connected.getsockopt(socket.SOL_SOCKET, _PEER)
    except OSError:
        return None


_PEER = 77  # SO_PEERPIDFD

# PIDFD_GET_INFO of the kernel: what is asked for; and how the process has ended, behind 52 bytes of what nobody asks for here.
_INFO = struct.Struct("<Q52xi")
_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_ASKED = 1 << 3  # PIDFD_INFO_EXIT
