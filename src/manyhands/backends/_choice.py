"""Which backend runs a call, and on how many workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from manyhands._engine import _notices
from manyhands._wire._cpus import cpu_count
from manyhands.backends import _registry

if TYPE_CHECKING:
    from manyhands._core.options import Options
    from manyhands.backends._contract import Backend


def choose(options: Options) -> tuple[Backend, int]:
    """The backend and the number of workers.

    In a worker whose share of the processors is one, nested calls run in the worker itself: more processes would only get
    in each other's way. Unless they ask for what only a process of their own can give: then they have one, while the worker waits.
    """
    share = cpu_count()
    workers = options.workers or share
    if "MANYHANDS_WORKER" not in os.environ or options.backend == "sequential":
        return _registry.get(options.backend), workers
    if share == 1 and (options.backend == "threads" or (options.backend == "processes" and not _needs_isolation(options))):
        if workers > 1 or options.workers is None:
            _notices.info("a nested call runs in its worker itself, one task after the other: that worker's share of the processors is one")
        return _registry.get("sequential"), 1
    if workers > share:
        _notices.info(f"a nested call asked for {workers} workers, and has {share}: its worker's share of the processors")
    return _registry.get(options.backend), min(workers, share)


def _needs_isolation(options: Options) -> bool:
    """Whether tasks may have to be stopped, or must not take their caller with them."""
    return options.errors != "raise" or options.retries > 0 or options.timeout is not None or options.memory_limit is not None
