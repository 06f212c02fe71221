"""The page in a frame of a notebook: below the cell that begins to watch, wherever in it that is, and once."""

from __future__ import annotations

import os
import sys
from typing import Any


class _State:
    shown = 0  # the number of the cell below which it was shown last


def _shell() -> Any:
    """What runs the cells, if this program is the kernel of a notebook; else None."""
    ipython = sys.modules.get("IPython")
    found = None if ipython is None else ipython.get_ipython()
    return found if getattr(found, "kernel", None) is not None else None


def is_one() -> bool:
    """Whether this program is a notebook."""
    return _shell() is not None


def name() -> str:
    """That of its file; empty, if this program is none."""
    if not is_one():
        return ""
    return os.path.basename(os.environ.get("JPY_SESSION_NAME", "")) or "notebook"  # of the server, which knows it


def show(html: str, text: str) -> None:
    """Below the cell that runs, unless it has been shown there; ``text``, where the notebook shows no HTML."""
    shell = _shell()
    if shell.execution_count == _State.shown:
        return
    _State.shown = shell.execution_count
    shell.display_pub.publish({"text/html": html, "text/plain": text})
