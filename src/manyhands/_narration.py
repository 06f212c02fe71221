"""What ``Parallel(verbose=...)`` says about its progress."""

from __future__ import annotations

import math
import sys
import time
from typing import NamedTuple


class Standing(NamedTuple):
    """Where a call stands. ``total``: of its calls, where that is known; ``reading``: there are inputs that have not been read."""

    done: int
    dispatched: int
    total: int | None
    reading: bool


class Narration:
    """Decides when something is to be said, and what. Above 10, whenever results have come; below, less and less often."""

    def __init__(self, verbose: float) -> None:
        self._verbose = verbose
        self._begin = time.monotonic()
        self._said = 0
        self._ended = False

    def progress(self, now: Standing) -> str | None:
        """What is to be said now, if anything is."""
        if not self._is_due(now.done):
            return None
        self._said = now.done
        elapsed = time.monotonic() - self._begin
        width = _width(now)
        if not now.reading:
            left = elapsed / max(now.done, 1) * (now.dispatched - now.done)
            total = f"out of {now.dispatched:{width}d} | elapsed: {short_time(elapsed)} remaining: {short_time(left)}"
        elif now.total is not None:
            total = f"out of {now.total:{width}d} | elapsed: {short_time(elapsed)}"
        else:
            total = f"tasks {'':{len('out of ') + width - len('tasks')}}| elapsed: {short_time(elapsed)}"
        return f"Done {now.done:{width}d} {total}"

    def finished(self, now: Standing) -> str | None:
        """What is to be said at the end, once."""
        if self._ended:
            return None
        self._ended = True
        width = _width(now)
        return f"Done {now.done:{width}d} out of {now.done:{width}d} | elapsed: {short_time(time.monotonic() - self._begin)} finished"

    def _is_due(self, done: int) -> bool:
        if done <= self._said:
            return False
        if self._verbose > 10:
            return True
        step = 0.5 * (11 - self._verbose) ** 2
        return int(math.sqrt(done / step)) > int(math.sqrt(self._said / step))


def _width(now: Standing) -> int:
    return len(str(now.total)) if now.total else 3


def short_time(seconds: float) -> str:
    """``'    1.0s'``, or, above a minute, ``' 1.5min'``."""
    return f"{seconds / 60:4.1f}min" if seconds > 60 else f" {seconds:5.1f}s"


def say(who: object, text: str, verbose: float) -> None:
    """Say it on standard error; above 50, on standard output."""
    stream = sys.stdout if verbose > 50 else sys.stderr
    print(f"[{who!r}]: {text}", file=stream, flush=True)
