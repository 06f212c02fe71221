"""What of the program around it a worker has to know, and is told again when it changes: where modules are looked for, which log records
and which warnings count.
"""

from __future__ import annotations

import itertools
import marshal
import os
import sys
import warnings

from manyhands import errors
from manyhands._engine import _watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable
    from typing import Any, TypedDict

    class LogState(TypedDict):
        """``levels`` of the loggers that have one of their own, and what kind of ``handlers`` they have; see :func:`handler_key`.

        ``kind``: the class of loggers that are made from now on, pickled; empty if it is what it always is.
        """

        disable: int
        levels: dict[str, int]
        handlers: dict[str, list[str]]
        kind: bytes


ROOT = ""  # the root logger's name, here
_numbers = itertools.count(1)


class Surroundings:
    """What the workers of one pool have been told."""

    def __init__(self) -> None:
        self._mark = f"manyhands {next(_numbers)}"
        self._path = list(sys.path)
        self._filters = list(warnings.filters)
        self._root: logging.RootLogger | None = None  # as soon as logging is loaded
        self._handlers: list[Any] = []
        self._made: tuple[int, object] = (0, None)
        self._kind = b""  # of loggers, pickled
        self._tracker: int | None = None
        self._watch = _watched.joining
        self._note_logs()

    def for_new(self, worker_id: int) -> tuple[bytes, list[int]]:
        """What a worker has to know that is started now, and descriptors for it; its import path it knows already."""
        self._tracker = _tracker()
        around = {"worker_id": worker_id, "program": os.getpid(), "warnings": _encode_filters(), "logs": _log_state(self._kind)}
        self._watch = _watched.joining
        if self._watch is not None:
            around["watch"] = self._watch
        return marshal.dumps(around), [] if self._tracker is None else [self._tracker]

    def changed(self) -> tuple[bytes, list[int]] | None:
        """What the others have to know by now, and descriptors for it; None if nothing has changed."""
        # Asked for each submission: what is compared is the same object nearly always, and takes a quarter of a microsecond in all.
        path, filters = sys.path != self._path, warnings.filters != self._filters
        root = self._root or _root_logger()
        # Loggers remember for which levels they are enabled, and forget it whenever any level is set: so what is noted there is gone.
        logs = root is not None and (
            self._mark not in getattr(root, "_cache", ()) or root.handlers != self._handlers or _made() != self._made
        )
        tracker = _TRACKER in sys.modules and _tracker() != self._tracker
        watch = _watched.joining is not self._watch
        if not (path or filters or logs or tracker or watch):
            return None
        changes: dict[str, object] = {}
        if path:
            before, self._path = self._path, list(sys.path)
            changes["path"] = texts(before), texts(self._path)
        if filters:
            self._filters = list(warnings.filters)
            changes["warnings"] = _encode_filters()
        if logs:
            self._note_logs()
            changes["logs"] = _log_state(self._kind)
        if watch:
            self._watch = changes["watch"] = _watched.joining
        if tracker:
            self._tracker = _tracker()
        return marshal.dumps(changes), [self._tracker] if tracker and self._tracker is not None else []

    def close(self) -> None:
        """Nobody is told any more."""
        if self._root is not None:
            getattr(self._root, "_cache", {}).pop(self._mark, None)

    def _note_logs(self) -> None:
        root = self._root = _root_logger()
        if root is not None:
            self._handlers = list(root.handlers)
            made = _made()
            if made[1] is not self._made[1]:
                self._kind = _encode_kind(made[1])
            self._made = made
            if hasattr(root, "_cache"):
                root._cache[self._mark] = True  # noqa: SLF001 - see above; there is no public way that takes less than a look at each


def _made() -> tuple[int, object]:
    """How many handlers there are, of any logger; and the class of which new loggers are."""
    module = sys.modules.get("logging")
    return len(getattr(module, "_handlerList", ())), getattr(module, "_loggerClass", None)


def _encode_kind(kind: Any) -> bytes:
    if kind is None or kind is getattr(sys.modules["logging"], "Logger", None):
        return b""
    from manyhands._codec import _pickling  # noqa: PLC0415 - few programs have one of their own

    try:
        return _pickling.encode_whole(kind)
    except errors.NotSerializable:  # tasks need not log, or not by what only this class has
        return b""


_TRACKER = "multiprocessing.resource_tracker"


def _tracker() -> int | None:
    """The descriptor of the process that removes shared memory of multiprocessing; None if there is none.

    Workers have to use the program's: one of their own would remove, when they end, what the program still uses.
    """
    return getattr(getattr(sys.modules.get(_TRACKER), "_resource_tracker", None), "_fd", None)


def _root_logger() -> logging.RootLogger | None:
    module = sys.modules.get("logging")
    return getattr(module, "root", None)


def _log_state(kind: bytes) -> LogState:
    """What loggers are set to in this process."""
    root = _root_logger()
    state: LogState = {"disable": 0, "levels": {}, "handlers": {}, "kind": kind}
    if root is None:
        return state
    state["disable"] = root.manager.disable
    loggers = [(ROOT, root), *list(root.manager.loggerDict.items())]
    for name, logger in loggers:
        if getattr(logger, "level", 0):  # others are places in the tree without a logger
            state["levels"][name] = logger.level  # type: ignore[union-attr]
        if getattr(logger, "handlers", None):
            state["handlers"][name] = list(map(handler_key, logger.handlers))  # type: ignore[union-attr]
    return state


def handler_key(handler: logging.Handler) -> str:
    """What tells whether a handler does what another does: its class, and where it writes."""
    where = getattr(handler, "baseFilename", "")
    stream = getattr(handler, "stream", None)
    if not where and stream is not None:
        name = getattr(stream, "name", None)
        where = name if name in {"<stdout>", "<stderr>"} else f"{os.getpid()} {id(stream)}"  # a stream that is this process's alone
    return f"{type(handler).__module__}.{type(handler).__qualname__} {where}"


def _encode_filters() -> list[tuple[Any, ...]]:
    return [
        (action, _encode_pattern(message), f"{category.__module__}:{category.__qualname__}", _encode_pattern(module), lineno)
        for action, message, categories, module, lineno in warnings.filters
        for category in (categories if isinstance(categories, tuple) else (categories,))
        if isinstance(category, type)
    ]


def _encode_pattern(pattern: Any) -> str | tuple[str, int] | None:
    return pattern if pattern is None or isinstance(pattern, str) else (str(pattern.pattern), int(pattern.flags))


def texts(entries: Iterable[object]) -> list[str]:
    """Paths as texts: there may be others among them."""
    return [str(entry) for entry in entries]
