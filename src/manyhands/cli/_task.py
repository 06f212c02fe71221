"""What a worker does for one input: decode it, call the user's function, write the result as JSON.

Doing this in the worker spreads the work, and makes text of everything, which travels fastest.
"""

from __future__ import annotations

import json
import math

from manyhands.errors import a_or_an

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_escaped = json.JSONEncoder(allow_nan=False)


class ResultNotJson(ValueError):
    """A function returned what cannot be written as JSON."""


class InputNotJson(ValueError):
    """With ``--json``, a line is not JSON."""


class Task:
    """The user's function from line to line: ``(ordinal, text)`` gives ``"ordinal tail"``.

    The tail is the end of the output line, ``"input": ..., "result": ...}``; the caller puts the index before it.
    """

    def __init__(self, function: Callable[[Any], object], name: str, *, decode: bool, with_input: bool) -> None:
        self.function = function
        self.__qualname__ = name  # what messages call it
        self.decode = decode
        self.with_input = with_input

    def __call__(self, ordinal: int, text: str) -> str:
        value = read_json(text) if self.decode else text
        result = to_json(self.function(value), "result")
        shown = f"{input_field(text, decode=self.decode)}, " if self.with_input else ""
        return f'{ordinal} {shown}"result": {result}}}'


def input_field(text: str, *, decode: bool) -> str:
    """``"input": ...`` as it stands in an output line: JSON as it came, other text as a string."""
    if decode:
        try:
            read_json(text)
        except InputNotJson:
            decode = False
    return f'"input": {text.strip()}' if decode else f'"input": {to_json(text, "input")}'


def read_json(text: str) -> object:
    """The value of a line.

    Raises:
        InputNotJson: it has none.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"the line is not JSON: {error}"
        raise InputNotJson(msg) from None


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not in the JSON standard; null is"
    raise ValueError(msg)


def to_json(value: object, what: str) -> str:
    """``value`` as one line of JSON that any reader takes.

    Raises:
        ResultNotJson: it cannot be written; the message names the part.
    """
    try:
        text = _plain.encode(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:  # half a surrogate pair, or a byte that was not UTF-8
                text = _escaped.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        found = next(_culprits(value, what, ()), f"{what}: {error}")
        allowed = "text, finite numbers, booleans, None, lists or dictionaries of these"
        msg = f"the result cannot be written as JSON: {found}; return {allowed}, or str() of it"
        raise ResultNotJson(msg) from None
    return text


def _culprits(value: object, path: str, above: tuple[int, ...]) -> Iterator[str]:
    """Parts that JSON does not have, in words."""
    if id(value) in above:
        yield f"{path} contains itself"
    elif isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"{path} has the key {key!r:.60}, which is {a_or_an(_type_name(key))}"
            yield from _culprits(part, f"{path}[{key!r:.60}]", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            yield from _culprits(part, f"{path}[{position}]", (*above, id(value)))
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}"
    elif not isinstance(value, str | int | None):
        yield f"{path} is {a_or_an(_type_name(value))}"


def _type_name(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
