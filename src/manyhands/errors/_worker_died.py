"""The error of a task whose process ended under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool
else:
    try:
        from concurrent.futures.process import BrokenProcessPool
    except RuntimeError:  # the interpreter is ending, and that module wants to be told of it beforehand
        from concurrent.futures import BrokenExecutor as BrokenProcessPool

from manyhands.errors import ManyhandsError, _indent_stack


class WorkerDied(ManyhandsError, BrokenProcessPool):
    """A task ended its worker process. Only that task has failed; the worker has been replaced.

    Attributes:
        pid: process id of the worker.
        exit_code: exit code, or minus the number of the signal; None if unknown.
        stack: the last Python stack of the worker, where the crash left one.
        in_setup: the initializer has raised (that is the cause), so that no task can run.
    """

    in_setup: bool = False

    def __init__(self, what: str, *, pid: int | None, exit_code: int | None, cause: str = "", stack: str = "") -> None:
        self.pid = pid
        self.exit_code = exit_code
        self.stack = stack
        likely = f" Likely cause: {cause}." if cause else ""
        super().__init__(f"{what}.{likely}{_indent_stack(stack)}")


# Users meet it, and pickle it, under its public name.
WorkerDied.__module__ = "manyhands.errors"
