"""Which descriptors are ready: epoll where there is one, poll elsewhere."""

from __future__ import annotations

import select

READ = select.POLLIN
WRITE = select.POLLOUT


_DAY = 86400.0


class Poller:
    """A set of descriptors that can be waited for.

    Used by one thread at a time. Level-triggered: a descriptor is reported as long as it is ready.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._poll = self._epoll or select.poll()

    def add(self, fd: int, events: int = READ) -> None:
        """Watch ``fd``."""
        self._poll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of ``fd``."""
        self._poll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching ``fd``; call it before closing the descriptor."""
        self._poll.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """``(fd, events)`` of all that are ready, after at most ``timeout`` seconds, or a day (None: no limit)."""
        if timeout is not None:
            timeout = min(timeout, _DAY)  # the kernel takes 24 of them
        if self._epoll is not None:
            return self._epoll.poll(timeout)
        return self._poll.poll(None if timeout is None else timeout * 1000)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._epoll is not None:
            self._epoll.close()
