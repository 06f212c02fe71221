"""What is asked of the observer of this user by who is not watched, or not any more: which runs there are, to open the page, to end."""

from __future__ import annotations

import os
from typing import Any

from manyhands._probe import _link
from manyhands.sharing import _folder

SOCKET = "s"  # of an observer, in its folder


def _address() -> str:
    return os.path.join(_folder.base(), _folder.OBSERVER, SOCKET)


def ask(question: str, about: str = "", within: float = 5.0) -> dict[str, Any] | None:
    """What the observer says; None: there is none, or it ends just now.

    Args:
        question: "runs": the runs, and the address of the page; "open": open the page; "saved": whether what was to be kept of a run is.
        about: which run, by its token.
        within: seconds in which it answers.
    """
    try:
        with _link.connect(_address(), within) as connected:
            connected.send(_link.packed({question: about}))
            return _link.answer(connected)
    except (OSError, ValueError):
        return None


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
