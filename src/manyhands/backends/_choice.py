"""Which backend runs a call, and on how many workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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
    workers = options.workers or cpu_count()
    nested = "MANYHANDS_WORKER" in os.environ
    if nested:
        workers = min(workers, cpu_count())
    if nested and workers == 1 and (options.backend == "threads" or (options.backend == "processes" and not _needs_isolation(options))):
        import logging  # noqa: PLC0415 - 6 ms, and only nested calls have anything to say

        logging.getLogger("manyhands").info("a nested call runs in its worker itself, whose share of the processors is one")
        return _registry.get("sequential"), 1
    return _registry.get(options.backend), workers


def _needs_isolation(options: Options) -> bool:
    """Whether tasks may have to be stopped, or must not take their caller with them."""
    return options.errors != "raise" or options.retries > 0 or options.timeout is not None or options.memory_limit is not None
