"""How many processors there are, in joblib's terms."""

from __future__ import annotations

import contextlib
import os

import manyhands._wire._cpus

_CPUS = "/sys/devices/system/cpu"


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
    count = manyhands._wire._cpus.cpu_count()  # noqa: SLF001 - the package's own
    if only_physical_cores:
        count = min(count, _cores() or count)
    return max(1, count)


def _cores() -> int:
    """How many cores the machine has, as far as it tells."""
    from pathlib import Path  # noqa: PLC0415 - 3 ms, and few ask

    cores: set[tuple[str, str]] = set()
    for topology in Path(_CPUS).glob("cpu[0-9]*/topology"):
        with contextlib.suppress(OSError):
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
    return len(cores)
