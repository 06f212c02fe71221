"""Who runs the event loop: whoever waits.

A caller that waits for results would only sleep while another thread works for it, and handing over between threads costs more than
all the rest of a short task. So the waiting thread runs the loop itself, for everybody. Of several, one drives and the others
sleep; when it has what it waited for, it wakes the next. A background thread drives while nobody waits, for futures with callbacks.

**Guarantees**

- There is at most one driver, and only it touches the pool's state.
- As long as there is work, or a waiter, somebody drives, or will within ``_PATIENCE``.
- A thread may wait from inside a callback that the loop itself runs.
"""

from __future__ import annotations

import contextlib
import threading
import time

from manyhands._engine._interrupts import Shield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# How long the background thread lets work lie before it drives. A program that submits and then waits gets there first, and
# is spared a switch of threads for each task. A guess.
_PATIENCE = 0.003
# How long a pool must have nothing to do before the thread watches it, to notice workers that leave. Whoever comes next has to
# interrupt it, some 50 us. Twice as long each time that it finds somebody else driving.
_IDLE = 1.0
# After so many looks at which somebody else was driving, it sleeps until it is called.
_LOOKS = 5


class Bell:
    """Wakes one thread. Cheaper than ``threading.Event``, whose every wait makes a lock."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next that does."""
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is rung; False after ``timeout`` seconds."""
        return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class _Waiter(Bell):
    __slots__ = ("done",)

    def __init__(self, done: Callable[[], bool]) -> None:
        super().__init__()
        self.done = done


class Driving:
    """The baton of one pool.

    ``turn(timeout)`` advances the loop once, ``busy()`` tells whether there is anything to drive for, ``owing()`` whether results are
    there that only a driver hands out, ``watching()`` whether anything could happen by itself, ``interrupt()`` ends a turn that
    sleeps. Signals are taken between turns.
    """

    def __init__(
        self,
        turn: Callable[[float | None], None],
        busy: Callable[[], bool],
        owing: Callable[[], bool],
        watching: Callable[[], bool],
        interrupt: Callable[[], None],
    ) -> None:
        self._turn = turn
        self._busy = busy
        self._owing = owing
        self._watching = watching
        self._interrupt = interrupt
        self._shield = Shield(self._wake_up)
        self._token = threading.Lock()
        self._owner: int | None = None
        self._given_up = 0.0  # when the baton was, on the monotonic clock
        self._waiters: list[_Waiter] = []
        self._background: _Background | None = None
        self._making = threading.Lock()  # of the background thread
        self._over = False  # there will be no other

    # ------------------------------------------------------------ for whoever waits

    def wait(self, done: Callable[[], bool], deadline: float | None = None) -> bool:
        """Return True as soon as ``done()`` holds, False at ``deadline`` (monotonic); drive meanwhile."""
        if done():
            return True
        if self.mine:  # from inside a callback
            return self._drive(done, deadline)
        drove, result = self.try_drive(lambda: self._drive(done, deadline))
        return result if drove else self._wait_for_driver(done, deadline)

    def try_drive(self, what: Callable[[], bool]) -> tuple[bool, bool]:
        """If nobody drives, be the driver while ``what()`` runs: (True, its result); otherwise (False, False)."""
        with self._shield:
            if not self.try_take():
                return False, False
            try:
                return True, what()
            finally:
                self.give_up()

    def _wait_for_driver(self, done: Callable[[], bool], deadline: float | None) -> bool:
        waiter = _Waiter(done)
        with self._shield:
            return self._queue_up(waiter, deadline)

    def _queue_up(self, waiter: _Waiter, deadline: float | None) -> bool:
        done = waiter.done
        try:
            self._waiters.append(waiter)
            background = self._background
            if background is not None and background.drives:
                background.step_aside()
                self._interrupt()
            while True:
                # First: the baton may have become free before the driver could see this waiter.
                drove, result = self.try_drive(lambda: self._drive(done, deadline))
                if drove:
                    return result
                woken = waiter.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
                self._shield.check()
                if done():
                    return True
                if not woken:
                    return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._pass_on()

    def _drive(self, done: Callable[[], bool], deadline: float | None) -> bool:
        self.wake_finished()  # a glance by somebody else may have brought what they wait for
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._turn(left)
            self.wake_finished()
            self._shield.check()
        return True

    def wake_finished(self) -> None:
        """Wake those whose wait is over."""
        for waiter in list(self._waiters):
            if waiter.done():
                waiter.ring()

    def _wake_up(self) -> None:
        """The main thread sleeps, as the driver or in the queue, and is to look at its signals."""
        self._interrupt()
        for waiter in list(self._waiters):
            waiter.ring()

    # ------------------------------------------------------------ the baton

    def try_take(self) -> bool:
        """Become the driver, if there is none."""
        if self._token.acquire(blocking=False):
            self._owner = threading.get_ident()
            return True
        return False

    def give_up(self) -> None:
        """Be the driver no longer, and see to it that there is another if one is needed."""
        self._owner = None
        self._given_up = time.monotonic()
        self._token.release()
        self._pass_on()

    def _pass_on(self) -> None:
        for waiter in list(self._waiters):
            waiter.ring()
            return
        if self._background is not None and self._background.asleep and self._busy():
            self._background.call()

    def exclusively(self, what: Callable[[], None]) -> None:
        """Do something while nobody drives; who does is asked to give up the baton."""
        with self._shield:
            while not self._token.acquire(timeout=_PATIENCE):
                self._shield.check()
                self._interrupt()
            self._owner = threading.get_ident()
            try:
                what()
            finally:
                self.give_up()

    @property
    def mine(self) -> bool:
        """Whether the calling thread is the driver."""
        return self._owner == threading.get_ident()

    @property
    def driven(self) -> bool:
        """Whether anybody drives now."""
        return self._token.locked()

    def attended(self) -> bool:
        """Whether work does not lie: somebody who is busy with something else, such as reading inputs, takes a turn now and then."""
        return time.monotonic() - self._given_up < _PATIENCE and not self._owing()

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for the baton."""
        return bool(self._waiters)

    # ------------------------------------------------------------ the background thread

    def need_background(self) -> None:
        """Somebody has to drive even if nobody waits."""
        background = self.have_background()
        if background is not None and background.asleep:
            background.call()

    def have_background(self) -> _Background | None:
        """There is somebody to drive when it comes to that; also to notice when idle workers leave."""
        background = self._background
        if background is None:
            with self._making:
                background = self._background
                if background is None and not self._over:
                    # No room for a thread: then only those who wait drive.
                    with contextlib.suppress(RuntimeError):
                        background = self._background = _Background(self, self._busy, self._watching)
        return background

    def stop_background(self) -> None:
        """End the background thread for good; returns when it has ended."""
        with self._making:
            self._over = True
            background, self._background = self._background, None
        if background is not None:
            background.stop()
            self._interrupt()
            background.join()

    def drive_until(self, stop: Callable[[], bool]) -> None:
        """Drive, as the background thread does, while there is anything to drive for."""
        self.wake_finished()
        while not stop() and (self._busy() or self._watching()):
            self._turn(None)
            self.wake_finished()


class _Background:
    """The thread that drives while nobody waits."""

    def __init__(self, driving: Driving, busy: Callable[[], bool], watching: Callable[[], bool]) -> None:
        self._driving = driving
        self._busy = busy
        self._watching = watching
        self._bell = Bell()
        self._leaving = False  # the baton is wanted by somebody else
        self._stopped = False
        self.asleep: bool = False  # until called
        self.drives: bool = False
        self._thread = threading.Thread(target=self._run, name="manyhands-driver", daemon=True)
        self._thread.start()

    def call(self) -> None:
        """There is work again."""
        self.asleep = False
        self._bell.ring()

    def step_aside(self) -> None:
        """Somebody who waits wants to drive; the turn that is under way has to be interrupted as well."""
        self._leaving = True

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopped = self._leaving = True
        self._bell.ring()

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        patience = _IDLE
        while not self._stopped:
            if self._rest(patience):
                patience = _IDLE
                self._look_after_work()
            elif self._driving.driven or not self._watching():
                patience *= 2  # somebody else has the eyes on it
            else:
                self._drive()

    def _rest(self, patience: float) -> bool:
        """Sleep until called: True; or for ``patience`` seconds: False."""
        self.asleep = True
        try:
            # Work that came before that flag was set would have seen a thread that is awake.
            if self._stopped or (self._busy() and not self._driving.driven):
                return True
            return self._bell.wait(patience)
        finally:
            self.asleep = False

    def _look_after_work(self) -> None:
        """Let whoever submitted it wait for it, and so do it; then do it."""
        for _ in range(_LOOKS):
            self._bell.wait(_PATIENCE)
            while not self._stopped and self._driving.attended():
                self._bell.wait(_PATIENCE)
            if self._stopped or not self._busy():
                return
            if not self._driving.wanted and self._drive():
                return

    def _drive(self) -> bool:
        """Drive until somebody else wants to; False if somebody does."""
        if not self._driving.try_take():
            return False
        self._leaving = False
        self.drives = True
        try:
            self._driving.drive_until(lambda: self._leaving or self._stopped)
        finally:
            self.drives = False
            self._driving.give_up()
        return True
