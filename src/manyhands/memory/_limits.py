"""Limits as users write them."""

from __future__ import annotations

import datetime
import os

from manyhands._core.options import refuse, whole

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_WHOLE = 100  # per cent
_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}
_ALLOWED = "a number of bytes, a text like '500M' or '20G', or a share of the disk like '10%'"


def in_bytes(name: str, limit: object, place: str) -> int:
    """A number of bytes; a share is of the disk that ``place`` is, or will be, on.

    Raises:
        ValueError: it is none; ``name`` is that of the argument.
    """
    size, is_share = parsed(name, limit)
    return int(size * _disk(place)) if is_share else int(size)


def parsed(name: str, limit: object) -> tuple[float, bool]:
    """A number of bytes, or a share of a disk, and which of the two it is.

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
        if unit == "%" and 0 <= size <= _WHOLE:
            return size / _WHOLE, True
        if 0 <= size < float("inf") and (unit in _UNITS or not unit):
            return size * _UNITS.get(unit, 1), False
    elif (count := whole(limit)) is not None and count >= 0:
        return count, False
    raise refuse(name, limit, _ALLOWED)


def entries(name: str, limit: object) -> int:
    """A number of entries.

    Raises:
        ValueError: it is none.
    """
    count = whole(limit)
    if count is None or count < 0:
        raise refuse(name, limit, "a number from 0 on")
    return count


def in_seconds(name: str, limit: object) -> float:
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
        seconds = limit.total_seconds() if isinstance(limit, datetime.timedelta) else -1.0
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
