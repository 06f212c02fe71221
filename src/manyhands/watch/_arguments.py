"""What tasks are called with, as text, made without running any code of the user's: values of Python's own types, and shapes of arrays."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _preview
from manyhands._engine import _parcels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LARGE = 1 << 18  # bytes that are not copied to be shown
_LONGEST = 200  # characters
_MOST = 4  # items of a container
_MOST_ARGUMENTS = 20
_DEEPEST = 3
_LONGEST_PLAIN = 60
# Types of the standard library, whose texts are made by its own code.
_PLAIN = {
    ("builtins", "range"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("uuid", "UUID"),
}
_ATOMS = (int, float, complex, bool, type(None))


def of_item(form: Any, item: Any) -> str:
    """Of a task that a pool has sent, or is going to send."""
    return _shortened(_preview.guarded(lambda: _of_call(*form.arguments(item, _look))))


def _look(payload: Any, buffers: Any) -> Any:
    """What is behind a pickle; of arrays that are large, only the shape is looked at."""
    if len(payload) > _LARGE:
        raise ValueError("too large to be looked at")
    return _preview.outline(_parcels.fetched(payload, ())[0], [len(buffer) for buffer in buffers])


def of_call(args: Iterable[object], kwargs: Mapping[str, object]) -> str:
    """Of a call in this process."""
    return _shortened(_preview.guarded(lambda: _of_call(args, kwargs)))


def _of_call(args: Iterable[object], kwargs: Mapping[str, object]) -> str:
    parts = itertools.chain(map(shown, args), (f"{name}={shown(value)}" for name, value in kwargs.items()))
    return ", ".join(itertools.islice(parts, _MOST_ARGUMENTS))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def shown(value: object, depth: int = _DEEPEST) -> str:
    """A value. What is not of a type that is known is shown by the name of its type."""
    kind = type(value)
    if kind in _ATOMS:
        return repr(value)[:40]
    if kind is str or kind is bytes:
        return _text(value)  # type: ignore[arg-type]
    if kind in _BRACKETS:
        return _container(value, depth)
    if kind is dict:
        inner = ", ".join(f"{shown(k, depth - 1)}: {shown(v, depth - 1)}" for k, v in itertools.islice(value.items(), _MOST))  # type: ignore[attr-defined]
        return f"{{{inner}{', ...' if len(value) > _MOST else ''}}}" if depth else "{...}"  # type: ignore[arg-type]
    if (kind.__module__.partition(".")[0], kind.__name__) in _PLAIN:
        text = str(value)  # of a path, its end says more
        return text if len(text) <= _LONGEST_PLAIN else f"...{text[3 - _LONGEST_PLAIN :]}"
    if _preview.is_stand_in(kind):
        return _preview.show(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        return f"array{value.shape} {value.dtype}"  # type: ignore[attr-defined]
    return f"<{kind.__name__}>"


_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}


def _container(value: Any, depth: int) -> str:
    begin, end = _BRACKETS[type(value)][0], _BRACKETS[type(value)][1]
    if not depth:
        return f"{begin}...{end}"
    inner = ", ".join(shown(item, depth - 1) for item in itertools.islice(value, _MOST))
    return f"{begin}{inner}{', ...' if len(value) > _MOST else ',' if type(value) is tuple and len(value) == 1 else ''}{end}"


def _text(value: str | bytes) -> str:
    return repr(value) if len(value) <= 60 else f"{repr(value[:57])[:-1]}...{value[:0]!r:.1}"
