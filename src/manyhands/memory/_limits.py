"""Limits as users write them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from manyhands._core.options import refuse, whole

if TYPE_CHECKING:
    import datetime

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}
_ALLOWED = "a number of bytes, a text like '500M' or '20G', or a share of the disk like '10%'"


def in_bytes(name: str, limit: object, place: str) -> int:
    """A number of bytes; a share is of the disk that ``place`` is, or will be, on.

    Raises:
        ValueError: it is none; ``name`` is that of the argument.
    """
    if isinstance(limit, str):
        number, unit = limit[:-1], limit[-1:].upper()
        if unit.isdigit():
            number, unit = limit, ""
        try:
            size = float(number)
        except ValueError:
            raise refuse(name, limit, _ALLOWED) from None
        if size >= 0 and unit == "%":
            return int(size / 100 * _disk(place))
        if size >= 0 and (unit in _UNITS or not unit):
            return int(size * _UNITS.get(unit, 1))
    elif (count := whole(limit)) is not None and count >= 0:
        return count
    raise refuse(name, limit, _ALLOWED)


def in_seconds(name: str, limit: datetime.timedelta | str) -> float:
    """A time that may pass.

    Raises:
        ValueError: it is none, or negative; ``name`` is that of the argument.
    """
    if isinstance(limit, str):
        try:
            seconds = float(limit[:-1]) * _SECONDS[limit[-1:].upper()]
        except (ValueError, KeyError):
            seconds = -1.0
    else:
        seconds = limit.total_seconds()
    if not 0 <= seconds < float("inf"):
        allowed = "a datetime.timedelta, which has to be a positive one or 0, or a text like '90s', '15m', '12h', '30d' or '2w'"
        raise refuse(name, limit, allowed)
    return seconds


def _disk(place: str) -> int:
    path = os.path.abspath(place)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_frsize * found.f_blocks
