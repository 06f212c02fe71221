"""Waiting for facts of other processes, by looking for them; there is no event to wait for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil


def until(condition, seconds=20.0):
    """The first true value of ``condition()``; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        os.sched_yield()
    raise AssertionError(f"did not come about within {seconds} s")


def noted(folder, name, count=1):
    """The texts that ``tasks.note`` left under ``name``, as soon as there are ``count``."""

    def look():
        paths = [p for p in Path(folder).iterdir() if p.name.startswith(f"{name}.") and not p.name.endswith(".part")]
        return paths if len(paths) >= count else None

    return [path.read_text() for path in until(look)]


def gone(pid):
    """Whether a process has ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
