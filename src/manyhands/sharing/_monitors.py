"""The monitor of a shared object: whoever does something with it does so alone."""

from __future__ import annotations

import threading

from manyhands import errors
from manyhands.sharing import _callers


class Monitor:
    """A lock that a caller may take again, from whichever thread serves it. See :mod:`manyhands.sharing._callers`.

    Attributes:
        holder: the number of the caller that has it; None: nobody.
        abandoned: whether its last holder died in the midst of a transaction, and nobody has been told yet.
    """

    __slots__ = ("_lock", "abandoned", "depth", "holder")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holder: int | None = None
        self.depth = 0
        self.abandoned = False

    def enter(self, caller: int, timeout: float = -1) -> bool:
        """Take it, or take it again; False: it was not free for ``timeout`` seconds.

        Raises:
            WouldDeadlock: another task of the caller's thread has it, which cannot go on while this one waits.
        """
        if self.holder == caller:  # nobody else makes this true, or false again
            self.depth += 1
            return True
        if not self._lock.acquire(False) and not self._wait(caller, timeout):
            return False
        self.holder = caller
        self.depth = 1
        return True

    def _wait(self, caller: int, timeout: float) -> bool:
        if not timeout:
            return False
        holder = self.holder
        if timeout < 0 and holder is not None and _callers.share_a_thread(holder, caller):
            raise errors.WouldDeadlock
        return self._lock.acquire(timeout=timeout)

    def await_free(self) -> None:
        """Wait until nobody has it, for a moment at least."""
        self._lock.acquire()
        self._lock.release()

    def leave(self) -> None:
        """Give back what was taken once."""
        self.depth -= 1
        if not self.depth:
            self.holder = None
            self._lock.release()

    def abandon(self) -> None:
        """Its holder has died in the midst of a transaction: called for each of those that are in one another.

        A thread that was interrupted may be in a call again, over another connection: what that has taken stays.
        """
        self.abandoned = True
        self.leave()
