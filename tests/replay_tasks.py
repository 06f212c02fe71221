"""What test_replay.py has fail: in a module that workers load quickly."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def divide(a, b=0):
    return a / b


def spoil(values, number):
    """Fails, and changes what it was given before."""
    total = int(values.sum())
    values[:] = 0
    number["n"] += 1
    raise ValueError(f"{total} and {number['n']}")


def end(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    os._exit(3)


def sleep(_):
    time.sleep(60)


def generator(count):
    return (i for i in range(count))


class Odd(Exception):
    """It cannot be rebuilt by pickle, and cannot be sent."""

    def __init__(self, first, second):
        super().__init__(first)
        self.held = generator(1)


def odd(_):
    raise Odd("odd", 2)


class Unreadable:
    def __setstate__(self, state):
        raise KeyError("not here")


def unreadable(_):
    made = Unreadable()
    made.x = 1
    return made


class Touching:
    """Tells whether it has been unpickled."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.path = state["path"]
        Path(self.path).touch()
