"""How many processors there are, as loky has it; joblib has it from there."""

from __future__ import annotations

import contextlib

from manyhands._wire import _cpus

_TOPOLOGY = "/sys/devices/system/cpu"


def cpu_count(only_physical_cores: bool = False) -> int:
    """How many processors this process may use: :func:`manyhands.cpu_count`.

    Example:
        >>> from manyhands.compat.loky import cpu_count
        >>> cpu_count() >= cpu_count(only_physical_cores=True) >= 1
        True

    Args:
        only_physical_cores: two processors that share a core count as one, unless the number is limited otherwise.

    In a worker it is the worker's share.
    """
    count = _cpus.cpu_count()
    if only_physical_cores:
        count = min(count, _cores() or count)
    return max(1, count)


def _cores() -> int:
    """How many cores the machine has, as far as it tells."""
    from pathlib import Path  # noqa: PLC0415 - 3 ms, and few ask

    cores: set[tuple[str, str]] = set()
    for topology in Path(_TOPOLOGY).glob("cpu[0-9]*/topology"):
        with contextlib.suppress(OSError):
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
    return len(cores)
