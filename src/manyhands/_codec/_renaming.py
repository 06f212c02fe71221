"""Paths that start where their reader would: at an argument or the result of a task, rather than at the tuple in which it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._steps import Way


def of_arguments(error: BaseException, function: str, names: Sequence[str], *, keywords: bool) -> BaseException:
    """The error of arguments that were sent as a tuple, or with ``keywords`` as a tuple and a dictionary, whose ``names`` those are."""

    def renamed(way: Way) -> Way:
        return _from_call(way, names) if keywords else _from_arguments(way, names)

    return _renamed(error, f"what {function}() is called with", renamed)


def of_calls(error: BaseException, calls: Sequence[tuple[str, Sequence[str]]]) -> BaseException:
    """The error of several calls that were sent as a list of triples: of each, the name of its function and those of its parameters."""

    def renamed(way: Way) -> Way:
        _, steps = way
        if len(steps) < 3 or any(kind != _steps.ITEM for kind, _ in steps[:3]):
            return "the calls", steps
        function, names = calls[int(steps[1][1])]
        kind, inner = steps[2][1], steps[3:]
        return (function, inner) if kind == "0" else _from_call(("", ((_steps.ITEM, "0" if kind == "1" else "1"), *inner)), names)

    return _renamed(error, "what is called", renamed)


def of_initializer(error: BaseException) -> BaseException:
    """The error of an initializer, which was sent as a tuple with its arguments."""
    return _renamed(error, "the initializer", _from_initializer)


def of_result(error: BaseException, index: int) -> BaseException:
    """The error of a task whose result cannot be sent back: with the number of the task."""
    if not isinstance(error, errors.NotSerializable) or error.what != errors.RESULT:
        return error
    # Without the traceback there, which shows nothing of the user's.
    return _renamed(error, f"{errors.RESULT} of task {index}", lambda way: way)


def part_of(part: errors.Part, what: str) -> errors.Part:
    """A part with its path as ``what`` was sent wants it: see ``_loading.py``."""
    rename = _RENAMES.get(what)
    return part if rename is None else _with_way(part, rename(part.way))


def _renamed(error: BaseException, what: str, rename: Callable[[Way], Way]) -> BaseException:
    if not isinstance(error, errors.NotSerializable):
        return error
    return type(error)(what, [_with_way(part, rename(part.way)) for part in error.parts], error.more)


def _with_way(part: errors.Part, way: Way) -> errors.Part:
    return errors.Part(_steps.read(way), part.type_name, part.reason, part.mend, part.used_at, way)


def _from_arguments(way: Way, names: Sequence[str] = ()) -> Way:
    _, steps = way
    if not steps or steps[0][0] != _steps.ITEM or not steps[0][1].isdigit():
        return "the arguments", steps
    number = int(steps[0][1])
    return (f"argument '{names[number]}'" if number < len(names) else f"argument {number}"), steps[1:]


def _from_call(way: Way, names: Sequence[str] = ()) -> Way:
    _, steps = way
    if len(steps) < 2 or steps[0][0] != _steps.ITEM or steps[1][0] != _steps.ITEM:
        return "the arguments", steps
    if steps[0][1] == "0":
        return _from_arguments(("", steps[1:]), names)
    return f"argument {steps[1][1]}", steps[2:]


def _from_initializer(way: Way) -> Way:
    _, steps = way
    if not steps or steps[0][0] != _steps.ITEM:
        return "initializer", steps
    return {"0": "initializer", "1": "initargs"}.get(steps[0][1], "worker_exit"), steps[1:]


_RENAMES: dict[str, Callable[[Way], Way]] = {
    "arguments": _from_arguments,
    "call": _from_call,
    "initializer": _from_initializer,
}
