"""What the header of a failed task's file tells: of the task, of its failure, and of the program. Nothing that may be secret but what the
task's own arguments and messages say.
"""

from __future__ import annotations

import linecache
import os
import platform
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._codec._exceptions import name_of, text_of
from manyhands._core.options import OWN_VARIABLES
from manyhands.errors import STACK_FOLLOWS, NotSerializable, RemoteError, RemoteTraceback, TaskTimeout, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Mapping

# Variables that are told: those that change what Python and numeric libraries do. Those after the first line end in anything.
_VARIABLES = frozenset({"LANG", "LANGUAGE", "TZ"})
_BEGINNINGS = ("PYTHON", "MANYHANDS_", "OMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "NUMBA_", "LC_")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASS", "AUTH", "CREDENTIAL")
_LONGEST = 100_000  # characters of a text

RAISED, DIED, TIMEOUT = "raised", "died", "timeout"


class Task(NamedTuple):
    """What failed.

    ``call`` is it in words, ``name`` its function, ``number`` its index in the call that it belongs to; ``place``: file and line of that
    function. ``worker``: the process it ran in, if that is another. ``earlier``: what its other attempts came to. ``is_result``: it
    returned, and the result could not be sent, or read. ``is_after``: arguments are saved as they are after the failure, since the task
    ran on the program's own.
    """

    name: str
    call: str
    number: int
    attempt: int = 1
    place: tuple[str, int] | None = None
    worker: int | None = None
    seconds: float | None = None
    earlier: tuple[str, ...] = ()
    is_result: bool = False
    is_after: bool = False


def header(task: Task, error: BaseException) -> dict[str, Any]:
    """All of it, as it goes into JSON."""
    import manyhands  # noqa: PLC0415 - it has been loaded, but may not be complete when this is

    now = time.time()
    return {
        "manyhands": manyhands.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "time": now,
        "local_time": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)),
        "task": {"index": task.number, **task._asdict(), "call": task.call[:_LONGEST]},
        "source": _source(task.place),
        "error": failure(error),
        "is_result": task.is_result or isinstance(error, NotSerializable),
        "cwd": _cwd(),
        "path": list(map(str, sys.path)),
        "argv": list(map(str, getattr(sys, "argv", ()))),
        "environment": chosen_variables(os.environ),
    }


def failure(error: BaseException) -> dict[str, Any]:
    """What is told of an exception, and recognised by."""
    remote = isinstance(error, RemoteError)
    kind = TIMEOUT if isinstance(error, TaskTimeout) else DIED if isinstance(error, WorkerDied) else RAISED
    return {
        "kind": kind,
        "type": error.type_name if remote else name_of(error),  # type: ignore[attr-defined]
        "text": told_text(error)[:_LONGEST],
        "notes": [str(note)[:_LONGEST] for note in getattr(error, "__notes__", ()) if isinstance(note, str)],
        "traceback": _traceback(error)[:_LONGEST],
        "exit_code": getattr(error, "exit_code", None) if kind == DIED else None,
    }


def told_text(error: BaseException) -> str:
    """The text of an exception, of a worker's that could not come back as itself, too; without the stack of a worker."""
    return error.text if isinstance(error, RemoteError) else text_of(error).partition(STACK_FOLLOWS)[0]


def _traceback(error: BaseException) -> str:
    """That of the task, as text; where it was raised in another process, that from there."""
    cause = error.__cause__
    if isinstance(cause, RemoteTraceback):
        return cause.text
    if isinstance(error, TaskTimeout | WorkerDied):
        return text_of(error) + "\n"
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - a user's __str__
        return "".join(traceback.format_tb(error.__traceback__)) + f"{name_of(error)}: {text_of(error)}\n"


def _source(place: tuple[str, int] | None) -> dict[str, Any] | None:
    """What tells whether a function's file has changed since; its text, where there is no file (a cell of a notebook)."""
    if place is None:
        return None
    try:
        status = os.stat(place[0])
    except OSError:
        text = "".join(linecache.getlines(place[0]))
        return {"text": text} if text and len(text) <= _LONGEST * 10 else None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def has_changed(place: tuple[str, int], source: Mapping[str, Any]) -> bool:
    """Whether the file of a function is other than it was."""
    try:
        status = os.stat(place[0])
    except OSError:
        return "size" in source
    return "size" in source and (status.st_size, status.st_mtime_ns) != (source["size"], source["mtime_ns"])


def chosen_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the environment that are told."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if (name in _VARIABLES or name.startswith(_BEGINNINGS)) and name not in OWN_VARIABLES and not any(word in name for word in _SECRET)
    }


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None
