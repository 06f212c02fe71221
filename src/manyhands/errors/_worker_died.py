"""The error of a task whose process ended under it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool
    from typing import Self
else:
    try:
        from concurrent.futures.process import BrokenProcessPool
    except RuntimeError:  # the interpreter is ending, and that module wants to be told of it beforehand
        from concurrent.futures import BrokenExecutor as BrokenProcessPool

from manyhands.errors import ManyhandsError, _indent_stack, _rebuild

# Where loky has classes of its own for the same, which its callers catch.
_LOKY = "loky.process_executor", "joblib.externals.loky.process_executor"


class WorkerDied(ManyhandsError, BrokenProcessPool):
    """A task ended its worker process. Only that task has failed; the worker has been replaced.

    Where ``loky`` or joblib's copy of it is loaded, it is also caught as their ``TerminatedWorkerError`` and ``BrokenProcessPool``.

    Attributes:
        pid: process id of the worker.
        exit_code: exit code, or minus the number of the signal; None if unknown.
        stack: the last Python stack of the worker, where the crash left one.
        in_setup: the initializer has raised (that is the cause), so that no task can run.
    """

    in_setup: bool = False

    def __new__(cls, *args: object, **_: object) -> Self:
        kind = _with_those_of_loky() if cls is WorkerDied else cls
        return super().__new__(kind, *args)  # type: ignore[return-value] # one of its subclasses

    def __init__(self, what: str, *, pid: int | None, exit_code: int | None, cause: str = "", stack: str = "") -> None:
        self.pid = pid
        self.exit_code = exit_code
        self.stack = stack
        likely = f" Likely cause: {cause}." if cause else ""
        super().__init__(f"{what}.{likely}{_indent_stack(stack)}")

    def __reduce__(self) -> tuple[object, ...]:
        cls = WorkerDied if type(self) in _kinds.values() else type(self)  # another process may have other modules
        return _rebuild, (cls, self.args, self.__dict__)


# Users meet it, and pickle it, under its public name.
WorkerDied.__module__ = "manyhands.errors"

_kinds: dict[tuple[type, ...], type[WorkerDied]] = {}  # by what they are besides


def _with_those_of_loky() -> type[WorkerDied]:
    """The class that callers of all libraries catch which are loaded now."""
    found: list[Any] = [getattr(sys.modules.get(place), "TerminatedWorkerError", None) for place in _LOKY]
    others = tuple([kind for kind in found if isinstance(kind, type) and not issubclass(WorkerDied, kind)])
    if not others:
        return WorkerDied
    if others not in _kinds:
        _kinds[others] = type("WorkerDied", (WorkerDied, *others), {"__doc__": WorkerDied.__doc__, "__module__": WorkerDied.__module__})
    return _kinds[others]
