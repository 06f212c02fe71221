"""The source of files that have been seen at work, and nothing else: they are asked for by number."""

from __future__ import annotations

import io
import os
import stat
import tokenize
import warnings
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 4 << 20  # bytes of a file that is shown


class Source(NamedTuple):
    """A file: its lines, and the numbers of those that have code; empty where that cannot be told."""

    lines: list[str]
    runnable: list[int]


class Sources:
    """Of files, as they are now. For any thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int], Source]] = {}

    def of_file(self, path: str) -> Source | None:
        """A file by its path, which is one of those that are known; None: it cannot be had, or is no text."""
        try:
            data, version = _read(path)
            known = self._known.get(path)
            if known is None or known[0] != version:
                known = self._known[path] = version, of_text(_decoded(data), path)
        except (OSError, ValueError, SyntaxError, LookupError):
            return None
        return known[1]


def of_text(text: str, path: str) -> Source:
    """A source that is in no file."""
    return Source(text.split("\n"), sorted(set(_runnable(text, path))))


def _read(path: str) -> tuple[bytes, tuple[int, int]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)  # a pipe must not be waited for
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LONGEST:
            raise ValueError("no file of source")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_LONGEST), (about.st_mtime_ns, about.st_size)
    finally:
        os.close(descriptor)


def _decoded(data: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = data.decode(encoding, "replace")
    if "\0" in text:
        raise ValueError("no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _runnable(text: str, path: str) -> Iterator[int]:
    """Compiled, not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codes = [compile(text, path, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of a newer Python, or of a notebook
        return
    while codes:
        code = codes.pop()
        yield from (line for _, _, line in code.co_lines() if line)
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
