"""A failed task of a thread, of this very process or of another library's executor, saved as it is now: the task ran on the program's own
objects, or nobody knows on which.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands._codec import _passing, _pickling
from manyhands._core.naming import function_code, function_name
from manyhands._records._container import DESCRIPTOR, PLAIN, SHARED, Buffer, Part
from manyhands._records._facts import Task
from manyhands._records._recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]


class Recording:
    """What the failed tasks of one call are given to. ``is_after``: they may have changed their arguments."""

    def __init__(self, folder: str, *, is_after: bool) -> None:
        self._recorder = Recorder(folder)
        self._is_after = is_after

    def __call__(self, index: int, row: Row, call: str, error: BaseException, attempt: int, earlier: Sequence[str]) -> None:
        """Save one, which has failed for good with ``error``; ``call``: it in words."""
        code = function_code(row[0])
        place = None if code is None else (code.co_filename, code.co_firstlineno)
        task = Task(function_name(row[0]), call, index, attempt, place, earlier=tuple(earlier), is_after=self._is_after)
        self._recorder(task, error, partial(_parts, row))


def _parts(row: Row) -> list[Part]:
    try:
        return [_part("function", row[0]), _part("call", row[1:])]
    finally:
        if _passing.seen[0]:
            _passing.taken()


def _part(name: str, value: object) -> Part:
    payload, views = _pickling.encode_views(value, "send")
    return Part(name, payload, [Buffer(view, _kind(view.obj)) for view in views])


def _kind(held: Any) -> str:
    return DESCRIPTOR if hasattr(held, "is_descriptor") else SHARED if hasattr(held, "is_shared_memory") else PLAIN
