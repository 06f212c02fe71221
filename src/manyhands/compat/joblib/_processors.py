"""How many processors there are, in joblib's terms."""

from __future__ import annotations

import os

from manyhands.compat import _processors


def cpu_count(only_physical_cores: bool = False) -> int:
    """How many processors this process may use: :func:`manyhands.cpu_count`.

    Example:
        >>> from manyhands.compat.joblib import cpu_count
        >>> cpu_count() >= cpu_count(only_physical_cores=True) >= 1
        True

    Args:
        only_physical_cores: two processors that share a core count as one, unless the number is limited otherwise.

    In a worker it is the worker's share. With ``JOBLIB_MULTIPROCESSING=0`` it is 1.
    """
    if os.environ.get("JOBLIB_MULTIPROCESSING", "1").strip() == "0":
        return 1
    return _processors.cpu_count(only_physical_cores)
