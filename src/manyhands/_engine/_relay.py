"""In a worker: what it says besides results goes to the parent, which says it in its place.

Standard output and standard error line by line, log records, and warnings. What C code or a program that a task starts writes goes to the
descriptors that the worker has inherited.

This module is loaded in the zygote; what it needs for logs and warnings is loaded when there are any.
"""

from __future__ import annotations

import _thread
import codecs
import importlib.machinery
import io
import os
import sys

from manyhands._wire import _messages, _slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, TextIO

    from manyhands._engine._relayed_logs import Logs
    from manyhands._engine._relayed_warnings import Warnings
    from manyhands._engine._surroundings import LogState


class Relay:
    """See the module. ``unsaid`` is what has been written of lines that have not ended, by stream and thread."""

    def __init__(self, words: memoryview, fd: int, worker: int) -> None:
        self.unsaid: dict[tuple[Text, int], str] = {}
        self._words = words
        self._writer = _messages.Writer(fd, worker)
        self._logs: Logs | None = None
        self._log_state: LogState | None = None
        self._warnings: Warnings | None = None
        sys.stdout = Text(self, _messages.OUT, sys.stdout)
        sys.stderr = Text(self, _messages.ERR, sys.stderr)

    def say(self, kind: int, payload: bytes) -> None:
        """Send one message.

        Raises:
            OSError: nobody reads any more, or somebody has closed the pipe here.
        """
        words = self._words
        self._writer.write(kind, payload, words[_slot.STARTED])
        words[_slot.SPOKEN] = (words[_slot.SPOKEN] + 1) & 0xFFFFFFFF  # when it can be read: the parent looks before it takes results

    def finish_lines(self) -> None:
        """Say what has been written of lines that have not ended; the task has."""
        while self.unsaid:
            (text, thread), _ = next(iter(self.unsaid.items()))
            text.flush_of(thread)

    def forget(self) -> None:
        """In a process that a task has forked: what is not said yet is its parent's to say."""
        self.unsaid.clear()

    def follow_logs(self, state: LogState) -> None:
        """Use these levels and handlers of loggers from now on."""
        self._log_state = state
        if self._logs is not None:
            self._logs.adopt(state)
        elif "logging" in sys.modules:
            self.take_over_logs()
        elif not any(isinstance(finder, _OnLogging) for finder in sys.meta_path):
            sys.meta_path.insert(0, _OnLogging(self))

    def take_over_logs(self) -> None:
        """``logging`` has been loaded."""
        from manyhands._engine._relayed_logs import Logs  # noqa: PLC0415 - it imports logging

        self._logs = Logs(self.say)
        if self._log_state is not None:
            self._logs.adopt(self._log_state)

    def follow_warnings(self, filters: list[tuple[Any, ...]]) -> None:
        """Use these filters from now on."""
        if self._warnings is None:
            from manyhands._engine._relayed_warnings import Warnings  # noqa: PLC0415 - used once

            self._warnings = Warnings(self.say)
        self._warnings.adopt(filters)


class Text(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``.

    A line goes when it ends, or when the stream is flushed; each thread has lines of its own.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True

    def __init__(self, relay: Relay, kind: int, original: TextIO | None) -> None:
        self._relay = relay
        self._kind = kind
        self._original = original
        self.name = "<stdout>" if kind == _messages.OUT else "<stderr>"
        self.mode = "w"
        self.buffer = Raw(self)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            msg = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(msg)
        key, unsaid = (self, _thread.get_ident()), self._relay.unsaid
        end = text.rfind("\n") + 1
        if end:
            self._say(unsaid.pop(key, "") + text[:end])
        if end < len(text):
            unsaid[key] = unsaid.get(key, "") + text[end:]
        return len(text)

    def flush(self) -> None:
        """Say what this thread has written."""
        self.flush_of(_thread.get_ident())

    def flush_of(self, thread: int) -> None:
        """Say what a thread has written."""
        text = self._relay.unsaid.pop((self, thread), "")
        if text:
            self._say(text)

    def _say(self, text: str) -> None:
        raw = text.encode("utf-8", "backslashreplace")
        try:
            self._relay.say(self._kind, raw)
        except OSError:  # the task has closed what is not its own
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
    """``sys.stdout.buffer``: bytes that are text."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode  # a letter may come in parts

    def write(self, data: Any, /) -> int:
        raw = bytes(data)
        self._text.write(self._decode(raw))
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


class _OnLogging:
    """Has logs taken over as soon as ``logging`` is loaded. Loading it here would cost each worker some milliseconds."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._relay)  # type: ignore[assignment] # loaders need no base class
        return spec


class _Loader:
    def __init__(self, loader: Any, relay: Relay) -> None:
        self._loader = loader
        self._relay = relay

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._relay.take_over_logs()
