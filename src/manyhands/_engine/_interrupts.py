"""Signals are taken at a safe point.

An exception raised by a signal handler may strike between any two byte codes; in the middle of moving a task from one place
to another it would lose the task. While the pool's state is being changed in the main thread, signals are therefore noted, and
handed to the user's own handlers as soon as the change is complete: Ctrl-C above all, but also an alarm or a SIGTERM whose handler
raises.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from _signal import SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, getsignal, signal

# ``_signal`` is what ``signal`` wraps; the wrapper's enums would cost 3 us for each task that is waited for.

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]

# Those for which programs install handlers that raise.
_SIGNALS = (SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGUSR1, SIGUSR2)
# Seconds after which a signal that found no safe point strikes where it is, when another is sent: the user's code, a callback of a
# future, say, does not end. A change that it breaks off costs the pool its workers, so it is long beside any change.
_UNANSWERED = 1.0


class Shield:
    """``with shield:`` holds signals back in the main thread; elsewhere it does nothing.

    ``wake`` is called when a signal comes, so that a blocking call inside ends; :meth:`check`, called at safe points inside,
    then hands it to the user's handler. One that comes when another has been held back for a second does so at once.

    The order of the statements matters: before the handlers are exchanged nothing has been changed, afterwards nothing can strike.
    """

    __slots__ = ("_depth", "_held", "_noted", "_since", "_wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._depth = 0
        self._held: list[tuple[int, Handler]] = []  # what was installed before
        self._noted: list[int] = []
        self._since = 0.0  # when the first of them came

    def __enter__(self) -> None:
        if threading.get_ident() != _main_ident:
            return
        if not self._depth:
            try:
                for number in _SIGNALS:
                    handler = getsignal(number)
                    if callable(handler):
                        self._held.append((number, handler))
                        signal(number, self._note)
            except BaseException:
                self._release()
                raise
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != _main_ident:
            return
        self._depth -= 1
        if not self._depth:
            held = self._held[:]
            self._release()
            if self._noted:
                self._answer(held)

    def check(self) -> None:
        """Hand signals that have come to the user's handlers, one of which usually raises an exception."""
        if self._noted and threading.get_ident() == _main_ident:
            self._answer(self._held)

    def _release(self) -> None:
        held = self._held
        try:
            while held:
                signal(*held[-1])
                held.pop()
        finally:
            if held:  # one that was put back has struck already
                self._release()

    def _answer(self, held: list[tuple[int, Handler]]) -> None:
        number = self._noted.pop(0)
        handler = dict(held).get(number)
        try:
            if handler is not None:
                handler(number, sys._getframe())  # noqa: SLF001 - documented, and ``inspect`` would take 10 ms to import
        finally:
            if self._noted:
                self._answer(held)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._noted:
            self._since = now
        if number not in self._noted:  # like the kernel, which does not count them either
            self._noted.append(number)
        if now - self._since > _UNANSWERED:
            self.check()
        self._wake()


_main_ident = threading.main_thread().ident


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception may be Ctrl-C, and not one that looks like it, raised by the user's code in another thread."""
    return isinstance(error, KeyboardInterrupt) and threading.get_ident() == _main_ident


def tell_briefly(error: BaseException | None) -> None:
    """Leave out of the traceback of Ctrl-C, behind the frame that has caught it, those of manyhands' own: they say that it waited.

    The user's stay: those of inputs that were being read, say, or of a handler.
    """
    trace = error.__traceback__ if isinstance(error, KeyboardInterrupt) else None
    while trace is not None:
        behind = trace.tb_next
        while behind is not None and str(behind.tb_frame.f_globals.get("__name__")).startswith("manyhands."):
            behind = behind.tb_next
        trace.tb_next = behind
        trace = behind


def _find_main_thread() -> None:
    """In a forked child the thread that forked is the main one."""
    global _main_ident  # noqa: PLW0603
    _main_ident = threading.main_thread().ident


os.register_at_fork(after_in_child=_find_main_thread)
