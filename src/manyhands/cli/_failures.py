"""What an output line tells of a task that failed: in the user's words, without what is only ours.

A task is called with a number and a line of text (see ``_task``); to the user it is the function, of one value.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
import traceback
from typing import TYPE_CHECKING

from manyhands import backends
from manyhands.cli import _task
from manyhands.cli._task import InputNotJson, ResultNotJson
from manyhands.errors import STACK_FOLLOWS, RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Callable

_OURS = "|".join(map(re.escape, (_task.__file__, os.path.join(os.path.dirname(backends.__file__), "_streaming.py"))))
# In a traceback, with the line of code; and in the stack of a worker that was stopped.
_FRAMES = re.compile(rf'^  File "(?:{_OURS})", line \d+, in .*\n(?:    .*\n)*|^ +File "(?:{_OURS})", line \d+ in .*\n?', re.MULTILINE)
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""


def renaming(name: str, better: str, text: str, *, decode: bool) -> Callable[[str], str]:
    """Changes messages: what begins with ``name`` is called ``better``; with ``decode`` the value of ``text`` stands in its place."""
    shown = None
    if decode:
        try:
            shown = reprlib.repr(json.loads(text))
        except (ValueError, RecursionError):  # that is how it failed
            decode = False
    whole = re.compile(re.escape(name) + _TEXT + r"\)")

    def rename(message: str) -> str:
        if decode:
            message = whole.sub(lambda _: f"{better}{shown})", message)
        return message.replace(name, better)

    return rename


def failure_facts(error: BaseException, rename: Callable[[str], str]) -> dict[str, object]:
    """The value of ``"error"`` in an output line."""
    cls = type(error)
    bare = cls.__module__ == "builtins" or cls.__module__.startswith("manyhands.")
    facts: dict[str, object] = {
        "type": cls.__qualname__ if bare else f"{cls.__module__}.{cls.__qualname__}",
        "message": _without_our_stack(rename(str(error))),
    }
    if isinstance(error, InputNotJson | ResultNotJson):  # raised here, not by the user's code
        return facts
    notes = [rename(note) for note in getattr(error, "__notes__", ())]
    if notes:
        facts["notes"] = notes
    trace = error.__cause__.text if isinstance(error.__cause__, RemoteTraceback) else "".join(traceback.format_tb(error.__traceback__))
    trace = _FRAMES.sub("", trace)
    if '  File "' in trace:  # otherwise it was raised by a function without Python code
        facts["traceback"] = trace
    return facts


def _without_our_stack(message: str) -> str:
    before, _, stack = message.partition(STACK_FOLLOWS)
    stack = _FRAMES.sub("", stack).rstrip()
    return f"{before}{STACK_FOLLOWS}{stack}" if ' File "' in stack else before
