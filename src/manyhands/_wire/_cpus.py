"""How many processors there are for this process."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GROUPS = "/sys/fs/cgroup"
_OWN = "/proc/self"
# By users, and by manyhands in its workers; and what loky and joblib look at.
_VARIABLES = ("MANYHANDS_CPUS", "LOKY_MAX_CPU_COUNT")
_complained: set[tuple[str, str]] = set()  # of values that are no numbers


def cpu_count() -> int:
    """How many processors this process may use: at least 1.

    The smallest of: the machine's, those that the process is bound to (``taskset``, a job manager), the quota of its control group
    (containers; versions 1 and 2, all levels), and ``MANYHANDS_CPUS``, or where that is not set ``LOKY_MAX_CPU_COUNT``. In a worker the
    former is its share of the parent's processors, so that nested calls divide the machine instead of multiplying the load. A quota that
    changes is noted within a second. A value of a variable that is no number from 1 on is ignored, with a warning.
    """
    counts = [_machine_and_quota(int(time.monotonic()))]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    wanted = _wanted()
    if wanted is not None:
        counts.append(wanted)
    return max(1, min(counts))


def workers_for(n_jobs: int, processors: Callable[[], int]) -> int:
    """How many workers ``n_jobs`` other than 0 means: -1 is one for each processor, -2 one less, and so on; at least 1."""
    return n_jobs if n_jobs > 0 else max(1, processors() + 1 + n_jobs)


def _wanted() -> int | None:
    """What the first of the variables says that says anything."""
    for name in _VARIABLES:
        text = os.environ.get(name, "")
        with contextlib.suppress(ValueError):
            if int(text) >= 1:
                return int(text)
        if text and (name, text) not in _complained:
            _complained.add((name, text))
            what = f"environment variable {name}={text!r:.40} is no number of processors from 1 on, and has no effect"
            warnings.warn(what, UserWarning, stacklevel=3)
    return None


@lru_cache(maxsize=1)
def _machine_and_quota(second: int) -> int:
    return min([os.cpu_count() or 1, *_group_quotas()])


def _group_quotas() -> list[int]:
    found = []
    for directory in _group_directories():
        quota, _, period = _read(directory, "cpu.max").partition(" ")
        if not period:
            quota, period = _read(directory, "cpu.cfs_quota_us"), _read(directory, "cpu.cfs_period_us")
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max", or no such file
            if int(quota) > 0:
                found.append(max(1, math.ceil(int(quota) / int(period))))
    return found


def _group_directories() -> list[str]:
    """The directories of this process's control groups, from its own up to the root."""
    directories = [_GROUPS]
    for line in _read(_OWN, "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # One may be a link to the other, or not be there.
        for root in ("cpu", controllers) if controllers else ("",):
            directory = os.path.join(_GROUPS, root)
            for part in path.strip("/").split("/"):
                directories.append(directory)
                directory = os.path.join(directory, part)
            directories.append(directory)
    return directories


def _read(directory: str, name: str) -> str:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
