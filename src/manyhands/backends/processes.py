"""Worker processes: the engine behind the contract of all backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands._engine import _state
from manyhands.backends._contract import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._core.options import Options
    from manyhands._engine._pool import ProcessPool
    from manyhands.backends._contract import Plan
    from manyhands.backends._process_executor import Executor
    from manyhands.backends._process_stream import ProcessStream

CAPABILITIES = Capabilities("processes", isolated=True, by_value=True, can_kill=True, parallel=True)


def shared_pool(fn: object, options: Options) -> ProcessPool:
    """The warm pool of this process for these options. ``fn`` is about to be run."""
    return _state.shared_pool(
        fn,
        start_method=options.start_method,
        memory_limit=options.memory_limit,
        max_tasks_per_child=options.max_tasks_per_child,
        idle_timeout=options.idle_timeout,
        preload=options.preload,
    )


class ProcessBackend:
    """Worker processes of the warm pool that all calls of this process share."""

    capabilities = CAPABILITIES

    def stream(self, plan: Plan, inputs: Iterator[object], options: Options) -> ProcessStream:
        """Begin a call on the shared pool."""
        pool = shared_pool(plan.function, options)
        from manyhands.backends._process_stream import ProcessStream  # noqa: PLC0415 - the zygote starts while it is loaded

        return ProcessStream(pool, plan, inputs)

    def executor(self, options: Options) -> Executor:
        """An executor with worker processes of its own."""
        from manyhands.backends._process_executor import Executor  # noqa: PLC0415 - concurrent.futures takes 8 ms

        return Executor(
            options.workers,
            max_tasks_per_child=options.max_tasks_per_child,
            start_method=options.start_method,
            memory_limit=options.memory_limit,
            idle_timeout=options.idle_timeout,
            preload=options.preload,
        )
