"""Conditions, events and barriers for all processes, in which the dead do not count."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands.sharing._locks import Lock, RLock, Takeable
from manyhands.sharing._waiting import Shareable, Waiter, first_of, me, park, runs_here, unless_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._serving import Session
    from manyhands.sharing._waiting import Party

T = TypeVar("T")


class Condition(Takeable):
    """``threading.Condition`` for all processes. Its lock is a :class:`RLock`, or one that lives in the same process.

    A notification whose receiver has died meanwhile goes to the next.
    """

    def __init__(self, lock: Lock | None = None) -> None:
        if lock is not None and not isinstance(lock, Lock):
            msg = f"lock={lock!r:.60} is not a Lock or RLock of the same manager"
            raise TypeError(msg)
        self._lock: Lock = RLock() if lock is None else lock
        self._mutex = threading.Lock()
        self._waiters: deque[Waiter] = deque()
        self._suspended: dict[int, tuple[Party, int]] = {}  # who waits, and how many times they had the lock

    # ------------------------------------------------------------ where it is used

    @runs_here
    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait to be notified, take the lock again; False: nobody did within ``timeout`` seconds.

        Raises:
            RuntimeError: the caller has not got the lock.
        """
        try:
            return self._wait(timeout)
        except BaseException:  # interrupted: whoever leaves a ``with`` block has the lock
            with contextlib.suppress(Exception):
                self._resume()
            raise

    @runs_here
    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until ``predicate()``, which is called here, is true; what it has returned last."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    # ------------------------------------------------------------ where it is

    def _acquire(self, blocking: bool = True, timeout: float | None = -1) -> int:
        return self._lock._acquire(blocking, timeout)  # noqa: SLF001 - the same thing, from here

    def release(self) -> None:
        """Give its lock back."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether anybody has its lock."""
        return self._lock.locked()

    def notify(self, n: int = 1) -> None:
        """Have ``n`` of those who wait go on.

        Raises:
            RuntimeError: the caller has not got the lock.
        """
        if not self._lock.is_held_by(me()):
            msg = "cannot notify on un-acquired lock"
            raise RuntimeError(msg)
        with self._mutex:
            self._pass_on(n)

    def notify_all(self) -> None:
        """Have all go on who wait."""
        self.notify(len(self._waiters))

    notifyAll = notify_all

    def _wait(self, timeout: float | None = None) -> bool:
        party = me()
        waiter = Waiter()
        with self._mutex:
            self._waiters.append(waiter)
        try:
            depth = self._lock.suspend(party)
        except RuntimeError:
            with self._mutex:
                self._waiters.remove(waiter)
            waiter.close()
            raise
        self._note(party, depth)
        is_notified = park(waiter, self._waiters, self._mutex, timeout, lambda _: self._pass_on())
        try:
            self._lock.resume(party, depth)
        except BaseException:
            if is_notified:
                self._passed_on()
            raise
        self._forget(party)
        if is_notified:
            unless_lost(self, self._passed_on)
        return is_notified

    def _resume(self) -> None:
        """Take the lock again after a wait that was interrupted."""
        party = me()
        noted = self._suspended.get(party.caller)
        if noted is not None:
            self._lock.resume(party, noted[1])
            self._forget(party)

    def left_by(self, session: Session) -> None:
        """A process is gone that waited."""
        with self._mutex:
            for caller in [caller for caller, (party, _) in self._suspended.items() if party.session is session]:
                del self._suspended[caller]

    def _note(self, party: Party, depth: int) -> None:
        with self._mutex:
            self._suspended[party.caller] = party, depth
            if party.session is not None:
                party.session.tie(self)

    def _forget(self, party: Party) -> None:
        with self._mutex:
            self._suspended.pop(party.caller, None)
            session = party.session
            if session is not None and not any(party.session is session for party, _ in self._suspended.values()):
                session.untie(self)

    def _pass_on(self, n: int = 1) -> None:
        for _ in range(n):
            waiter = first_of(self._waiters)
            if waiter is None:
                return
            waiter.grant()

    def _passed_on(self) -> None:
        with self._mutex:
            self._pass_on()

    def __repr__(self) -> str:
        return f"<manyhands.Condition on {self._lock!r}, {len(self._waiters)} waiting>"


class Event(Shareable):
    """``threading.Event`` for all processes."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiters: deque[Waiter] = deque()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is."""
        return self._is_set

    isSet = is_set

    def set(self) -> None:
        """Have all go on who wait, from now on."""
        with self._mutex:
            self._is_set = True
            while self._waiters:
                self._waiters.popleft().grant()

    def clear(self) -> None:
        """Have those wait who come from now on."""
        with self._mutex:
            self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set; False: it was not within ``timeout`` seconds."""
        with self._mutex:
            if self._is_set:
                return True
            waiter = Waiter()
            self._waiters.append(waiter)
        return park(waiter, self._waiters, self._mutex, timeout, _nothing)

    def __repr__(self) -> str:
        return f"<manyhands.Event, {'set' if self._is_set else 'not set'}>"


class Barrier(Shareable):
    """``threading.Barrier`` for all processes. It is broken by a process that dies while it waits."""

    def __init__(self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None) -> None:
        if parties < 1:
            msg = "parties must be > 0"
            raise ValueError(msg)
        self._mutex = threading.Lock()
        self._parties = parties
        self._action = action
        self._timeout = timeout
        self._is_broken = False
        self._waiters: deque[Waiter] = deque()  # each is granted whether all have come

    def wait(self, timeout: float | None = None) -> int:
        """Until as many wait as there are parties; how many were there before.

        Raises:
            threading.BrokenBarrierError: it is broken, or reset meanwhile; or ``timeout`` seconds have passed, which breaks it.
        """
        with self._mutex:
            if self._is_broken:
                raise threading.BrokenBarrierError
            index = len(self._waiters)
            if index + 1 == self._parties:
                self._let_all_go()
                return index
            waiter = Waiter()
            self._waiters.append(waiter)
        try:
            park(waiter, self._waiters, self._mutex, self._timeout if timeout is None else timeout, _nothing)
        finally:
            if not waiter.is_granted:  # too late, interrupted, or gone
                self.abort()
        if not waiter.item:
            raise threading.BrokenBarrierError
        return index

    def _let_all_go(self) -> None:
        if not all(waiter.is_there() for waiter in self._waiters):
            self._break()
            raise threading.BrokenBarrierError
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._break()
            raise
        self._release(has_come=True)

    def reset(self) -> None:
        """As it was at first; those who wait get a BrokenBarrierError."""
        with self._mutex:
            self._release(has_come=False)
            self._is_broken = False

    def abort(self) -> None:
        """Break it: all who wait, or will, get a BrokenBarrierError, until it is reset."""
        with self._mutex:
            self._break()

    @property
    def parties(self) -> int:
        """How many have to come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have."""
        return len(self._waiters)

    @property
    def broken(self) -> bool:
        """Whether it is."""
        return self._is_broken

    def _break(self) -> None:
        self._is_broken = True
        self._release(has_come=False)

    def _release(self, *, has_come: bool) -> None:
        while self._waiters:
            self._waiters.popleft().grant(has_come)

    def __repr__(self) -> str:
        state = "broken" if self._is_broken else f"{self.n_waiting} waiting"
        return f"<manyhands.Barrier of {self._parties}, {state}>"


def _nothing(_: Any) -> None:
    """Who is gone has not taken anything along."""
