"""A worker as ``multiprocessing`` sees it: a child like its own. Loaded only where that is loaded as well.

It keeps its state in private names of two of its modules, and has no other way to be told of a process that it has not started.
"""

from __future__ import annotations

import atexit
import itertools
import os
from multiprocessing import process, util
from typing import Any

_process: Any = process
_util: Any = util


class _Worker(process.BaseProcess):
    """What ``current_process()`` gives. Not daemonic, unless the parent is: tasks may start processes."""

    def __init__(self, parent: Any) -> None:
        super().__init__(name=f"Worker-{os.getpid()}")
        self._parent_pid = os.getppid()
        self._parent_name = parent.name


def begin(lifeline: int) -> None:
    """In a worker that was forked from a process which had multiprocessing loaded: its objects know that they are in another process, the
    children of the parent are not its own, and at exit queues write what they hold. ``lifeline`` is readable when the parent ends.
    """
    parent = _process._current_process  # noqa: SLF001 - see the module
    worker: Any = _Worker(parent)
    _process._process_counter = itertools.count(1)  # noqa: SLF001
    _process._children = set()  # noqa: SLF001
    _process._current_process = worker  # noqa: SLF001
    _process._parent_process = _process._ParentProcess(parent.name, os.getppid(), lifeline)  # noqa: SLF001
    _util._finalizer_registry.clear()  # noqa: SLF001
    _util._run_after_forkers()  # noqa: SLF001
    atexit.register(_util._exit_function)  # noqa: SLF001


def finish() -> None:
    """End as a child of multiprocessing does: daemonic children are ended, others waited for, and queues written to the end."""
    _util._exit_function()  # noqa: SLF001
