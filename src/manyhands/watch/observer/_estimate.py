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
_OVERDUE = 2.0  # times the mean


def eta(run: Run, call: Call, now: int) -> tuple[float, float] | None:
    """Seconds until a call ends, and the likely error of that; None: it cannot be told yet.

    What is left, less what has been done of the tasks that run, at the rate of the last ten seconds, or of the last fifty tasks. The error
    is that of a mean of tasks which differ as much as those that have ended: of the mean itself, and of the sum of those to come; and of
    what is not known of the tasks that run. When those end that take much longer than others did, nobody can tell.
    """
    total = call.known
    if not total or call.done < _ENOUGH:
        return None
    left = total - call.done
    if left <= 0:
        return 0.0, 0.0
    begun = max(call.begun, call.first_start) if call.first_start < now else call.begun  # until there were workers, none was done
    mean = call.spread.mean
    at_work = [task for worker, task in run.running.items() if task.call == call.number and worker in call.work]
    parts = [min(1.0, (now - task.since) / mean) for task in at_work] if mean else []
    if left <= len(parts) and any(now - task.since > max(_OVERDUE * mean, NS) for task in at_work):
        return None
    rate, seen = _rate(call, max(1, now - begun), now, sum(parts))
    seconds = max(0.0, left - sum(parts)) / rate
    error = call.spread.variation * math.sqrt(1 / seen + 1 / left) + len(call.work) / (2 * seen)
    return seconds, seconds * min(1.0, max(_SURE, error))


def _rate(call: Call, lasted: int, now: int, parts: float) -> tuple[float, float]:
    """Tasks a second, and how many have been looked at for that. ``parts``: what has been done of those that run."""
    overall = (call.done + parts) * NS / lasted
    window = max(_WINDOW, int(_SEVERAL / overall * NS))
    if window < lasted and (rate := call.rate.lately(now, window)) > 0:
        return rate, rate * window / NS
    return overall, call.done
