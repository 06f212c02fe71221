"""A worker in reserve: forked before it is needed, so that one more worker takes no fork.

A process that has just been forked pays 3 µs for each page that it is the first to write to, some 600 of them until its first result.
The one in reserve has paid: it has run a task already.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket

from manyhands._engine import _worker_process
from manyhands._wire import _posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DESCRIPTORS = 3  # channel, slot, settings


class Spare:
    """The zygote's handle on it."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self._link = link

    @classmethod
    def start(cls, fork: Callable[[Callable[[], None]], int], lifeline: int) -> Spare:
        """Fork one: ``fork(live)`` gives the pid of a child that does nothing but ``live()``.

        Raises:
            OSError: the machine has no room for it.
        """
        ours, theirs = _posix.channel_pair()

        def live() -> None:
            ours.close()
            _wait(theirs, lifeline)

        with theirs:
            try:
                return cls(fork(live), ours)
            except OSError:
                ours.close()
                raise

    def adopt(self, fds: Sequence[int]) -> bool:
        """Make it a worker on these descriptors, which stay the caller's; False if it is gone."""
        with self._link as link:
            try:
                socket.send_fds(link, [b"\0"], fds)
            except OSError:
                return False
        return True

    def dismiss(self) -> None:
        """Have it leave."""
        self._link.close()


def _wait(link: socket.socket, lifeline: int) -> None:
    """In the child: be ready, wait for descriptors, and serve them."""
    _worker_process.join(lifeline)
    with contextlib.suppress(Exception):  # without it its first task takes 2 ms more
        importlib.import_module("manyhands._engine._rehearsal").rehearse()
    with link:
        _, fds, _, _ = socket.recv_fds(link, 1, _DESCRIPTORS)
    for fd in fds:
        os.set_inheritable(fd, False)  # programs that tasks start must not hold them
    if fds:  # or else it was dismissed, or the zygote is gone
        channel, slot, settings = fds
        _worker_process.work(channel, slot, settings)
