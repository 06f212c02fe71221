"""The debugger of ``manyhands replay``: it begins in the user's code."""

from __future__ import annotations

import bdb
import os
import pdb
import sys
from typing import TYPE_CHECKING, Any

import manyhands
from manyhands._codec._naming import is_own_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

_OURS = os.path.dirname(manyhands.__file__) + os.sep
# What may lie between us and the function: it is gone through without a stop.
_BETWEEN = ["manyhands", "manyhands.*", "functools", "importlib.*", "numpy", "numpy.*"]


def post_mortem(error: BaseException) -> None:
    """Look around where an exception was raised: in the innermost frame of the user's code."""
    trace = inside(error.__traceback__)
    if trace is None:
        print("There is no Python code of the task's to look at.", file=sys.stderr)
        return
    debugger = pdb.Pdb()
    up = _frames_below_user(trace)
    if up:
        debugger.rcLines.append(f"up {up}")
    debugger.reset()
    debugger.interaction(None, trace)


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function, and stop at its first line.

    Raises:
        bdb.BdbQuit: who debugs has left.
        Exception: whatever it raises.
    """
    results: list[Any] = []

    def run() -> None:
        results.append(function(*args, **kwargs))

    _AtFirstLine(skip=_BETWEEN).runcall(run)
    if not results:  # the debugger keeps that to itself
        raise bdb.BdbQuit
    return results[0]


class _AtFirstLine(pdb.Pdb):
    """Does not stop where the function is entered, but at its first line: arguments are there, and it can be stepped on."""

    _is_inside = False

    def user_call(self, frame: FrameType, argument_list: None) -> None:
        if self._is_inside:
            super().user_call(frame, argument_list)
        self._is_inside = True


def inside(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of ours that are above the task's."""
    while trace is not None and (trace.tb_frame.f_code.co_filename.startswith(_OURS) or _is_of_debugger(trace)):
        trace = trace.tb_next
    return trace


def _is_of_debugger(trace: TracebackType) -> bool:
    return trace.tb_frame.f_globals.get("__name__") in {"bdb", "pdb"}


def _frames_below_user(trace: TracebackType) -> int:
    """How many frames of libraries the innermost one of the user's has called; 0 if there is none of the user's."""
    below = 0
    found = None
    step: TracebackType | None = trace
    while step is not None:
        below += 1
        if _is_user(step):
            found, below = step, 0
        step = step.tb_next
    return 0 if found is None else below


def _is_user(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    if file.startswith(("<frozen", _OURS)):
        return False
    return is_own_file(file)
