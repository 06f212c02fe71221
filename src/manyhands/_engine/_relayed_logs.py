"""In a worker: log records go to the parent, to be handled as if they had been made there.

A logger has there the level that it has in the parent, and the parent's handlers. Handlers that the worker's own code has added handle
records in the worker, as they would; unless they are what the parent's are: a module that adds a handler when it is
imported has done so here and there, and a record is to be seen once.
"""

from __future__ import annotations

import logging
import marshal
from typing import TYPE_CHECKING, Any

from manyhands._core import worker_ids
from manyhands._engine._surroundings import ROOT, handler_keys
from manyhands._wire import _messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._engine._surroundings import LogState


class Logs:
    """See the module; ``say(kind, payload)`` sends."""

    def __init__(self, say: Callable[[int, bytes], None]) -> None:
        self._say = say
        self._levels: dict[str, int] = {}  # as the parent has told them
        self._handlers: dict[str, list[str]] = {}
        # In the place of the parent's, so that logging.warning() does not think that nothing has been set up.
        self._stand_in = logging.NullHandler()
        root = logging.getLogger()
        for logger in (root, *logging.Logger.manager.loggerDict.values()):
            if isinstance(logger, logging.Logger):
                logger.handlers.clear()  # under "fork", the parent's own

        def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
            logs._handle(self, record)

        logs = self
        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]

    def adopt(self, state: LogState) -> None:
        """The parent's levels and handlers, as they are by now. What the worker's own code has set besides stays."""
        for name in self._levels.keys() - state["levels"].keys():
            _logger(name).setLevel(logging.NOTSET)
        for name, level in state["levels"].items():
            if self._levels.get(name) != level:
                _logger(name).setLevel(level)
        logging.disable(state["disable"])
        self._levels, self._handlers = state["levels"], state["handlers"]
        root = logging.getLogger()
        if self._handlers.get(ROOT):
            root.addHandler(self._stand_in)
        else:
            root.removeHandler(self._stand_in)

    def _handle(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        here, there = self._handle_here(logger, record)
        if there or not here:
            self._say(_messages.LOG, _encode(record))

    def _handle_here(self, logger: logging.Logger, record: logging.LogRecord) -> tuple[bool, bool]:
        """Have the worker's own handlers handle it; whether there are any, and whether the parent has some."""
        here = there = False
        node: logging.Logger | None = logger
        while node is not None:
            theirs = self._handlers.get(ROOT if node.parent is None else node.name, ())
            there = there or bool(theirs)
            for handler, key in zip(node.handlers, handler_keys(node), strict=True):
                if handler is self._stand_in or key in theirs:
                    continue
                here = True
                if record.levelno >= handler.level:
                    handler.handle(record)
            node = node.parent if node.propagate else None
        return here, there


def _logger(name: str) -> logging.Logger:
    return logging.getLogger() if name == ROOT else logging.getLogger(name)


def _encode(record: logging.LogRecord) -> bytes:
    """The record as what every process can read: its text is made here, and so is that of its exception."""
    fields: dict[str, Any] = dict(vars(record))
    fields["processName"] = f"Worker-{worker_ids.current()}"
    try:
        fields["msg"], fields["args"] = record.getMessage(), None
    except Exception as error:  # noqa: BLE001 - logging.error("%d", "x"): where it is called from is known here alone
        fields["msg"], fields["args"] = f"{record.msg!r} % {record.args!r} cannot be formatted: {type(error).__name__}: {error}", None
    if record.exc_info:
        fields["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        fields["exc_info"] = None
    try:
        return marshal.dumps(fields)
    except ValueError:
        return marshal.dumps({name: _simple(value) for name, value in fields.items()})


def _simple(value: Any) -> object:
    try:
        marshal.dumps(value)
    except ValueError:
        return repr(value)
    return value
