"""Ctrl-C is taken at a safe point.

An exception raised by a signal handler may strike between any two byte codes; in the middle of moving a task from one place
to another it would lose the task. While the pool's state is being changed in the main thread, SIGINT is therefore noted, and
handed to the user's own handler as soon as the change is complete.
"""

from __future__ import annotations

import threading
from _signal import SIGINT, getsignal, signal

# ``_signal`` is what ``signal`` wraps; the wrapper's enums would cost 3 us for each task that is waited for.

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None


class Shield:
    """``with shield:`` holds SIGINT back in the main thread; elsewhere it does nothing.

    ``wake`` is called when a signal comes, so that a blocking call inside ends; :meth:`check`, called at safe points inside,
    then hands it to the user's handler. A second signal that comes before does so at once. Entered by one thread at a time.

    The order of the statements matters: before the handler is exchanged nothing has been changed, afterwards nothing can strike.
    """

    __slots__ = ("_depth", "_pending", "_previous", "_wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._depth = 0
        self._pending = False
        self._previous: Handler = None

    def __enter__(self) -> None:
        if threading.get_ident() != _MAIN_THREAD.ident:
            return
        if not self._depth:
            previous = getsignal(SIGINT)
            self._pending = False
            # A handler that was not installed from Python (None) cannot be put back, so it is left alone.
            if callable(previous):
                signal(SIGINT, self._note)
                self._previous = previous
            else:
                self._previous = None
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != _MAIN_THREAD.ident:
            return
        self._depth -= 1
        if not self._depth and callable(self._previous):
            signal(SIGINT, self._previous)
            self.check()

    def check(self) -> None:
        """Hand a signal that has come to the user's handler, which usually raises KeyboardInterrupt."""
        if self._pending and callable(self._previous) and threading.get_ident() == _MAIN_THREAD.ident:
            self._pending = False
            self._previous(SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._pending:
            self.check()
            return
        self._pending = True
        self._wake()


_MAIN_THREAD = threading.main_thread()
