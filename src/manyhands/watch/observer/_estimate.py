"""When a call will have ended, and how wrong that may be. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manyhands.watch.observer._model import Call, Run

NS = 1_000_000_000
_ENOUGH = 3  # tasks, before anything is said


def eta(run: Run, call: Call, now: int) -> tuple[float, float] | None:
    """Seconds until a call ends, and the likely error of that; None: it cannot be told yet.

    What is left, at the rate of the last ten seconds, or of all of it where that is too short to have one. The error is that of counting so
    many tasks (one over the root of their number), which is too small where tasks differ a lot: it is at least a twentieth.
    """
    if call.total is None or call.done < _ENOUGH:
        return None
    rate = run.rate(now) or call.done / max(1e-9, (now - call.begun) / NS)
    left = max(0, call.total - call.done) / rate
    return left, left * max(0.05, 1 / math.sqrt(call.done))
