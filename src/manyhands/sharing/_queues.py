"""A queue for all processes, from which the dead take nothing."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any

from manyhands.sharing._waiting import Shareable, Waiter, first_of, park, unless_lost


class _ShutDown(Exception):
    """A queue has been shut down."""


ShutDown: type[Exception] = getattr(queue, "ShutDown", _ShutDown)  # Python 3.13 has it


class Queue(Shareable):
    """``queue.Queue`` for all processes, in the order of calls, of those who wait as well.

    An item that was on its way to a process that has died is put back in front, or goes to the next who waits.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._mutex = threading.Lock()
        self._items: deque[Any] = deque()
        self._getters: deque[Waiter] = deque()  # only while there are no items
        self._putters: deque[Waiter] = deque()  # only while it is full; each with its item
        self._joiners: deque[Waiter] = deque()
        self._unfinished = 0
        self._is_shut_down = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into it.

        Raises:
            queue.Full: there was no room for it within ``timeout`` seconds.
            queue.ShutDown: it is shut down.
        """
        seconds = _patience(block, timeout)
        with self._mutex:
            self._check()
            if not self._is_full():
                self._unfinished += 1
                self._hand_out(item)
                return
            if seconds == 0:
                raise queue.Full
            waiter = Waiter(item)
            self._putters.append(waiter)
        if not park(waiter, self._putters, self._mutex, seconds, _leave):
            raise queue.Full
        if waiter.item is _ShutDown:
            raise ShutDown

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first item out of it.

        Raises:
            queue.Empty: there was none within ``timeout`` seconds.
            queue.ShutDown: it is shut down, and empty.
        """
        seconds = _patience(block, timeout)
        with self._mutex:
            if self._items:
                item = self._items.popleft()
                self._let_in()
                unless_lost(self, lambda: self._put_back(item))
                return item
            self._check()
            if seconds == 0:
                raise queue.Empty
            waiter = Waiter()
            self._getters.append(waiter)
        if not park(waiter, self._getters, self._mutex, seconds, lambda waiter: self._undo(waiter.item)):
            raise queue.Empty
        item = waiter.item
        if item is _ShutDown:
            raise ShutDown
        unless_lost(self, lambda: self._put_back(item))
        return item

    def put_nowait(self, item: Any) -> None:
        """Put an item into it, or raise ``queue.Full``."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """Take an item out of it, or raise ``queue.Empty``."""
        return self.get(block=False)

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether there are none."""
        return not self._items

    def full(self) -> bool:
        """Whether there is no room."""
        return self._is_full()

    def task_done(self) -> None:
        """An item that was taken out is done with.

        Raises:
            ValueError: as many were.
        """
        with self._mutex:
            if self._unfinished <= 0:
                msg = "task_done() called too many times"
                raise ValueError(msg)
            self._finish(1)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all items are done with; False: they were not within ``timeout`` seconds."""
        with self._mutex:
            if not self._unfinished:
                return True
            waiter = Waiter()
            self._joiners.append(waiter)
        return park(waiter, self._joiners, self._mutex, timeout, _leave)

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put anything into it any more; ``immediate``: and forget what is in it. Whoever waits gets ``queue.ShutDown``."""
        with self._mutex:
            self._is_shut_down = True
            if immediate:
                self._finish(len(self._items))
                self._items.clear()
            for waiters in (self._getters, self._putters):
                while waiters:
                    waiters.popleft().grant(_ShutDown)

    # ------------------------------------------------------------ with the mutex held

    def _check(self) -> None:
        if self._is_shut_down:
            raise ShutDown

    def _is_full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    def _hand_out(self, item: Any) -> None:
        getter = first_of(self._getters)
        if getter is None:
            self._items.append(item)
        else:
            getter.grant(item)

    def _let_in(self) -> None:
        """There may be room."""
        while not self._is_full() and (waiter := first_of(self._putters)) is not None:
            self._unfinished += 1
            self._hand_out(waiter.item)
            waiter.grant()

    def _undo(self, item: Any) -> None:
        """An item has reached nobody."""
        if item is _ShutDown:
            return
        getter = first_of(self._getters)
        if getter is None:
            self._items.appendleft(item)
        else:
            getter.grant(item)

    def _finish(self, count: int) -> None:
        self._unfinished = max(0, self._unfinished - count)
        if not self._unfinished:
            while self._joiners:
                self._joiners.popleft().grant()

    def _put_back(self, item: Any) -> None:
        with self._mutex:
            self._undo(item)

    def __repr__(self) -> str:
        room = f", at most {self.maxsize}" if self.maxsize > 0 else ""
        return f"<manyhands.Queue of {len(self._items)}{room}, {len(self._getters) + len(self._putters)} waiting>"


class JoinableQueue(Queue):
    """The same: each has ``task_done`` and ``join``."""


def _patience(block: bool, timeout: float | None) -> float | None:
    if not block:
        return 0.0
    if timeout is not None and timeout < 0:
        msg = "'timeout' must be a non-negative number"
        raise ValueError(msg)
    return timeout


def _leave(_: Waiter) -> None:
    """What they have brought stays."""
