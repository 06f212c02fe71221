"""The files of the page, as they lie in the package. A name that is none of theirs leads nowhere."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

FOLDER = os.path.join(os.path.dirname(__file__), "page")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}


class File(NamedTuple):
    """A file of the page."""

    content: bytes
    kind: str
    tag: str


class Files:
    """All of them, by what is behind the address of the page."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._paths = {
            os.path.relpath(path, folder).replace(os.sep, "/"): path
            for here, _, names in os.walk(folder)
            for path in (os.path.join(here, name) for name in names)
            if os.path.splitext(path)[1] in _KINDS
        }
        self._known: dict[str, tuple[int, File]] = {}

    def find(self, name: str) -> File | None:
        """One of them; None: there is none."""
        path = self._paths.get(name or "index.html")
        if path is None:
            return None
        changed = os.stat(path).st_mtime_ns
        known = self._known.get(path)
        if known is None or known[0] != changed:
            with open(path, "rb") as file:
                content = file.read()
            tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
            known = self._known[path] = changed, File(content, _KINDS[os.path.splitext(path)[1]], tag)
        return known[1]
