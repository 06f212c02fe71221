""":class:`Logger` and :class:`PrintTime`, which joblib keeps for old programs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from manyhands._narration import short_time

_GENERATIONS = 9  # of a log file that are kept


def format_time(t: float) -> str:
    """``'12.3s, 0.2min'``."""
    return f"{t:.1f}s, {t / 60.0:.1f}min"


def short_format_time(t: float) -> str:
    """``'   12.3s'``, or, above a minute, ``' 1.2min'``."""
    return short_time(t)


def pformat(obj: object, indent: int = 0, depth: int | None = 3) -> str:
    """An object as text, arrays shortened.

    Args:
        indent, depth: as for ``pprint.pformat``.
    """
    import pprint  # noqa: PLC0415 - few want it

    numpy = sys.modules.get("numpy")
    shortened = numpy.printoptions(precision=6, threshold=64, edgeitems=1) if numpy is not None else contextlib.nullcontext()
    with shortened:
        return pprint.pformat(obj, depth=depth, indent=indent)


class Logger:
    """A base for classes that log under their own ``repr``.

    Example:
        >>> from manyhands.compat.joblib import Logger
        >>> Logger().format({"a": [1]})
        "{'a': [1]}"

    Args:
        depth: how deep :meth:`format` shows what is nested.
        name: of the logger; "joblib" by default.
    """

    def __init__(self, depth: int = 3, name: str | None = None) -> None:
        self.depth = depth
        self._name = name or "joblib"

    def warn(self, msg: str) -> None:
        """Log a warning."""
        self._log("WARNING", msg)

    def info(self, msg: str) -> None:
        """Log an information."""
        self._log("INFO", msg)

    def debug(self, msg: str) -> None:
        """Log what helps to find errors."""
        self._log("DEBUG", msg)

    def format(self, obj: object, indent: int = 0) -> str:
        """An object as text."""
        return pformat(obj, indent=indent, depth=self.depth)

    def _log(self, level: str, msg: str) -> None:
        import logging  # noqa: PLC0415 - 6 ms, and few log anything

        logging.getLogger(self._name).log(getattr(logging, level), "[%s]: %s", self, msg)


class PrintTime:
    """Called with a message, it prints how long ago the last call was, on standard error, and into a file if there is one.

    Example:
        >>> from manyhands.compat.joblib import PrintTime
        >>> lap = PrintTime()
        >>> lap("loaded")  # prints "loaded: 0.0s, 0.0min"
        >>> lap("all", total=True)  # prints the time since it was made

    Args:
        logfile: the file; what is there from before is kept beside it, with a number.
        logdir: a folder for a file "joblib.log", instead.

    Raises:
        ValueError: both are given.
    """

    def __init__(self, logfile: str | os.PathLike[str] | None = None, logdir: str | os.PathLike[str] | None = None) -> None:
        if logfile is not None and logdir is not None:
            msg = "Cannot specify both logfile and logdir"
            raise ValueError(msg)
        self.last_time = self.start_time = time.time()
        self.logfile = logfile if logdir is None else os.path.join(logdir, "joblib.log")
        if self.logfile is not None:
            # A message that cannot be written is no reason to stop.
            with contextlib.suppress(OSError):
                self._begin_file(os.fspath(self.logfile))

    def _begin_file(self, path: str) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if os.path.exists(path):
            for number in range(_GENERATIONS - 1, 0, -1):
                with contextlib.suppress(OSError):
                    os.replace(f"{path}.{number}", f"{path}.{number + 1}")
            import shutil  # noqa: PLC0415 - few have a log file

            shutil.copy(path, f"{path}.1")  # not moved: who follows the file goes on doing so
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"\nLogging joblib python script\n\n---{time.ctime(self.last_time)}---\n")

    def __call__(self, msg: str = "", total: bool = False) -> None:
        now = time.time()
        if total:
            took = now - self.start_time
            text = f"{msg}: {took:.2f}s, {took / 60:.1f} min"
        else:
            text = f"{msg}: {format_time(now - self.last_time)}"
        self._print(text, sys.stderr)
        if self.logfile is not None:
            with contextlib.suppress(OSError), open(self.logfile, "a", encoding="utf-8") as file:
                self._print(text, file)
        self.last_time = now

    @staticmethod
    def _print(text: str, file: Any) -> None:
        file.write(text + "\n")
