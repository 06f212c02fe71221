"""The end of a ``Process``: who watches its sentinel is woken; and an error that nobody is left to ask for is said."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._wire import _posix

if TYPE_CHECKING:
    from concurrent.futures import Future

# Not the process's own: the program has ended, and with it what was under way.
_NOT_SAID = (errors.PoolClosed, SystemExit)


class End:
    """Of one process. Whoever runs it knows this, and not the program's object, which may be gone by then.

    No lock is held where an error is noted or said: the garbage collector may say one in the midst of the other.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._program = os.getpid()
        self._unheard: list[BaseException] = []  # the error, until somebody has been told
        self._heard = False
        self._forgotten = False  # nobody can ask any more
        self._come = False
        self._making = threading.Lock()  # of the sentinel
        self._sentinel: tuple[int, ...] = ()

    def come(self, future: Future[Any]) -> None:
        """It has ended."""
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, _NOT_SAID):
            self._unheard.append(error)
        self._come = True
        self._ring()
        if self._forgotten:
            self._say()

    def hear(self) -> None:
        """The program knows, or will not be surprised, that it has failed."""
        self._heard = True
        self._unheard.clear()

    def forget(self) -> None:
        """Nobody can ask any more how it has ended."""
        self._forgotten = True
        fds, self._sentinel = self._sentinel, ()
        _posix.close_quietly(fds)
        self._say()

    def _say(self) -> None:
        """What the end of a child of multiprocessing says when it fails; here, only if nobody has got the error."""
        try:
            error = self._unheard.pop()
        except IndexError:
            return
        if self._heard or self._program != os.getpid() or sys.stderr is None:
            return
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it is closed, or the collector has struck in the midst of a line
            sys.stderr.write(f"Process {self._name} failed, and nobody has joined it:\n{text}")
            sys.stderr.flush()

    # ------------------------------------------------------------ the sentinel

    def sentinel(self) -> int:
        """A descriptor that can be read from when it has ended."""
        with self._making:
            if not self._sentinel:
                self._sentinel = _posix.waker_pair()
        if self._come:
            self._ring()
        return self._sentinel[0]

    def _ring(self) -> None:
        # A byte, rather than the end of the pipe: other processes may have inherited that.
        for fd in self._sentinel[1:]:
            _posix.ring(fd)
