"""In a worker: what it says besides results goes to the parent, which says it in its place.

Standard output and standard error line by line, log records, and warnings. What C code or a program that a task starts writes goes to the
descriptors that the worker has inherited.

This module is loaded in the zygote; what it needs for logs and warnings is loaded when there are any.
"""

from __future__ import annotations

import _thread
import sys
import warnings
from collections import deque

from manyhands._engine._on_import import when_imported
from manyhands._engine._relayed_text import Text
from manyhands._wire import _messages, _slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from manyhands._engine._relayed_logs import Logs
    from manyhands._engine._relayed_text import Key
    from manyhands._engine._relayed_warnings import Warnings
    from manyhands._engine._surroundings import LogState
    from manyhands._wire._frames import Frame

# Filters that a process has before anybody's code has run in it.
_pristine = list(warnings.filters)


class Relay:
    """See the module. ``unsaid`` is what has been written of lines that have not ended."""

    def __init__(self, words: memoryview, fd: int) -> None:
        self.unsaid: dict[Key, str] = {}
        self._thread = _thread.get_ident()  # in which tasks run
        self._words = words
        self._writer = _messages.Writer(fd)
        self._tags: deque[tuple[int, int, int, str]] = deque()  # first ordinal, tasks, index of the first, function
        self._logs: Logs | None = None
        self._log_state: LogState | None = None
        self._warnings: Warnings | None = None
        sys.stdout = Text(_messages.OUT, sys.stdout, self.say, self._tag, self.unsaid)
        sys.stderr = Text(_messages.ERR, sys.stderr, self.say, self._tag, self.unsaid)

    def say(self, kind: int, payload: bytes) -> None:
        """Send one message.

        Raises:
            OSError: nobody reads any more, or somebody has closed the pipe here.
        """
        self._writer.write(kind, payload)
        words = self._words
        words[_slot.SPOKEN] = (words[_slot.SPOKEN] + 1) & 0xFFFFFFFF  # when it can be read: the parent looks before it takes results

    def finish_lines(self) -> None:
        """A task has ended: say what it has written of a line that it has not, and what threads have that have ended.

        What other threads write goes on.
        """
        alive = sys._current_frames()  # noqa: SLF001 - cheaper than to load threading
        for text, thread in list(self.unsaid):
            if thread == self._thread or thread not in alive:
                text.flush_of(thread)

    def fork(self) -> None:
        """In a process that a task has forked: what is not said yet is its parent's to say."""
        self.unsaid.clear()

    # ------------------------------------------------------------ tags

    def name_tasks(self, frame: Frame) -> None:
        """Lines of these tasks are to begin with their name."""
        self._tags.append((frame.a, frame.count, frame.b, bytes(frame.payload).decode()))

    def _tag(self) -> str:
        """What names the task that runs now."""
        tags = self._tags
        if not tags:
            return ""
        ordinal = self._words[_slot.STARTED]
        while len(tags) > 1 and tags[1][0] <= ordinal:
            tags.popleft()
        first, count, index, name = tags[0]
        return f"[{name} {index + ordinal - first}] " if first <= ordinal < first + count else ""

    # ------------------------------------------------------------ logs and warnings

    def follow_logs(self, state: LogState) -> None:
        """Use these levels and handlers of loggers from now on."""
        self._log_state = state
        if self._logs is None:
            when_imported("logging", self._take_over_logs)
        else:
            self._logs.adopt(state)

    def _take_over_logs(self, _: Any) -> None:
        """``logging`` has been loaded."""
        if self._logs is None:
            from manyhands._engine._relayed_logs import Logs  # noqa: PLC0415 - it imports logging

            self._logs = Logs(self.say)
        if self._log_state is not None:
            self._logs.adopt(self._log_state)

    def note_imports(self) -> None:
        """What a task or an initializer has brought along has been imported."""
        if self._logs is not None:
            self._logs.note_imports()

    def follow_warnings(self, filters: list[tuple[Any, ...]]) -> None:
        """Use these filters from now on."""
        if self._warnings is None:
            from manyhands._engine._relayed_warnings import Warnings  # noqa: PLC0415 - used once

            self._warnings = Warnings(self.say, _pristine)
        self._warnings.adopt(filters)


def forget_the_programs() -> None:
    """In a worker that was forked from the program: handlers and filters are the program's to apply."""
    _pristine[:] = warnings.filters
    logging = sys.modules.get("logging")
    if logging is not None:
        for logger in (logging.root, *logging.root.manager.loggerDict.values()):
            if hasattr(logger, "handlers"):
                logger.handlers.clear()
