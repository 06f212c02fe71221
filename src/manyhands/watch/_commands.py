"""What is asked of the observer of this user by who is not watched, or not any more: which runs there are, to open the page, to end."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link
from manyhands.sharing import _folder

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET, PAGE = "s", "page"  # of an observer, in its folder
PIECE = 32768  # bytes of what is told to a terminal, in one packet
MORE, LAST = b"+", b"."  # how packets begin


def _address() -> str:
    return os.path.join(_folder.base(), _folder.OBSERVER, SOCKET)


def ask(question: str, about: object = "", within: float = 5.0) -> dict[str, Any] | None:
    """What the observer says; None: there is none, or it ends just now.

    Args:
        question: "runs": the runs; "open": open the page; "saved": whether what was to be kept of a run is, when it is; "save": keep a run.
        about: which run, by its token; for "save", that and the path, ``{"run": ..., "path": ...}``.
        within: seconds in which it answers.
    """
    try:
        with _link.connect(_address(), within) as connected:
            connected.send(_link.packed({question: about}))
            return _link.answer(connected)
    except (OSError, ValueError):
        return None


def address_of_page() -> str:
    """The address of the page, with its token; empty if there is none."""
    try:
        with open(os.path.join(os.path.dirname(_address()), PAGE), encoding="utf-8") as file:
            return str(json.load(file)["url"])
    except (OSError, ValueError, KeyError):
        return ""


def look() -> Iterator[dict[str, Any]]:
    """How all runs are, again and again, as the page is told it, until the observer ends. Whoever asks for it looks: the observer stays.

    ``{"now": unix time, "runs": [snapshot, ...]}``, some five times a second while anything happens.
    """
    try:
        connected = _link.connect(_address())
    except OSError:
        return
    with connected:
        connected.settimeout(None)
        connected.send(_link.packed({"look": ""}))
        told = bytearray()
        while packet := connected.recv(PIECE + 1):
            told += packet[1:]
            if packet[:1] == LAST:
                if told:  # otherwise only to see whether anybody is there
                    yield json.loads(told)
                told.clear()


def end_observer(within: float = 10.0) -> None:
    """End the observer of this user, if there is one, and wait until it has. Programs that it watches go on.

    Raises:
        TimeoutError: it has not ended within so many seconds.
    """
    try:
        connected = _link.connect(_address(), within)
    except OSError:
        return
    with connected:
        connected.send(_link.packed({"end": ""}))
        while connected.recv(1 << 16):  # it hangs up when it ends
            pass
