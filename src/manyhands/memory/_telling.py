"""What ``verbose=`` says, and how a call is shown there: here, the user's own ``__repr__`` is asked."""

from __future__ import annotations

import reprlib
import sys
from typing import TYPE_CHECKING, Any

from manyhands.memory import _texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH = 80
_LINE = 200

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 4


def shown(value: object) -> str:
    """An argument in few characters; never raises, and does not format large arrays."""
    try:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{type(value).__name__}(shape={tuple(value.shape)}, dtype={value.dtype})"
        if isinstance(value, bytes | bytearray):  # reprlib would format all of them
            return _texts.noted(value)
        return " ".join(_short.repr(value).split())
    except Exception:  # noqa: BLE001 - the user's __repr__, or a property
        return f"<{type(value).__name__}>"


def shown_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as one would write it."""
    inside = ", ".join(f"{parameter}={shown(value)}" for parameter, value in arguments.items())
    return f"{name}({inside})" if len(inside) <= _LINE else f"{name}({inside[:_LINE]}...)"


def say_calling(name: str, call: str) -> None:
    """A function is going to be computed."""
    print(f"{_WIDTH * '_'}\n[Memory] Calling {name}...\n{call}", file=sys.stdout)  # noqa: T201 - asked for with verbose=


def say_duration(name: str, seconds: float, what: str = "") -> None:
    """It was computed, or loaded."""
    took = f"{seconds:.1f}s, {seconds / 60:.1f}min"
    message = f"{name} {what}- {took}"
    print(max(0, _WIDTH - len(message)) * "_" + message)  # noqa: T201 - as above
