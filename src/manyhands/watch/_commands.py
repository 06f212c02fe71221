"""What is asked of the observer of this user by who is not watched, or not any more: which runs there are, to open the page, to end."""

from __future__ import annotations

import json
import os
import select
from typing import Any

from manyhands._probe import _link
from manyhands.sharing import _folder

SOCKET, PAGE = "s", "page"  # of an observer, in its folder
PIECE = 32768  # bytes of what is told to a terminal, in one packet
NOBODY = "No program of yours is being watched. `manyhands run --watch SCRIPT` runs one that is."
MORE, LAST = b"+", b"."  # how packets begin


def _address() -> str:
    return os.path.join(_folder.base(), _folder.OBSERVER, SOCKET)


def ask(question: str, about: object = "", within: float = 5.0) -> dict[str, Any] | None:
    """What the observer says; None: there is none, or it ends just now.

    Args:
        question: "runs": the runs; "run": that of a process; "open": open the page; "saved": whether what was to be kept of a run is, when
            it is; "save": keep a run; "summary": what there is to say of one that has ended.
        about: which run, by its token; for "run", the process id; for "save", that and the path, ``{"run": ..., "path": ...}``.
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


class Look:
    """How all runs are, again and again, as the page is told it, until the observer ends. Whoever asks for it looks: the observer stays.

    ``{"now": unix time, "runs": [snapshot, ...]}``, some five times a second while anything happens.

    Raises:
        OSError: there is no observer.
    """

    def __init__(self) -> None:
        self._socket = _link.connect(_address())
        self._last: dict[str, Any] | None = None
        try:
            self._socket.settimeout(None)
            self._socket.send(_link.packed({"look": ""}))
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """To wait for what comes next."""
        return self._socket.fileno()

    def next(self) -> dict[str, Any] | None:
        """The newest of what has come, or what comes next; the same again, if the observer has nothing to say; None: it has ended."""
        newest = None
        while newest is None or self._poll.poll(0):
            told = self._told()
            if told is None:
                return None
            newest = told or newest or (b"" if self._last else None)
        if newest:
            self._last = json.loads(newest)
        return self._last

    def _told(self) -> bytes | None:
        told = bytearray()
        try:
            while packet := self._socket.recv(PIECE + 1):
                told += packet[1:]
                if packet[:1] == LAST:
                    return bytes(told)
        except OSError:
            pass
        return None

    def close(self) -> None:
        """Look no more."""
        self._socket.close()

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
