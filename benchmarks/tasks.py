"""The functions that workers run. They live in a module of their own, so that every library can send them by name."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def noop(value: T) -> T:
    """Do nothing. The argument comes back, so that results can be checked."""
    return value


def burn(seconds: float) -> float:
    """Keep a processor busy for so long, counted in its own time: what others take away is not counted."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


def nap(seconds: float) -> int:
    """Sleep, so that the other workers get their share of the tasks; tell who did."""
    time.sleep(seconds)
    return os.getpid()


def stamp(seconds: float) -> tuple[int, float]:
    """Tell who started this task, and when, on the clock that all processes share; then sleep."""
    now = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), now


def whoami(_: object) -> int:
    """The process that this task runs in."""
    return os.getpid()


def run_chunk(fn: Callable[[object], object], chunk: list[object]) -> list[object]:
    """Several tasks as one, for libraries that leave batching to the user."""
    return [fn(value) for value in chunk]


def touch(array: Any) -> float:
    """Read a number of each page of an array."""
    return float(array.reshape(-1)[::512].sum())


def touch_frame(frame: Any) -> float:
    """The same of each column of a frame."""
    return float(sum(touch(frame[name].to_numpy()) for name in frame))


def fill(size: int) -> Any:
    """An array of so many numbers."""
    import numpy as np

    return np.full(size, 1.0)


def first(held: Any, index: int) -> int:
    """Use what the function holds."""
    return index + int(held[0])
