"""Source that is in no file: what was typed, a cell of a notebook, ``python -c``. Who keeps it for tracebacks keeps it in ``linecache``."""

from __future__ import annotations

import os
import sys


def told_text(file: str) -> str | None:
    """The text of code that says it is in ``file``; None: it is in a file, or nobody has it."""
    cache = getattr(sys.modules.get("linecache"), "cache", None)
    entry = cache.get(file) if isinstance(cache, dict) else None
    if not isinstance(entry, tuple) or len(entry) != 4 or os.path.exists(file):
        return None
    return "".join(map(str, entry[2]))
