"""Where a warning points: to the line of the user's that is being executed, however deep in this package it is found out."""

from __future__ import annotations

import sys

_OURS = "manyhands"


def stacklevel(*others: str) -> int:
    """What ``warnings.warn`` wants as its ``stacklevel``, in the function that calls this: from Python 3.12 on, ``skip_file_prefixes``.

    ``others``: packages that are not the user's, either.
    """
    ours = {_OURS, *others}
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - there is no other way
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ours:
        level, frame = level + 1, frame.f_back
    return level
