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
_WINDOW = 10 * NS
_SEVERAL = 8  # tasks of each worker, that the rate is to be taken over


def eta(run: Run, call: Call, now: int) -> tuple[float, float] | None:
    """Seconds until a call ends, and the likely error of that; None: it cannot be told yet.

    What is left, less what has been done of the tasks that run, at the rate of the last ten seconds, or of as long as some tasks take. The
    error is that of a mean of tasks which differ as much as those that have ended: of the mean itself, and of the sum of those to come.
    """
    if call.total is None or call.done < _ENOUGH:
        return None
    left = call.total - call.done
    if left <= 0:
        return 0.0, 0.0
    mean = call.spread.mean
    begun = max(call.begun, call.first_start) if call.first_start < now else call.begun  # until there were workers, none was done
    since_start = call.done * NS / max(1, now - begun)
    window = max(_WINDOW, int(_SEVERAL * mean))
    rate = call.rate.lately(now, window) if now - begun > window else since_start
    if rate <= 0:
        rate = since_start
    begun_tasks = [task for worker, task in run.running.items() if task.call == call.number and worker in call.work]
    under_way = min(len(begun_tasks), sum(min(1.0, (now - task.since) / mean) for task in begun_tasks)) if mean else 0.0
    seconds = max(0.0, left - under_way) / rate
    error = call.spread.variation * math.sqrt(1 / call.done + 1 / left)
    return seconds, seconds * min(1.0, max(_SURE, error))
