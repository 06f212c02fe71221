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

    ``wake`` is called when a signal comes, so that a blocking call inside ends. Entered by one thread at a time.
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
        self._depth += 1
        if self._depth == 1:
            # A handler that was not installed from Python (None) cannot be put back, so it is left alone.
            self._previous = getsignal(SIGINT)
            if callable(self._previous):
                signal(SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != _MAIN_THREAD.ident:
            return
        self._depth -= 1
        if self._depth:
            return
        previous = self._previous
        if callable(previous):
            signal(SIGINT, previous)
            if self._pending:
                self._pending = False
                previous(SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        self._wake()


_MAIN_THREAD = threading.main_thread()
