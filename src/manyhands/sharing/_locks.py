"""Locks and semaphores that are given back when the process that holds them dies.

They are handed on in the order in which they were waited for. ``_mutex`` guards all of an object's state, for moments only.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.sharing._waiting import Party, Shareable, Waiter, first_of, me, park, patience, runs_here, unless_lost

if TYPE_CHECKING:
    from manyhands.sharing._serving import Session

# What acquiring says: an int goes back to the caller as it is.
_NOT, _TAKEN, _TAKEN_FROM_THE_DEAD = 0, 1, 2


class Takeable(Shareable):
    """What is taken and given back: how that looks where it is used, which is not where it is."""

    @runs_here
    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take it; False: it was not free within ``timeout`` seconds."""
        return said(self._acquire(blocking, timeout), self)

    @runs_here
    def __enter__(self) -> bool:
        return said(self._acquire(), self)

    @runs_here
    def __exit__(self, *_: object) -> None:
        self.release()

    def _acquire(self, blocking: bool = True, timeout: float | None = -1) -> int:
        raise NotImplementedError

    def release(self) -> None:
        """Give it back."""
        raise NotImplementedError


class Lock(Takeable):
    """``threading.Lock`` for all processes. Any of them may release it, as there.

    If its holder dies, whoever acquires it next gets a ``LockAbandoned`` warning. Until then a release by hand of what death has released
    already is no error: a program that does so has noticed the death itself.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiters: deque[Waiter] = deque()
        self._holder: Party | None = None
        self._depth = 0
        self._is_abandoned = False  # and nobody has been told
        self._is_forgiving = False

    def _acquire(self, blocking: bool = True, timeout: float | None = -1) -> int:
        seconds = patience(blocking, timeout)
        party = me()
        with self._mutex:
            if self._takes_again(party):
                self._depth += 1
                taken = _TAKEN
            elif self._holder is None:
                self._give_to(party)
                taken = self._how_taken()
            elif seconds == 0:
                return _NOT
            else:
                waiter = Waiter()
                self._waiters.append(waiter)
                taken = _NOT
        if not taken:
            if not park(waiter, self._waiters, self._mutex, seconds, lambda _: self._free()):
                return _NOT
            taken = self._how_taken()
        unless_lost(self, lambda: self._take_back(party))
        return taken

    def release(self) -> None:
        """Give it back.

        Raises:
            RuntimeError: nobody has it.
        """
        with self._mutex:
            if self._holder is not None:
                self._release(me())
            elif self._is_forgiving:
                self._is_forgiving = False
            else:
                msg = "release unlocked lock"
                raise RuntimeError(msg)

    def locked(self) -> bool:
        """Whether anybody has it."""
        return self._holder is not None

    def left_by(self, session: Session) -> None:
        """A process is gone that had it."""
        with self._mutex:
            if self._holder is not None and self._holder.session is session:
                self._is_abandoned = True
                self._free()
                self._is_forgiving = self._holder is None

    def _takes_again(self, _: Party) -> bool:
        return False

    def _release(self, _: Party) -> None:
        self._free()

    def _give_to(self, party: Party, depth: int = 1) -> None:
        self._holder = party
        self._depth = depth
        self._is_forgiving = False
        if party.session is not None:
            party.session.tie(self)

    def _free(self) -> None:
        if self._holder is not None and self._holder.session is not None:
            self._holder.session.untie(self)
        self._holder = None
        if (waiter := first_of(self._waiters)) is not None:
            self._give_to(waiter.party)
            waiter.grant()

    def _how_taken(self) -> int:
        """Its holder asks: nobody else changes this meanwhile."""
        taken = _TAKEN_FROM_THE_DEAD if self._is_abandoned else _TAKEN
        self._is_abandoned = False
        return taken

    def _take_back(self, party: Party) -> None:
        """It was given to one who does not know of it."""
        with self._mutex:
            if self._holder == party:
                self._depth -= 1
                if not self._depth:
                    self._free()

    # ------------------------------------------------------------ for conditions

    def is_held_by(self, _: Party) -> bool:
        """Whether they may wait and notify."""
        return self._holder is not None

    def suspend(self, party: Party) -> int:
        """Give it back altogether; how many times it was taken."""
        with self._mutex:
            if not self.is_held_by(party):
                msg = "cannot wait on un-acquired lock"
                raise RuntimeError(msg)
            depth = self._depth
            self._free()
            return depth

    def resume(self, party: Party, depth: int) -> None:
        """Take it again, as many times.

        Raises:
            Gone: there is nobody any more who would have it.
        """
        with self._mutex:
            if self._holder is None:
                self._give_to(party, depth)
                return
            waiter = Waiter()
            self._waiters.append(waiter)
        park(waiter, self._waiters, self._mutex, None, lambda _: self._free())
        self._depth = depth

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} manyhands.{type(self).__name__}>"


class RLock(Lock):
    """``threading.RLock`` for all processes: the thread that has it, in whichever process, may take it again."""

    def _takes_again(self, party: Party) -> bool:
        return self._holder is not None and self._holder.caller == party.caller

    def _release(self, party: Party) -> None:
        if not self.is_held_by(party):
            msg = "cannot release un-acquired lock"
            raise RuntimeError(msg)
        self._depth -= 1
        if not self._depth:
            self._free()

    def is_held_by(self, party: Party) -> bool:
        return self._takes_again(party)


def said(taken: int, lock: Any) -> bool:
    """What acquiring says, to the caller, who is told of a death."""
    if taken == _TAKEN_FROM_THE_DEAD:
        warnings.warn(f"whoever held {lock!r} last died with it", errors.LockAbandoned, stacklevel=3)
    return bool(taken)


class Semaphore(Shareable):
    """``threading.Semaphore`` for all processes.

    Of its initial permits, those that a process has when it dies are given back. What was released beyond them, as a signal, has no holder,
    and is gone with the one who has taken it. A permit that is released by another process than the one that took it is that one's no more.
    """

    _is_bounded = False

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            msg = "semaphore initial value must be >= 0"
            raise ValueError(msg)
        self._mutex = threading.Lock()
        self._waiters: deque[Waiter] = deque()
        self._initial = value
        self._value = value
        self._holders: list[Party] = []  # one for each permit below the initial value, the first to have taken one first
        self._forgiven = 0  # releases of what death has given back already

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False: there was none within ``timeout`` seconds."""
        seconds = patience(blocking, timeout)
        party = me()
        with self._mutex:
            is_free = self._value > 0
            if is_free:
                self._give_to(party)
            elif seconds == 0:
                return False
            else:
                waiter = Waiter()
                self._waiters.append(waiter)
        if not is_free and not park(waiter, self._waiters, self._mutex, seconds, lambda _: self._take_back(party)):
            return False
        unless_lost(self, lambda: self._taken_back(party))
        return True

    def release(self, n: int = 1) -> None:
        """Give back ``n`` permits, or give so many.

        Raises:
            ValueError: ``n`` is less than one; or it is bounded, and there would be more than at first.
        """
        if n < 1:
            msg = "n must be one or more"
            raise ValueError(msg)
        party = me()
        with self._mutex:
            forgiven = max(0, min(n, self._forgiven, self._value + n - self._initial))
            if self._is_bounded and self._value + n - forgiven > self._initial:
                msg = "Semaphore released too many times"
                raise ValueError(msg)
            self._forgiven -= forgiven
            for _ in range(n - forgiven):
                self._take_back(party)

    def get_value(self) -> int:
        """How many permits there are now."""
        return self._value

    def locked(self) -> bool:
        """Whether there is none."""
        return not self._value

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def left_by(self, session: Session) -> None:
        """A process is gone that had permits."""
        with self._mutex:
            count = sum(holder.session is session for holder in self._holders)
            for holder in [holder for holder in self._holders if holder.session is session]:
                self._take_back(holder)
            self._forgiven += count

    def _give_to(self, party: Party) -> None:
        self._value -= 1
        if self._value < self._initial:
            self._holders.append(party)
            if party.session is not None:
                party.session.tie(self)

    def _take_back(self, party: Party) -> None:
        """One permit more, which is the next one's."""
        if self._holders and self._value < self._initial:
            self._forget(party)
        self._value += 1
        if (waiter := first_of(self._waiters)) is not None:
            self._give_to(waiter.party)
            waiter.grant()

    def _forget(self, party: Party) -> None:
        session = party.session
        index = next((i for i, holder in enumerate(self._holders) if holder.session is session), 0)
        session = self._holders.pop(index).session
        if session is not None and not any(holder.session is session for holder in self._holders):
            session.untie(self)

    def _taken_back(self, party: Party) -> None:
        with self._mutex:
            self._take_back(party)

    def __repr__(self) -> str:
        return f"<manyhands.{type(self).__name__} of {self._initial}, {self._value} free>"


class BoundedSemaphore(Semaphore):
    """``threading.BoundedSemaphore`` for all processes."""

    _is_bounded = True
