"""``n_jobs`` as joblib has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands._wire._cpus import workers_for

if TYPE_CHECKING:
    from collections.abc import Callable


def count_jobs(n_jobs: int | None, processors: Callable[[], int]) -> int:
    """How many workers ``n_jobs`` asks for.

    Args:
        processors: how many there are; only asked where ``n_jobs`` depends on it, since asking takes longer than all else here.

    Raises:
        ValueError: it is 0.
    """
    if n_jobs == 0:
        msg = "n_jobs == 0 in Parallel has no meaning; it is a number of workers, or negative to count from the number of processors"
        raise ValueError(msg)
    if n_jobs is None:
        return 1
    return workers_for(n_jobs, processors)
