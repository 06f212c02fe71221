"""What is asked of the observer of this user by who is not watched: which runs there are, to open the page, to end."""

from __future__ import annotations

import os
from typing import Any

from manyhands._probe import _link
from manyhands.sharing import _folder
from manyhands.watch import _starting


def ask(question: str) -> dict[str, Any] | None:
    """What the observer says; None: there is none, or it ends just now.

    Args:
        question: "runs": the runs, and the address of the page; "open": open the page; "end": end, whoever is watched.
    """
    path = os.path.join(_folder.base(), _folder.OBSERVER)
    try:
        connected = _link.connect(os.path.join(path, _starting.SOCKET))
    except OSError:
        return None
    with connected:
        try:
            connected.send(_link.packed({question: 1}))
            return _link.answer(connected)
        except (OSError, ValueError):
            return None


def end_observer(within: float = 10.0) -> None:
    """End the observer of this user, if there is one, and wait until it has. Programs that it watches go on."""
    path = os.path.join(_folder.base(), _folder.OBSERVER)
    try:
        connected = _link.connect(os.path.join(path, _starting.SOCKET), within)
    except OSError:
        return
    with connected:
        connected.send(_link.packed({"end": 1}))
        while connected.recv(1 << 16):  # it hangs up when it ends
            pass
