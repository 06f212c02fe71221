"""What the figures of a call mean, in words."""

from __future__ import annotations

from typing import NamedTuple

# A share of the time that is worth a word. A guess.
_MUCH = 0.25
_GOOD = 0.85
_TINY = 200e-6  # seconds: tasks below are for large messages


class Figures(NamedTuple):
    """Of one call, in seconds. ``busy``: of all workers together; ``longest``: of the one that worked longest; ``slowest``: of one task.

    ``workers`` are those that might have worked at a time, ``hired``: some of them had to be started; ``start``: until the first task
    began, ``preparing`` of the function and the first inputs with it; ``away``: the program did something else with what it had been
    given; ``fixed``: the size of a message as the user has chosen it, None if it was not.
    """

    tasks: int
    workers: int
    processors: int
    wall: float
    busy: float
    longest: float
    start: float
    preparing: float
    collecting: float
    away: float
    slowest: float
    fixed: int | None
    sent: int
    hired: bool


def verdict(figures: Figures) -> str:
    """One sentence: how well it went, and what would make it better.

    >>> verdict(Figures(10**6, 2, 2, 9.0, 3.0, 1.5, 0, 4, 0, 0, 0, 1, 10**8, False))
    'Serial would have been faster: tasks take 3 µs, less than it takes to send them one by one; use larger chunks (chunk="auto").'
    """
    if not figures.tasks:
        return "There was nothing to do."
    if figures.workers == 1:
        return f"One worker did it all: {figures.tasks:,} tasks of {duration(figures.busy / figures.tasks)}."
    speedup = figures.busy / figures.wall if figures.wall else 0.0
    if speedup < 1:
        return f"Serial would have been faster: {_why_slow(figures)}"
    times = f"{speedup:.2f} times as fast as one worker would have been"
    width = min(figures.workers, figures.tasks)
    if speedup > figures.processors and figures.workers > figures.processors:
        return (
            f"{figures.workers} workers had {figures.processors} processors: tasks that wait were {times}, tasks that compute "
            f"{figures.processors} times at most."
        )
    if speedup >= _GOOD * width:
        return f"Well used: {width} workers were {times}."
    return f"{times[0].upper()}{times[1:]}; {_why_less(figures)}"


def _why_slow(figures: Figures) -> str:
    each = figures.busy / figures.tasks
    lost = figures.wall - figures.busy / figures.workers
    moving = figures.preparing + figures.collecting
    if figures.away > lost / 2:
        return f"the program was busy with the results, or with other things, for {duration(figures.away)} of {duration(figures.wall)}."
    if _starting(figures) > lost / 2:
        return _started(figures)
    if each < _TINY and figures.fixed is not None:
        return (
            f"tasks take {duration(each)}, less than it takes to send them {_in_chunks(figures.fixed)}; use larger chunks "
            f'({"" if figures.fixed == 1 else f"more than {figures.fixed} tasks, or "}chunk="auto").'
        )
    if moving > lost / 2:
        return (
            f"tasks take {duration(each)}, and {duration(moving)} went into reading inputs and moving "
            f"{size(figures.sent)} to workers and what came back; do more in each task, or move less."
        )
    return f"tasks take {duration(each)}; do more in each of them."


def _in_chunks(chunk: int) -> str:
    return "one by one" if chunk == 1 else f"{chunk} at a time"


def _why_less(figures: Figures) -> str:
    mean = figures.busy / figures.workers
    if figures.tasks < figures.workers:
        return f"there were only {figures.tasks} tasks for {figures.workers} workers."
    if figures.slowest > _MUCH * figures.wall and figures.longest > (1 + _MUCH) * mean:
        return f"one task alone took {duration(figures.slowest)} of {duration(figures.wall)}: start the long ones first, or divide them."
    if figures.longest > (1 + _MUCH) * mean:
        chunks = "" if figures.fixed in {None, 1} else ", in smaller chunks"
        return f"the work was uneven, so that workers waited at the end: use more and smaller tasks{chunks}."
    if _starting(figures) > _MUCH * figures.wall:
        return _started(figures)
    if figures.preparing > _MUCH * figures.wall:
        return f"reading the inputs and sending them took {duration(figures.preparing)} of {duration(figures.wall)}, while workers waited."
    if figures.collecting > _MUCH * figures.wall:
        return f"reading the results took {duration(figures.collecting)} of {duration(figures.wall)}, while workers waited."
    if figures.workers > figures.processors:
        return f"{figures.workers} workers had {figures.processors} processors."
    if figures.away > _MUCH * figures.wall:
        return f"the program was busy with the results, or with other things, for {duration(figures.away)} of {duration(figures.wall)}."
    return "workers waited for the program: for its inputs, or until it took results."


def _starting(figures: Figures) -> float:
    """What of the time until the first task is not that of its inputs."""
    return max(0.0, figures.start - figures.preparing)


def _started(figures: Figures) -> str:
    took = f"{duration(_starting(figures))} of {duration(figures.wall)}"
    if figures.hired:
        return f"starting workers took {took}; they stay warm, so the next call is quicker."
    until = "until a worker was free and had loaded the function with what it needs"
    return f"{took} went by {until}; what is loaded stays, so the next call is quicker."


def duration(seconds: float) -> str:
    """``"3 µs"``, ``"4.2 ms"``, ``"1.7 s"``, ``"2 min 5 s"``."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """``"12 bytes"``, ``"3.4 kB"``, ``"1.2 GB"``; of 1000."""
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
