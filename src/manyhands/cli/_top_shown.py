"""What ``manyhands top`` shows: one picture, a line now and then, or the whole terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from manyhands.watch import _sayings, _terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.watch._commands import Look

_EVERY = 0.25  # seconds between two pictures, at least
_SIZE_EVERY = 0.5  # seconds between two looks at the size of the terminal
_NARROWEST = 20
_ENDS_IT = b"qQ\x04"  # the last one is Ctrl-D
_FOOT = "q: quit"


def once(look: Look) -> None:
    """One picture on standard output, as long as it is."""
    console = Console(highlight=False)
    told = look.next()
    for line in _picture(told, console.width, sys.maxsize):
        console.print(line, soft_wrap=True)


def lines(look: Look) -> None:
    """A line now and then on standard output, until all runs have ended."""
    said: dict[str, _sayings.Sayings] = {}
    while (told := look.next()) is not None:
        for run in told["runs"]:
            for line in said.setdefault(run["id"], _sayings.Sayings()).about(run, time.monotonic()):
                print(line, flush=True)
        if all(run["state"] != "running" for run in told["runs"]):
            return
        time.sleep(_EVERY)


def _picture(told: dict[str, Any] | None, width: int, height: int) -> list[Text]:
    return [] if told is None else _terminal.screen(told["runs"], max(_NARROWEST, width), height)


class FullScreen:
    """The whole terminal, until somebody presses q or Ctrl-C, or nobody observes any more."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._console = Console(highlight=False)
        self._told: dict[str, Any] = {"runs": []}
        self._known: set[str] | None = None  # runs that had ended before

    def show(self) -> None:
        """Show it. What has ended meanwhile is summed up when the picture has gone."""
        with contextlib.suppress(KeyboardInterrupt), _keys() as keys, Live(console=self._console, screen=True, auto_refresh=False) as live:
            while self._has_come(keys):
                self._paint(live)
        for run in self._told["runs"]:
            if run["state"] != "running" and run["id"] not in (self._known or ()):
                self._console.print(*_terminal.summary(run), sep="\n", soft_wrap=True)

    def _paint(self, live: Live) -> None:
        width, height = self._console.size
        lines = _picture(self._told, width, height - 1)
        lines += [Text()] * (height - 1 - len(lines))
        live.update(Group(*lines, Text(_FOOT, "dim")), refresh=True)

    def _has_come(self, keys: int | None) -> bool:
        """Wait for news, or for the terminal to have changed its size; whether it goes on."""
        poll = select.poll()
        poll.register(self._look, select.POLLIN)
        if keys is not None:
            poll.register(keys, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(_SIZE_EVERY * 1000)}
        if keys in ready:
            pressed = os.read(keys, 64)
            if not pressed or any(key in _ENDS_IT for key in pressed):
                return False
        if self._look.fileno() in ready:
            return self._take()
        return True

    def _take(self) -> bool:
        told = self._look.next()
        if told is None:
            return False
        if self._known is None:
            self._known = {run["id"] for run in told["runs"] if run["state"] != "running"}
        self._told = told
        return True


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """Where keys come from, one by one; None: nobody sits there."""
    try:
        keys = sys.stdin.fileno()
        before = termios.tcgetattr(keys)
    except (OSError, ValueError, AttributeError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(keys, termios.TCSADRAIN)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
