"""The process that shows a run in the terminal of its program, and its summary when it has ended.

It is none of the program's children, and the program does nothing for it: no picture costs it anything, and if it is killed, the terminal
is put in order all the same. It is of the program's process group, so that it is stopped and goes on with it (Ctrl-Z), and paints only
while that is in the foreground.
"""

from __future__ import annotations

import contextlib
import locale
import os
import select
import signal
import sys
import time
from typing import Any

from rich.text import Text

from manyhands.watch import _commands, _panel, _sayings, _terminal

_EVERY = 0.25  # seconds between two pictures, at least
_LOWEST, _NARROWEST = 8, 30  # rows and columns of a terminal that has room for a panel
_UNKNOWN = 80  # columns of a terminal that says it has none, as those of containers may; how many rows it has, nobody knows
_ENDS_WITHIN = 5.0  # seconds in which the observer knows that the program has ended
_KNOWN_WITHIN = 5.0  # seconds in which the observer knows of the run
_NOT_WITHIN = {signal.SIGTSTP, signal.SIGWINCH}  # a picture
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE)  # they are for the program, whose end is seen


def main(run: str, out: int, told: int) -> None:
    """Show a run at the descriptor ``out``. When that is over, or cannot be done, ``told`` is told, a pipe to the program."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    shown = InTerminal(out) if can_paint(out) else InLines(out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGTSTP, lambda *_: shown.stop())
    signal.signal(signal.SIGWINCH, lambda *_: shown.resized())
    try:
        with _commands.Look() as look:
            _follow(look, run, shown, told)
    except OSError:  # nobody observes any more, or the terminal has gone
        pass
    finally:
        with contextlib.suppress(OSError):
            shown.close()
        with contextlib.suppress(OSError):
            os.write(told, b".")


def can_paint(out: int) -> bool:
    """Whether it is a terminal that can be painted on."""
    return os.isatty(out) and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def _follow(look: _commands.Look, token: str, shown: InTerminal | InLines, told: int) -> None:
    begun = time.monotonic()
    while _has_come(look, told) and (said := look.next()) is not None:
        run = next((run for run in said["runs"] if run["id"] == token), None)
        if run is None:
            if time.monotonic() - begun > _KNOWN_WITHIN:
                return
            continue
        signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_WITHIN)
        shown.show(run)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_WITHIN)
        if run["state"] != "running":
            return
        time.sleep(_EVERY)


def _has_come(look: _commands.Look, told: int) -> bool:
    """Wait for news. When the program has gone, they come soon, or never: who reads what it has written waits for this process, too."""
    poll = select.poll()
    poll.register(look, select.POLLIN)
    poll.register(told, 0)  # that nobody reads there any more
    ready = [descriptor for descriptor, _ in poll.poll()]
    if look.fileno() in ready:
        return True
    poll.unregister(told)
    return bool(poll.poll(_ENDS_WITHIN * 1000))


def written(out: int, text: str) -> None:
    """Write all of it, at once where the terminal takes it. The program may have made it one that does not wait."""
    data = text.encode("utf-8", "replace")
    while data:
        try:
            data = data[os.write(out, data) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(out, select.POLLOUT)
            poll.poll()


class InLines:
    """A run where there is no terminal."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._sayings = _sayings.Sayings()

    def show(self, run: dict[str, Any]) -> None:
        """It is so."""
        for line in self._sayings.about(run, time.monotonic()):
            written(self._out, f"{line}\n")

    def stop(self) -> None:
        """The program is being stopped, and this with it."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def resized(self) -> None:
        """The terminal has another size."""

    def close(self) -> None:
        """Nothing more is shown."""


class InTerminal:
    """A run at the bottom of a terminal, until it has ended; then its summary."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._panel = _panel.Panel()
        self._run: dict[str, Any] | None = None
        self._is_ascii = "utf" not in locale.getencoding().lower()

    def show(self, run: dict[str, Any]) -> None:
        """It is so."""
        self._run = run
        columns, rows = os.get_terminal_size(self._out)
        columns = columns or _UNKNOWN
        if run["state"] != "running":
            self._end(run, columns)
        elif rows < _LOWEST or columns < _NARROWEST:
            self.close()
        elif _is_in_foreground(self._out):
            lines = self._printed(_terminal.picture(run, columns, rows // 2), columns)
            written(self._out, self._panel.shown(lines, columns, rows))

    def _end(self, run: dict[str, Any], columns: int) -> None:
        first, *others = _terminal.summary(run)
        lines = self._printed([Text.assemble(("manyhands: ", "dim"), first), *others], columns)
        written(self._out, "".join([self._panel.closed(), _panel.new_line(columns), *(f"{line}\n" for line in lines)]))

    def _printed(self, lines: list[Text], columns: int) -> list[str]:
        return _terminal.printed(lines, columns, colours="NO_COLOR" not in os.environ, is_ascii=self._is_ascii)

    def stop(self) -> None:
        """The program is being stopped, and this with it."""
        self.close()
        os.kill(os.getpid(), signal.SIGSTOP)

    def resized(self) -> None:
        """The terminal has another size: what is in the way there is put right before the program prints anything."""
        if self._run is not None:
            self.show(self._run)

    def close(self) -> None:
        """Nothing more is shown."""
        written(self._out, self._panel.closed())


def _is_in_foreground(out: int) -> bool:
    try:
        return os.tcgetpgrp(out) == os.getpgrp()
    except OSError:  # it is not the one that this process belongs to
        return True
