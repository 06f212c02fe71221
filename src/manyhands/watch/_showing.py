"""The program's side of what is shown in its terminal: a process that does it is started, and at the end waited for."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys

from manyhands.watch import _notebook, _panel

_WITHIN = 3.0  # seconds in which the summary is there; it is waited for no longer
# The first process ends at once, so that the program has no child that it does not know of.
_PROGRAM = """
import os, sys
if os.fork():
    os._exit(0)
sys.path.insert(0, sys.argv.pop(1))
from manyhands.watch import _painter
_painter.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


class Showing:
    """A run is shown at a descriptor, which stays the caller's. ``log``: where what goes wrong is noted."""

    def __init__(self, run: str, out: int, log: str) -> None:
        self._out = out
        self._heard, told = os.pipe()
        home = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        shown = os.dup(out)  # standard error of what is started is the log
        command = [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, home, run, str(shown), str(told)]
        try:
            with open(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=[shown, told], check=False)
        except BaseException:
            os.close(self._heard)
            raise
        finally:
            os.close(told)
            os.close(shown)

    def wait(self) -> None:
        """Until the summary of the run, which has ended, is there; or it takes too long."""
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        try:
            was_killed = poll.poll(_WITHIN * 1000) and not os.read(self._heard, 1)
        finally:
            self.forget()
        if was_killed and os.isatty(self._out):
            with contextlib.suppress(OSError):
                os.write(self._out, _panel.RESET.encode())

    def forget(self) -> None:
        """It is nothing to this process any more."""
        os.close(self._heard)


def descriptor() -> int | None:
    """That of standard error; None: there is none."""
    try:
        found = 2 if _notebook.is_one() else sys.stderr.fileno()  # a notebook shows what is written to that one
    except (AttributeError, OSError, ValueError):  # the program has put something else in its place
        found = 2
    try:
        os.fstat(found)
    except OSError:
        return None
    return found
