"""``n_jobs`` as joblib has it."""

from __future__ import annotations

from manyhands._wire._cpus import workers_for


def count_jobs(n_jobs: int | None, processors: int) -> int:
    """How many workers ``n_jobs`` asks for where there are so many processors.

    Raises:
        ValueError: it is 0.
    """
    if n_jobs == 0:
        msg = "n_jobs == 0 in Parallel has no meaning; it is a number of workers, or negative to count from the number of processors"
        raise ValueError(msg)
    if n_jobs is None:
        return 1
    return workers_for(n_jobs, processors)
