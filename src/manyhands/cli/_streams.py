"""Reading inputs, writing lines, and keeping tasks away from both."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Files that are not larger than this together are read once more at the beginning, to know how many tasks there will be.
_COUNTED = 1 << 24
# Puts the cursor at the beginning of an empty line, where a progress bar stands.
_CLEAR_LINE = "\r\x1b[2K"


@contextlib.contextmanager
def own_streams() -> Iterator[tuple[int, int]]:
    """Standard input and output for this program alone: descriptors of them.

    Meanwhile descriptor 0 is empty and descriptor 1 leads to standard error, so that a task that prints, in a worker or here, does not
    write between the results, and no worker keeps a pipe open that this program has closed.
    """
    if not _is_open(1):
        msg = "standard output is closed, and the results go there; to have none, redirect it to /dev/null"
        raise click.UsageError(msg)
    with contextlib.ExitStack() as stack:
        _fill_gaps(stack)
        stdin = stack.enter_context(_replaced(0, os.open(os.devnull, os.O_RDONLY)))
        stdout = stack.enter_context(_replaced(1, os.dup(2)))
        stack.callback(_flush)
        yield stdin, stdout


def _fill_gaps(stack: contextlib.ExitStack) -> None:
    """Nothing else is to get the number of a standard stream that the program was started without."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 2):
        if fd == null or not _is_open(fd):
            os.dup2(null, fd)
            stack.callback(os.close, fd)
    if null > 2:
        os.close(null)


@contextlib.contextmanager
def _replaced(fd: int, other: int) -> Iterator[int]:
    """``fd`` leads where ``other`` does, which is closed; gives a descriptor of what it led to."""
    before = os.dup(fd)
    os.dup2(other, fd)
    os.close(other)
    try:
        yield before
    finally:
        os.dup2(before, fd)
        os.close(before)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _flush() -> None:
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()


def say(text: str) -> None:
    """One line on standard error. Above the progress bar where there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # its reader is gone
            print(text, file=sys.stderr, flush=True)


class Output:
    """Writes whole lines to a descriptor, each at once."""

    def __init__(self, fd: int, *, beside_bar: bool) -> None:
        self._fd = fd
        self._before = _CLEAR_LINE if beside_bar and os.isatty(fd) else ""

    def write(self, line: str) -> None:
        """Write ``line``.

        Raises:
            BrokenPipeError: nobody reads any more.
            ClickException: it cannot be written.
        """
        left = memoryview(f"{self._before}{line}\n".encode())
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            msg = f"the output cannot be written: {error.strerror}"
            raise click.ClickException(msg) from None


def texts(reads: str, inputs: Sequence[str], stdin: int) -> Iterator[str]:
    """The inputs, one by one: lines without their end, for "json" without empty ones, for "files" paths."""
    for path in inputs or ("-",):
        if reads == "files" and path != "-":
            yield path
            continue
        for line in _lines(path, stdin):
            if reads == "lines" or (line and not line.isspace()):
                yield line


def _lines(path: str, stdin: int) -> Iterator[str]:
    try:
        with _open(path, stdin) as file:
            for line in file:
                yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
    except OSError as error:
        msg = f"INPUT {path!r} cannot be read: {error.strerror}"
        raise click.UsageError(msg) from None


def _open(path: str, stdin: int) -> BinaryIO:
    return open(stdin, "rb", closefd=False) if path == "-" else open(path, "rb")


def count(reads: str, inputs: Sequence[str]) -> int | None:
    """How many inputs there are, where that can be known beforehand."""
    if not inputs or "-" in inputs:
        return None
    if reads == "files":
        return len(inputs)
    facts = [os.stat(path) for path in inputs]
    if not all(stat.S_ISREG(fact.st_mode) for fact in facts) or sum(fact.st_size for fact in facts) > _COUNTED:
        return None
    return sum(1 for _ in texts(reads, inputs, -1))
