"""Classes of the standard library that say all of their objects in some attributes, or in their text.

They are looked for by name: most programs have none of their modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._hashing import _algorithms
from manyhands._hashing._plain import attributes
from manyhands._hashing._refusals import Refused
from manyhands._hashing._terms import ORDERED, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._hashing._walk import Handler, Made, Walk


def _array(walk: Walk, value: Any) -> Made:
    data = memoryview(value).cast("B")
    return walk.flat(ORDERED, (b"array", value.typecode, len(data), _algorithms.of_data(walk.algorithm, data)), [])


def _said(tag: bytes, *parts: Callable[[Any], Any]) -> Handler:
    """A value that a few of its parts say all of."""

    def handler(_: Walk, value: Any) -> Made:
        return Node(ORDERED, (tag,), [part(value) for part in parts])

    return handler


_TIME = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_DATE = ("year", "month", "day")


def _zone(walk: Walk, value: Any) -> Made:
    if value.key is None:
        msg = "it was made from a file, and has no key"
        raise Refused(msg, "pass one that is made by its key")
    return walk.flat(ORDERED, (b"ZoneInfo", value.key), [])


def path(walk: Walk, header: tuple[Any, ...], value: Any) -> Made:
    """A path, by its text."""
    return walk.flat(ORDERED, header, [str(value)])


def _path(tag: bytes) -> Handler:
    return lambda walk, value: path(walk, (tag,), value)


_HANDLERS: dict[tuple[str, str], Handler] = {  # by module and name of the class
    ("array", "array"): _array,
    ("datetime", "date"): attributes(b"date", *_DATE),
    ("datetime", "time"): attributes(b"time", *_TIME),
    ("datetime", "datetime"): attributes(b"datetime", *_DATE, *_TIME),
    ("datetime", "timedelta"): attributes(b"timedelta", "days", "seconds", "microseconds"),
    ("datetime", "timezone"): _said(b"timezone", lambda zone: zone.utcoffset(None), str),
    ("zoneinfo", "ZoneInfo"): _zone,
    ("decimal", "Decimal"): _said(b"Decimal", str),
    ("fractions", "Fraction"): attributes(b"Fraction", "numerator", "denominator"),
    ("uuid", "UUID"): attributes(b"UUID", "int"),
    ("re", "Pattern"): attributes(b"pattern", "pattern", "flags"),
    ("pathlib", "PurePosixPath"): _path(b"PurePosixPath"),
    ("pathlib", "PureWindowsPath"): _path(b"PureWindowsPath"),
    ("pathlib", "PosixPath"): _path(b"PosixPath"),
}
# Where some of them are in some versions of Python.
_MODULES = {"pathlib._local": "pathlib", "zoneinfo._zoneinfo": "zoneinfo", "_pydatetime": "datetime", "_pydecimal": "decimal"}


def handler_of(cls: type) -> Handler | None:
    """What takes objects of this very class apart; None: it is none of these."""
    return _HANDLERS.get((_MODULES.get(cls.__module__, cls.__module__), cls.__qualname__))


def is_path(cls: type) -> bool:
    """Whether objects of a class are paths."""
    return any(base.__qualname__ == "PurePath" and base.__module__ in ("pathlib", "pathlib._local") for base in cls.__mro__)
