"""The journal of ``manyhands map --resume``: what has been finished, so that it need not be done again.

A file of JSON Lines that is only appended to. The first record tells what the journal is for, each further one holds the index of an
input, a digest of it and the result::

    {"journal": "manyhands map", "version": 1, "function": "tasks:work", "reads": "lines", "input": true}
    {"index": 0, "digest": "0f3c...", "input": "a", "result": 1}

**Guarantees**

- A record is written by one system call as soon as the result is there, so ``kill -9`` tears at most the last line. It is cut off when the
  journal is opened again. After a power failure at most the last second is lost: ``fsync`` runs once a second, and at the end.
- A line that cannot be read, wherever it stands, costs only its own task, which runs again.
- One process at a time: the file is locked (``flock``) until it is closed, or its process has ended in whatever way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from array import array
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYNC_EVERY = 1.0
# More than most records have.
_BLOCK = 4096
# An index so far beyond all others is no index, but a damaged line.
_FARTHEST = 1 << 24


class JournalError(Exception):
    """The journal cannot be used for this run; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal is for. ``reads`` is "lines", "json" or "files"; ``input``: whether results carry their input."""

    function: str
    reads: str
    input: bool
    journal: str = "manyhands map"
    version: int = 1

    def line(self) -> bytes:
        """The first line of the file."""
        return json.dumps(asdict(self)).encode() + b"\n"


def digest(text: str, reads: str) -> str:
    """What an input is known by: a digest of its text; of a file, of its path, and behind a dash its size and time of change."""
    known_by = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    if reads != "files":
        return known_by
    try:
        facts = os.stat(text)
    except OSError:
        return f"{known_by}-missing"
    return f"{known_by}-{facts.st_size}-{facts.st_mtime_ns}"


def entry_line(index: int, known_by: str, tail: str) -> bytes:
    """A record. ``tail`` is the end of the output line, from after its index."""
    return f'{{"index": {index}, "digest": "{known_by}", {tail}\n'.encode()


def parse_entry(line: bytes) -> tuple[int, str, str]:
    """``(index, digest, tail)`` of a record.

    Raises:
        ValueError: it is none, or damaged.
    """
    text = line.decode()
    record = json.loads(text)
    if not isinstance(record, dict) or type(record.get("index")) is not int or "result" not in record:
        msg = "not a record of a result"
        raise ValueError(msg)
    index, known_by, tail = text.rstrip("\n").split(", ", 2)
    if index != f'{{"index": {record["index"]}' or known_by != f'"digest": "{record.get("digest")}"':
        msg = "not a record as they are written here"
        raise ValueError(msg)
    return record["index"], record["digest"], tail


def differences(found: dict[str, object], wanted: Header) -> Iterator[str]:
    """In what a journal does not fit, in words."""
    words = {"version": "its version", "function": "the function", "reads": "how inputs are read", "input": "--input"}
    for name, value in asdict(wanted).items():
        if found.get(name) != value and name in words:
            yield f"{words[name]} was {found.get(name)!r} and now is {value!r}"


class Journal:
    """A journal that is open, and locked.

    Raises:
        JournalError: another process uses it, or it is not a journal of this command.
    """

    def __init__(self, path: str, header: Header) -> None:
        self.path = path
        self.damaged = 0  # lines that could not be read
        self.last_written = 0.0  # when it was, before it was opened, in seconds since 1970; 0: it is new
        self._offsets = array("q")  # where the record of each index begins; -1: there is none
        self._synced = time.monotonic()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            msg = f"journal {path!r} cannot be opened: {error.strerror}"
            raise JournalError(msg) from None
        try:
            self._check_kind()
            self._lock()
            self._load(header)
        except BaseException:
            os.close(self._fd)
            raise

    def _check_kind(self) -> None:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            msg = f"journal {self.path!r} is not a regular file; a journal is one, or a path at which there is nothing yet"
            raise JournalError(msg)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"journal {self.path!r} is in use by another process; wait for its end, or use another journal"
            raise JournalError(msg) from None
        except OSError as error:
            msg = f"journal {self.path!r} cannot be locked: {error.strerror}; use one on a local disk"
            raise JournalError(msg) from None

    # ------------------------------------------------------------ reading

    def _load(self, header: Header) -> None:
        state = os.fstat(self._fd)
        self.last_written = state.st_mtime if state.st_size else 0.0
        with open(self._fd, "rb", closefd=False) as file:
            first = file.readline()
            if not first.endswith(b"\n") and header.line().startswith(first):  # new, or torn at once
                os.ftruncate(self._fd, 0)
                self._append(header.line())
                return
            self._check_header(first, header)
            offset = len(first)
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._fd, offset)
                    return
                self._note(line, offset)
                offset += len(line)

    def _check_header(self, line: bytes, header: Header) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("journal") != header.journal:
            msg = f"{self.path!r} is not a journal of 'manyhands map'; nothing was changed in it"
            raise JournalError(msg)
        differ = "; ".join(differences(found, header))
        if differ:
            msg = f"journal {self.path!r} belongs to another command: {differ}; use another journal"
            raise JournalError(msg)

    def _note(self, line: bytes, offset: int) -> None:
        try:
            index, _, _ = parse_entry(line)
        except ValueError:
            index = -1
        if not 0 <= index < len(self._offsets) + _FARTHEST:
            self.damaged += 1
            return
        if index >= len(self._offsets):
            self._offsets.extend([-1] * (index + 1 - len(self._offsets)))
        self._offsets[index] = offset

    def __contains__(self, index: int) -> bool:
        return index < len(self._offsets) and self._offsets[index] >= 0

    def holds(self, index: int, known_by: str) -> bool:
        """Whether there is a result of this input. That of a file which has changed since is forgotten.

        Raises:
            JournalError: there is one, of another input.
        """
        if index not in self:
            return False
        found = self._read(index)[1]
        if found == known_by:
            return True
        if found.partition("-")[0] != known_by.partition("-")[0]:
            msg = f"input {index} is not the one that journal {self.path!r} holds the result of; use the same inputs, or another journal"
            raise JournalError(msg)
        self._offsets[index] = -1
        return False

    def check_end(self, count: int) -> None:
        """Raise JournalError if there are records of inputs beyond the first ``count``."""
        if any(offset >= 0 for offset in self._offsets[count:]):
            msg = f"journal {self.path!r} holds results of more inputs than these {count}; use the same inputs, or another journal"
            raise JournalError(msg)

    def tail(self, index: int) -> str:
        """The end of the output line of ``index``."""
        return self._read(index)[2]

    def _read(self, index: int) -> tuple[int, str, str]:
        try:
            return parse_entry(self._line_at(self._offsets[index]))
        except ValueError:
            msg = f"journal {self.path!r} was changed by another program meanwhile"
            raise JournalError(msg) from None

    def _line_at(self, offset: int) -> bytes:
        """The line that begins there. Not through a buffered file: that one's position would move with each record that is appended."""
        line = b""
        while b"\n" not in line:
            more = os.pread(self._fd, max(_BLOCK, len(line)), offset + len(line))
            if not more:
                break
            line += more
        return line[: line.find(b"\n") + 1]

    # ------------------------------------------------------------ writing

    def record(self, index: int, known_by: str, tail: str) -> None:
        """Remember a result."""
        self._append(entry_line(index, known_by, tail))
        now = time.monotonic()
        if now - self._synced >= _SYNC_EVERY:
            os.fsync(self._fd)
            self._synced = now

    def _append(self, line: bytes) -> None:
        try:
            while line:  # a disk that is full may take a part
                line = line[os.write(self._fd, line) :]
        except OSError as error:
            msg = f"journal {self.path!r} cannot be written: {error.strerror}"
            raise JournalError(msg) from None

    def close(self) -> None:
        """Bring it to the disk, and unlock it."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            msg = f"journal {self.path!r} cannot be written: {error.strerror}"
            raise JournalError(msg) from None
        finally:
            os.close(self._fd)
