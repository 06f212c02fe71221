"""Programs run as users run them: in a Python of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import waiting

HERE = str(Path(__file__).parent)


def environment(**extra):
    path = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **extra}


def run(code, *args, seconds=40, **extra):
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(**extra),
        check=False,
    )


@contextlib.contextmanager
def started(code, *args, **extra):
    """A program that runs meanwhile; killed at the end, with all that it left."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**extra),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(signal.SIGKILL)
        process.kill()
        process.communicate()


def descendants(process, count):
    """Process ids of the zygote and the workers, as soon as there are ``count``."""

    def look():
        return [p.pid for p in psutil.Process(process.pid).children(recursive=True)]

    waiting.until(lambda: len(look()) >= count)
    return look()
