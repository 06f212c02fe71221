"""The error of a task that somebody else than its caller has ended."""

from __future__ import annotations

from concurrent.futures import CancelledError

from manyhands.errors import ManyhandsError, _indent_stack


class TaskCancelled(ManyhandsError, CancelledError):
    """A task was ended while it ran, on the page that shows the run (``manyhands.watch(control=True)``). It does not run again.

    Attributes:
        pid: process id of the worker that was stopped, and replaced.
        stack: the Python stack of the worker then; empty where it could not be had.
    """

    def __init__(self, task: str, *, pid: int | None, stack: str = "") -> None:
        self.pid = pid
        self.stack = stack
        super().__init__(
            f"{task} was cancelled on the page that shows this run; worker {pid} was stopped and replaced.{_indent_stack(stack)}"
        )


# Users meet it, and pickle it, under its public name.
TaskCancelled.__module__ = "manyhands.errors"
