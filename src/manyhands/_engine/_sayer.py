"""In the parent: a thread that says what workers say, as if the program had said it itself.

A thread of its own, and not whoever drives the pool: streams and handlers are the user's. They may take long, block, be locked by somebody
who waits for a result, or wait for one themselves; none of that may keep the pool from going on.

**Guarantees**

- What a task has said is said before its result is given to anybody; unless saying takes longer than ``_PATIENCE``: then it does not keep
  results back until it goes on.
- A worker never waits for anything but this thread.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import TYPE_CHECKING

from manyhands._engine._echo import Echo
from manyhands._wire import _messages, _posix

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds that results wait for what comes before them to be said, and that the end of a pool waits. A guess.
_PATIENCE = 0.5
_END = 2.0


class Sayer:
    """See the module."""

    def __init__(self) -> None:
        self._pipe = _messages.Pipe()
        self._echo = Echo()
        self._wake = _posix.waker_pair()
        self._turns = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._stuck = False  # somebody has lost patience, and it has not gone on since
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Begin to listen; the descriptor that workers write to."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="manyhands-sayer", daemon=True)
            try:
                self._thread.start()
            except (
                RuntimeError
            ):  # no room for a thread, or the interpreter is at its end: what does not fit the pipe workers say themselves
                self._thread = None
                os.set_blocking(self._pipe.theirs, False)
        return self._pipe.theirs

    def catch_up(self) -> None:
        """Return when all has been said that workers have said by now; or if that takes too long."""
        if self._thread is None:
            self._say_all()
        if self._thread is None or self._stuck or self._thread is threading.current_thread():
            return
        with self._turns:
            self._asked += 1
            ticket = self._asked
            _posix.ring(self._wake[1])
            self._stuck = not self._turns.wait_for(lambda: self._answered >= ticket or self._stopping, _PATIENCE)

    def _say_all(self) -> None:
        for message in self._pipe.read():
            self._echo.say(message)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._pipe.fd, select.POLLIN)
        poll.register(self._wake[0], select.POLLIN)
        while True:
            asked, stopping = self._asked, self._stopping
            messages = self._pipe.read()
            for message in messages:
                self._echo.say(message)
            with self._turns:
                self._answered, self._stuck = asked, False
                self._turns.notify_all()
            if messages or self._asked != asked:
                continue
            if stopping:
                return
            poll.poll()
            _posix.silence(self._wake[0])

    def stop(self) -> None:
        """No worker is left: say the rest, and end. One that cannot go on is left behind."""
        thread = self._thread
        if thread is None:
            self._say_all()
        elif thread is not threading.current_thread():
            self._stopping = True
            _posix.ring(self._wake[1])
            thread.join(_END if not self._stuck else _PATIENCE / 5)
            if thread.is_alive():
                _blocked.append(self._echo.stream_in_use)
                return  # its descriptors are in use
        self.abandon()

    def abandon(self) -> None:
        """In a forked child, and at the end: let go of the descriptors."""
        fds, self._wake = self._wake, (-1, -1)
        _posix.close_quietly(fds)
        self._pipe.close()


_blocked: list[Callable[[], str | None]] = []


def leave_blocked_streams() -> None:
    """At the end of the program: a stream in which a thread is blocked cannot be flushed, and to try ends the interpreter with a fault."""
    for stream_in_use in _blocked:
        name = stream_in_use()
        if name is not None:
            setattr(sys, name, None)
