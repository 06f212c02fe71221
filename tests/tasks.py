"""Functions that tests run in workers, well and badly behaved. Imported there by name."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time

BAD = 3  # the task that misbehaves


def identity(x):
    return x


def square(x):
    return x * x


def add(x, y=0):
    return x + y


def pid(_=None):
    return os.getpid()


def raise_value_error(x):
    if x == BAD:
        raise ValueError("three is bad")
    return x


def kill_self(x, number=signal.SIGKILL):
    if x == BAD:
        os.kill(os.getpid(), number)
        signal.pause()
    return x


def segfault(x):
    if x == BAD:
        ctypes.string_at(0)
    return x


def hard_exit(x):
    if x == BAD:
        os._exit(7)
    return x


def soft_exit(x):
    if x == BAD:
        sys.exit(5)
    return x


class Unloadable(Exception):
    """Its constructor does not fit its args: what breaks other pools."""

    def __init__(self, code, where):
        super().__init__(f"code {code} at {where}")
        self.code = code


class Hopeless(Exception):
    """Cannot be rebuilt by any means."""

    def __str__(self):
        if os.environ.get("MANYHANDS_WORKER") is None:
            raise TypeError("not in this process")
        return super().__str__()

    def __reduce__(self):
        raise TypeError("not to be pickled")


def raise_unloadable(x):
    if x == BAD:
        raise Unloadable(42, "here")
    return x


def raise_hopeless(x):
    if x == BAD:
        raise Hopeless("no way")
    return x


class Holder:
    def __init__(self, value):
        self.config = {"parts": [1, value]}


def return_unpicklable(x):
    if x == BAD:
        return Holder(x for x in ())
    return x


class NotInWorkers:
    """An argument that cannot be unpickled."""

    def __init__(self, x):
        self.x = x

    def __setstate__(self, state):
        raise RuntimeError("cannot be rebuilt")


class KillsOnLoad:
    """An argument that takes its worker down while it is unpickled."""

    def __init__(self, x):
        self.x = x

    def __setstate__(self, state):
        if os.environ.get("MANYHANDS_WORKER"):
            os.kill(os.getpid(), signal.SIGKILL)


class NotInParent:
    """A result that cannot be unpickled."""

    def __init__(self, x):
        self.x = x

    def __setstate__(self, state):
        if not os.environ.get("MANYHANDS_WORKER"):
            raise RuntimeError("cannot be rebuilt here")


def return_unloadable(x):
    return NotInParent(x) if x == BAD else x


def hang(x, event_dir=None):
    if x == BAD:
        if event_dir is not None:
            note(event_dir, "started")
        while True:
            time.sleep(3600)
    return x


def hang_in_c(x):
    """Sleeps in C with the GIL held: no Python signal handler, no other thread can run."""
    if x == BAD:
        ctypes.PyDLL(None).sleep(3600)
    return x


def note(folder, name, text=""):
    """Leave a file that another process can wait for; atomic."""
    path = os.path.join(folder, f"{name}.{os.getpid()}.{threading.get_ident()}.{time.monotonic_ns()}")
    with open(path + ".part", "w") as file:
        file.write(text or str(os.getpid()))
    os.rename(path + ".part", path)


def log(x, folder):
    """Leave one file for each run of a task."""
    note(folder, f"ran-{x}")
    return x


def slow_log(x, folder):
    spin(0.02)
    return log(x, folder)


def log_and_kill(x, folder):
    note(folder, f"ran-{x}")
    return kill_self(x)


def fail_until(x, folder, times, how="raise"):
    """Fail the first ``times`` runs of task ``x``."""
    note(folder, f"ran-{x}")
    runs = sum(name.startswith(f"ran-{x}.") for name in os.listdir(folder))
    if runs <= times:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ConnectionError(f"run {runs}")
    return x


def fail_from(x, first):
    """Fails for all inputs from ``first`` on."""
    if x >= first:
        raise ValueError(f"number {x}")
    return x


def fail_after(seconds, x, folder):
    log(x, folder)
    spin(seconds)
    raise ValueError(f"number {x}")


def wait_for_fifo(x, path, then="return"):
    """Task ``BAD`` computes until something is written to a FIFO."""
    log(x, os.path.dirname(path))
    if x == BAD:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        while not select.select([fd], [], [], 0)[0]:
            continue
        os.close(fd)
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return [x]


def of_any_kind(x):
    """Results and failures of all kinds that are sent in ways of their own."""
    kind = x % 7
    if kind == 0:
        raise ValueError(f"number {x}")
    return [x, [x], b"x" * x, {"a": [x]}, bytearray(100_000), "text"][kind - 1]


def eat_memory(x):
    if x == BAD:
        block = bytearray(1 << 30)
        return len(block)
    return x


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def start_child(x):
    """A grandchild that outlives its worker unless somebody sees to it."""
    import subprocess

    if x == BAD:
        child = subprocess.Popen(["sleep", "3600"])
        os.environ["CHILD"] = str(child.pid)
        time.sleep(3600)
    return x


def nested(n):
    import manyhands

    return sum(manyhands.map(square, range(n)))
