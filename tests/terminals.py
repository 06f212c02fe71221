"""Terminals in which programs run: what stands on them when all that was written has been obeyed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time

import psutil
import scripts

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b([78DM=>])|([\n\r])|([^\x1b\n\r])")


ENDED = "ended with "
_SHELL = f"""trap : INT; "$@"; echo "{ENDED}$?."; read _"""  # what has started the program goes on


class Screen:
    """Obeys what ``manyhands`` uses, and no more: what it does not know fails."""

    def __init__(self, columns=80, rows=24):
        self.columns, self.rows = columns, rows
        self.lines = [""] * rows
        self.gone = []  # lines that have been scrolled away
        self.x = self.y = 0
        self.top, self.bottom = 0, rows - 1
        self._saved = (0, 0)
        self._rest = ""

    def feed(self, text):
        text = self._rest + text
        end = 0
        for token in _TOKEN.finditer(text):
            if token.start() != end:
                break
            end = token.end()
            values, command, escape, control, letter = token.groups()
            if letter:
                self._put(letter)
            elif control:
                self._control(control)
            elif escape:
                self._escape(escape)
            else:
                self._command(command, values)
        self._rest = text[end:]
        assert len(self._rest) < 20, f"not known here: {self._rest!r}"

    def _put(self, letter):
        if self.x == self.columns:
            self.x = 0
            self._down()
        line = self.lines[self.y].ljust(self.x)
        self.lines[self.y] = line[: self.x] + letter + line[self.x + 1 :]
        self.x += 1

    def _control(self, control):
        if control == "\r":
            self.x = 0
        else:
            self._down()

    def _down(self):
        if self.y == self.bottom:
            line = self.lines.pop(self.top)
            if not self.top:
                self.gone.append(line)
            self.lines.insert(self.bottom, "")
        else:
            self.y = min(self.rows - 1, self.y + 1)

    def _escape(self, escape):
        if escape == "7":
            self._saved = self.x, self.y
        elif escape == "8":
            self.x, self.y = self._saved
        elif escape == "D":
            self._down()

    def _command(self, command, values):
        numbers = [int(value) if value.isdigit() else 0 for value in values.split(";")]
        if command == "A":
            self.y = max(self.top, self.y - max(1, numbers[0]))
        elif command == "H":
            self.y, self.x = (max(1, numbers[0]) - 1, max(1, [*numbers, 1][1]) - 1)
        elif command == "J":
            self.lines[self.y] = self.lines[self.y][: self.x]
            self.lines[self.y + 1 :] = [""] * (self.rows - self.y - 1)
        elif command == "K":
            self.lines[self.y] = "" if numbers[0] == 2 else self.lines[self.y][: self.x]
        elif command == "r":
            self.top, self.bottom = (numbers[0] or 1) - 1, (numbers[1] if len(numbers) > 1 else self.rows) - 1
            self.x = self.y = 0
        else:
            assert command in "mhl", f"not known here: {command}"

    def resize(self, columns, rows):
        """As a terminal does that keeps what is at the top, and moves it up where that has no room."""
        while len(self.lines) > rows and self.y >= rows:
            self.gone.append(self.lines.pop(0))
            self.y -= 1
        self.columns, self.rows, self.top, self.bottom = columns, rows, 0, rows - 1
        self.lines = [*self.lines, *[""] * rows][:rows]

    @property
    def text(self):
        """What can be read, with what has been scrolled away."""
        return "\n".join(line.rstrip() for line in [*self.gone, *self.lines]).rstrip()

    @property
    def is_whole(self):
        """All of it scrolls."""
        return (self.top, self.bottom) == (0, self.rows - 1)


class Terminal:
    """A program in a terminal."""

    def __init__(self, shell, master, screen):
        self._shell = shell
        self.screen = screen
        self._master = master

    def until(self, condition, seconds=20.0):
        """When ``condition(screen)`` is true."""
        deadline = time.monotonic() + seconds
        while not condition(self.screen):
            left = deadline - time.monotonic()
            assert left > 0, f"did not come about:\n{self.screen.text}"
            self._read(min(left, 0.1))

    def press(self, keys):
        os.write(self._master, keys.encode())

    def kill(self):
        """Kill the program."""
        for child in psutil.Process(self._shell.pid).children():
            child.kill()

    def end(self):
        """Wait for the end of the program; its exit status."""
        self.until(lambda screen: re.search(f"{ENDED}[0-9]+[.]", screen.text))
        return int(self.screen.text.rpartition(ENDED)[2].partition(".")[0])

    def _read(self, seconds):
        if select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # nobody has it open any more
                self.screen.feed(os.read(self._master, 1 << 16).decode())


@contextlib.contextmanager
def started(*command, columns=80, rows=24):
    """A program that runs meanwhile, in a terminal that it is controlled by; killed at the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    arguments = ["sh", "-c", _SHELL, "sh", sys.executable, *(command if len(command) > 1 else ["-c", textwrap.dedent(command[0])])]
    environment = scripts.environment(TERM="xterm", PYTHONUTF8="1", COLUMNS="", LINES="")

    def take():
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)  # Ctrl-C goes to who is controlled by it

    shell = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, preexec_fn=take)
    os.close(slave)
    try:
        yield Terminal(shell, master, Screen(columns, rows))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        os.close(master)
