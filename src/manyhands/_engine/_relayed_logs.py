"""In a worker: log records go to the parent, to be handled as if they had been made there.

A logger has there the level that it has in the parent, and the parent's handlers. Handlers that the worker's own code has added handle
records in the worker, as they would; unless they do what one of the parent's does: a module that adds a handler when it is imported has
done so here and there, and a record is to be seen once.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
from typing import TYPE_CHECKING, Any

from manyhands._codec import _pickling
from manyhands._core import worker_ids
from manyhands._engine._surroundings import ROOT, handler_key
from manyhands._wire import _messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._engine._surroundings import LogState

# Handlers that take records somewhere themselves, to the program most likely.
_CARRIERS = {"QueueHandler", "SocketHandler", "DatagramHandler", "SysLogHandler", "HTTPHandler"}


class Logs:
    """See the module; ``say(kind, payload)`` sends."""

    def __init__(self, say: Callable[[int, bytes], None]) -> None:
        self._say = say
        self._levels: dict[str, int] = {}  # as the parent has told them
        self._handlers: dict[str, list[str]] = {}
        self._kind = b""
        self._imported: set[int] = set()  # ids of handlers that came with modules
        # In the place of the parent's, so that logging.warning() does not think that nothing has been set up.
        self._stand_in = logging.NullHandler()

        def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
            logs._handle(self, record)

        logs = self
        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]

    def adopt(self, state: LogState) -> None:
        """The parent's levels and handlers, as they are by now. What the worker's own code has set besides stays."""
        if state["kind"] != self._kind:  # before loggers are made
            self._kind = state["kind"]
            _make_loggers_of(self._kind)
        for name in self._levels.keys() - state["levels"].keys():
            _logger(name).setLevel(logging.NOTSET)
        for name, level in state["levels"].items():
            if self._levels.get(name) != level:
                _logger(name).setLevel(level)
        logging.disable(state["disable"])
        root = logging.getLogger()
        if bool(state["handlers"].get(ROOT)) != bool(self._handlers.get(ROOT)):
            (root.addHandler if state["handlers"].get(ROOT) else root.removeHandler)(self._stand_in)
        self._levels, self._handlers = state["levels"], state["handlers"]
        self.note_imports()

    def note_imports(self) -> None:
        """What handlers there are now came with modules."""
        loggers = (logging.getLogger(), *logging.Logger.manager.loggerDict.values())
        self._imported = {id(handler) for logger in loggers for handler in getattr(logger, "handlers", ())}

    def _handle(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        here, there = self._handle_here(logger, record)
        if there or not here:
            self._say(_messages.LOG, _encode(record))

    def _handle_here(self, logger: logging.Logger, record: logging.LogRecord) -> tuple[bool, bool]:
        """Have the worker's own handlers handle it; whether there are any, and whether the parent has some that are to."""
        here = there = carried = False
        node: logging.Logger | None = logger
        while node is not None:
            theirs = self._theirs(node)
            there = there or bool(theirs)
            for handler in list(node.handlers):
                if handler is self._stand_in or self._is_theirs(handler, theirs):
                    continue
                here = True
                carried = carried or not _CARRIERS.isdisjoint(cls.__name__ for cls in type(handler).__mro__)
                if record.levelno >= handler.level:
                    handler.handle(record)
            node = node.parent if node.propagate else None
        return here, there and not carried

    def _theirs(self, node: logging.Logger) -> list[str]:
        if node.parent is not None:
            return self._handlers.get(node.name, [])
        # basicConfig(force=True) has taken the stand-in away: whoever called it does not want the program's.
        return self._handlers.get(ROOT, []) if self._stand_in in node.handlers else []

    def _is_theirs(self, handler: logging.Handler, theirs: list[str]) -> bool:
        """Whether one of the parent's does what this one does."""
        return id(handler) in self._imported and handler_key(handler) in theirs


def _make_loggers_of(kind: bytes) -> None:
    with contextlib.suppress(Exception):  # of the module that has it: then tasks fail that need it
        logging.setLoggerClass(_pickling.decode(kind) if kind else logging.Logger)


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
    return marshal.dumps({name: _plain(value) for name, value in fields.items()})


def _plain(value: Any) -> Any:
    """The value as one of Python's own kinds: marshal would take a number of numpy's for the bytes that it consists of."""
    kind = type(value)
    if value is None or kind in {str, int, float, bool, bytes}:
        return value
    if kind in {list, tuple}:
        return kind(map(_plain, value))
    if kind is dict:
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _plain(value.item())
    return repr(value)
