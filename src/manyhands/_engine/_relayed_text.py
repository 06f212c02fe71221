"""In a worker: what stands for ``sys.stdout`` and ``sys.stderr``. Lines go to the parent whole."""

from __future__ import annotations

import _thread
import io
import os

from manyhands._wire import _messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    Say = Callable[[int, bytes], None]
    Key = tuple["Text", int]  # stream and thread

_RAW = {_messages.OUT: _messages.RAW_OUT, _messages.ERR: _messages.RAW_ERR}
# As much text as goes in one message, if it has so many lines.
_MOST = 1 << 16


class Text(io.TextIOBase):
    """A line goes when it ends, or when the stream is flushed; each thread has lines of its own.

    Args:
        say: sends a message.
        tag: what is written before each line.
        unsaid: by stream and thread, what has been written of lines that have not ended.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    write_through = False

    def __init__(self, kind: int, original: TextIO | None, say: Say, tag: Callable[[], str], unsaid: dict[Key, str]) -> None:
        self._kind = kind
        self._original = original
        self._say = say
        self._tag = tag
        self._unsaid = unsaid
        self._open: dict[int, str] = {}  # threads of whose line a part has been said, and the tag that it began with
        self._descriptor = _whereabouts(kind)
        self.name = "<stdout>" if kind == _messages.OUT else "<stderr>"
        self.mode = "w"
        self.buffer = Raw(self)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            msg = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(msg)
        thread = _thread.get_ident()
        key, unsaid = (self, thread), self._unsaid
        tag = self._tag()
        whole = text if not tag else self._tagged(text, tag, thread)
        end = whole.rfind("\n") + 1
        if end:
            self._send(unsaid.pop(key, "") + whole[:end])
            self._open.pop(thread, None)
        if end < len(whole):
            unsaid[key] = unsaid.get(key, "") + whole[end:]
        return len(text)

    def _tagged(self, text: str, tag: str, thread: int) -> str:
        before = tag if (self, thread) in self._unsaid else self._open.get(thread)
        lines = text.split("\n")
        lines[1:] = [tag + line if line or number < len(lines) - 2 else line for number, line in enumerate(lines[1:])]
        if before == tag:  # in the midst of a line
            return "\n".join(lines)
        break_off = "" if before is None else "\n"  # another task has left one open
        return break_off + tag + "\n".join(lines)

    def flush(self) -> None:
        """Say what this thread has written."""
        self.flush_of(_thread.get_ident())

    def flush_of(self, thread: int) -> None:
        """Say what a thread has written."""
        text = self._unsaid.pop((self, thread), "")
        if text:
            self._open[thread] = self._tag()
            self._send(text)

    def write_bytes(self, data: bytes) -> None:
        """Say bytes, as they are, behind what this thread has written."""
        self.flush()
        try:
            self._say(_RAW[self._kind], data)
        except OSError:
            os.write(self._kind, data)

    def _send(self, text: str) -> None:
        if len(text) > _MOST:
            for part in _parts(text):
                self._send_part(part)
        else:
            self._send_part(text)

    def _send_part(self, text: str) -> None:
        raw = text.encode("utf-8", "backslashreplace")
        if _whereabouts(self._kind) != self._descriptor:  # a task has led the descriptor elsewhere, to have what is printed there
            os.write(self._kind, raw)
            return
        try:
            self._say(self._kind, raw)
        except OSError:  # a task has closed what is not its own
            if self._original is not None:
                self._original.write(text)
                self._original.flush()

    def close(self) -> None:
        """Flushes: the stream is the worker's, not the task's."""
        self.flush()

    def reconfigure(self, **_: object) -> None:
        """Flushes: how the text is encoded in the end is the parent's matter."""
        self.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._original is not None and self._original.isatty()

    def fileno(self) -> int:
        """The worker's own descriptor, for programs that a task starts."""
        return self._kind  # 1 and 2, like those of the streams

    def __repr__(self) -> str:
        return f"<{self.name} of worker {os.getpid()}, relayed>"


class Raw(io.BufferedIOBase):
    """``sys.stdout.buffer``."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def write(self, data: Any, /) -> int:
        raw = bytes(data)
        if raw:
            self._text.write_bytes(raw)
        return len(raw)

    def flush(self) -> None:
        self._text.flush()

    def close(self) -> None:
        self._text.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._text.isatty()

    def fileno(self) -> int:
        return self._text.fileno()


def _parts(text: str) -> list[str]:
    """Lines put together until they are many enough for a message."""
    parts, start = [], 0
    while start < len(text):
        end = text.rfind("\n", start, start + _MOST) + 1 or text.find("\n", start) + 1 or len(text)
        parts.append(text[start:end])
        start = end
    return parts


def _whereabouts(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino
