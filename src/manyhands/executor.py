"""The ``concurrent.futures`` face: see :class:`Executor`."""

from manyhands._engine._futures import Future
from manyhands.backends._process_executor import Executor
from manyhands.backends._views import BoundExecutor

__all__ = ["BoundExecutor", "Executor", "Future"]
