"""Any other ``concurrent.futures.Executor``: tasks run where it runs them, the rest is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands.backends._contract import Capabilities
from manyhands.backends._streaming import ExecutorStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from manyhands._core.options import Options
    from manyhands.backends._contract import Plan


class ForeignBackend:
    """An executor that the user owns, and ends. Batches, retries, order and progress work; a timeout counts from submission."""

    def __init__(self, executor: Executor, capabilities: Capabilities | None = None) -> None:
        self._executor = executor
        self.capabilities: Capabilities = capabilities or Capabilities(
            type(executor).__name__, isolated=False, by_value=False, can_kill=False, parallel=True
        )

    def stream(self, plan: Plan, inputs: Iterator[object], options: Options) -> ExecutorStream:
        """Begin a call on the executor."""
        return ExecutorStream(self._executor, plan, inputs, local=False)

    def executor(self, options: Options) -> Executor:
        """The executor itself."""
        return self._executor
