"""In a worker: what ``multiprocessing`` is told of it as soon as a task, or what it imports, loads that."""

from __future__ import annotations

import os

from manyhands._engine._on_import import when_imported
from manyhands._wire import _posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def be_a_child(worker_id: int, program: int) -> None:
    """Be called what a worker of its own would be, not "MainProcess", with an identity and a parent, the process ``program``."""

    def tell(process: Any) -> None:
        current = process.current_process()
        current._identity = (worker_id + 1,)  # noqa: SLF001 - there is no other way to have one
        current._name = f"Worker-{worker_id}"  # noqa: SLF001
        if process.parent_process() is None:
            process._parent_process = process._ParentProcess("MainProcess", program, _posix.lifeline())  # noqa: SLF001

    when_imported("multiprocessing.process", tell)


def use_tracker(fd: int) -> None:
    """Have shared memory tracked by the process that tracks it for the program.

    One of the worker's own would remove, when the worker ends, what the program still uses.
    """

    def tell(resource_tracker: Any) -> None:
        tracker = resource_tracker._resource_tracker  # noqa: SLF001 - there is no other way to tell it
        if tracker._fd is None:  # noqa: SLF001
            tracker._fd = fd  # noqa: SLF001
        else:  # forked from the program, which had one
            os.close(fd)

    when_imported("multiprocessing.resource_tracker", tell)
