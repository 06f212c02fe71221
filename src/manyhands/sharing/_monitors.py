"""The monitor of a shared object: whoever does something with it does so alone.

Who has it stands in a dictionary, where one call in C puts it if nobody has it. A lock would be taken by such a call too, but it would be
the next line of Python that says by whom; and Ctrl-C may strike in between.
"""

from __future__ import annotations

import threading
import time

from manyhands import errors
from manyhands.sharing import _callers

_HOLDER = 0


class Monitor:
    """A lock that a caller may take again, from whichever thread serves it. See :mod:`manyhands.sharing._callers`.

    Attributes:
        depth: how often its holder has taken it.
        abandoned: whether its last holder died in the midst of a transaction, and nobody has been told yet.
    """

    __slots__ = ("_held", "_waiting", "abandoned", "depth")

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self._waiting: list[threading.Lock] = []  # one for each thread that waits, which is released when it is free
        self.depth = 0
        self.abandoned = False

    @property
    def holder(self) -> int | None:
        """The number of the caller that has it; None: nobody."""
        return self._held.get(_HOLDER)

    def enter(self, caller: int, timeout: float = -1) -> bool:
        """Take it, or take it again; False: it was not free for ``timeout`` seconds.

        Raises:
            WouldDeadlock: another task of the caller's thread has it, which cannot go on while this one waits.
        """
        if self._held.setdefault(_HOLDER, caller) != caller and not self._wait(caller, timeout):
            return False
        self.depth += 1
        return True

    def _wait(self, caller: int, timeout: float) -> bool:
        if not timeout:
            return False
        holder = self.holder
        if timeout < 0 and holder is not None and _callers.share_a_thread(holder, caller):
            raise errors.WouldDeadlock
        end = time.monotonic() + timeout
        while self._held.setdefault(_HOLDER, caller) != caller:
            if not self._await_turn(timeout if timeout < 0 else max(0.0, end - time.monotonic())):
                return self._held.setdefault(_HOLDER, caller) == caller
        return True

    def _await_turn(self, timeout: float) -> bool:
        """Wait until it seems to be free; False: it was not."""
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append(turn)
        is_mine = False
        try:
            is_mine = _HOLDER not in self._held or turn.acquire(timeout=timeout)
            return is_mine
        finally:
            self._leave_line(turn, was_called=is_mine)

    def _leave_line(self, turn: threading.Lock, *, was_called: bool) -> None:
        try:
            self._waiting.remove(turn)
        except ValueError:  # it has been called: if it does not go, another one is to
            if not was_called:
                self._call_next()

    def _call_next(self) -> None:
        while self._waiting and _HOLDER not in self._held:
            try:
                self._waiting.pop(0).release()
            except IndexError:  # another thread has called it
                continue
            return

    def await_free(self) -> None:
        """Wait until nobody has it, for a moment at least."""
        while _HOLDER in self._held:
            self._await_turn(-1)
        self._call_next()  # in whose place this was called

    def leave(self) -> None:
        """Give back what was taken once."""
        self.depth -= 1
        if not self.depth:
            del self._held[_HOLDER]
            if self._waiting:
                self._call_next()

    def restore(self, caller: int, depth: int) -> None:
        """After a call of a thread that was interrupted, at whatever point: the caller has it so often as it had it before."""
        if self.holder == caller:
            self.depth = depth
            if not depth:
                del self._held[_HOLDER]
        self._call_next()

    def abandon(self) -> None:
        """Its holder has died in the midst of a transaction: called for each of those that are in one another.

        A thread that was interrupted may be in a call again, over another connection: what that has taken stays.
        """
        self.abandoned = True
        self.leave()
