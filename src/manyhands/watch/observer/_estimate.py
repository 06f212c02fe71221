"""When a call will have ended, and how wrong that may be. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manyhands.watch.observer._calls import Call
    from manyhands.watch.observer._model import Run

NS = 1_000_000_000
_ENOUGH = 3  # tasks, before anything is said
_SURE = 0.05  # of the time that is left: what else there may be is not known
_WINDOW = 10 * NS  # over which a rate is taken, at least,
_SEVERAL = 50  # and so many tasks
_LONG = 3.0  # times what tasks take: one that has run so long is of another kind, of which nothing is known


def eta(run: Run, call: Call, now: int) -> tuple[float, float] | None:
    """Seconds until a call ends, and the likely error of that; None: it cannot be told yet, or no more.

    What is left, less what has been done of the tasks that run, at the rate of the last ten seconds, or of the last fifty tasks; but no
    less than the tasks that run will take. The error is that of a mean of tasks which differ as much as those that have ended: of the mean
    itself, and of the sum of those to come; and of what is not known of the tasks that run. How long a task will take that takes longer
    than usual, nobody knows. If it takes much longer, nothing is said, unless the others are not done before it is twice as old.
    """
    total = call.known
    if not total or call.done < _ENOUGH:
        return None
    left = total - call.done
    if left <= 0:
        return None if call.total is None else (0.0, 0.0)  # who submits tasks one by one may go on
    begun = max(call.begun, call.first_start) if call.first_start < now else call.begun  # until there were workers, none was done
    mean = call.spread.mean
    ages = [run.worked(worker, task.since, now) for worker, task in run.at_work(call).items()]
    parts = sum(min(1.0, age / mean) for age in ages) if mean else 0.0
    rate, seen = _rate(call, max(1, now - begun), now, parts)
    seconds, oldest = max(0.0, left - parts) / rate, max(ages, default=0)
    if oldest > _LONG * call.usual and oldest / NS > seconds:
        return None
    least = max((_rest(age, call) for age in ages), default=0.0) / NS
    error = max(_SURE, call.spread.variation * math.sqrt(1 / seen + 1 / left) + min(len(call.work), max(1, call.workers)) / (2 * seen))
    return max(seconds, least), max(seconds * min(1.0, error), least if oldest > mean else 0.0)


def _rest(age: int, call: Call) -> float:
    """Nanoseconds that a task of some age will take. One that takes longer than others is in the midst of it, for all that is known."""
    mean = call.spread.mean
    return mean - age if age <= mean else max(age - mean, min(1.0, call.spread.variation) * mean)


def _rate(call: Call, lasted: int, now: int, parts: float) -> tuple[float, float]:
    """Tasks a second, and how many have been looked at for that. ``parts``: what has been done of those that run."""
    overall = (call.done + parts) * NS / lasted
    window = max(_WINDOW, int(_SEVERAL / overall * NS))
    if window < lasted and (rate := call.rate.lately(now, window)) > 0:
        return rate, rate * window / NS
    return overall, call.done
