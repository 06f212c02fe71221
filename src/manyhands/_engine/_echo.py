"""In the parent: says what workers have said, as if it had said it itself.

Runs code of the user's (streams, handlers), so it is done when a turn of the event loop is over.
"""

from __future__ import annotations

import contextlib
import marshal
import sys
import warnings
from typing import TYPE_CHECKING, Any, TextIO

from manyhands._engine._interrupts import is_interrupt
from manyhands._wire import _messages

if TYPE_CHECKING:
    from manyhands._wire._messages import Message

_NAMES = {_messages.OUT: "stdout", _messages.ERR: "stderr"}


class Echo:
    """See the module. It remembers whose line has not ended, so that no line has two authors."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, str]] = {}  # kind: pid and tag
        self._registries: dict[str, dict[Any, Any]] = {}  # of warnings about modules that are not loaded here

    def say(self, message: Message, tag: str) -> None:
        """Say it; ``tag`` goes before each line of text."""
        try:
            if message.kind == _messages.LOG:
                _log(marshal.loads(message.payload))
            elif message.kind == _messages.WARNING:
                self._warn(*marshal.loads(message.payload))
            else:
                self._write(message, tag)
        except BaseException as error:
            if is_interrupt(error):
                raise
            if not isinstance(error, OSError | ValueError):  # these: nobody reads any more, or the stream was closed
                sys.excepthook(type(error), error, error.__traceback__)

    # ------------------------------------------------------------ text

    def _write(self, message: Message, tag: str) -> None:
        stream: TextIO | None = getattr(sys, _NAMES[message.kind])
        if stream is None:  # pythonw
            return
        text = message.payload.decode("utf-8", "replace")
        author, before = (message.pid, tag), self._open.get(message.kind)
        if tag:
            text = _tagged(text, tag, goes_on=author == before)
        if before is not None and author != before and not text.startswith("\r"):
            text = "\n" + text
        with _beside_bars(stream) as bars:
            if bars and not text.endswith("\n"):
                text += "\n"
            _write_encodable(stream, text)
            if text.endswith("\n"):
                self._open.pop(message.kind, None)
            else:
                self._open[message.kind] = author
                stream.flush()  # who leaves a line open and has it sent wants it to be seen

    # ------------------------------------------------------------ warnings

    def _warn(self, text: str, classes: list[str], filename: str, lineno: int, module: str | None) -> None:
        from manyhands._engine._relayed_warnings import find_class  # noqa: PLC0415 - most programs do not warn

        category: type[Warning] = next(filter(None, map(find_class, classes)), UserWarning)
        with contextlib.suppress(TypeError, category):  # a class that takes more than a text; a filter that has become "error" since
            warnings.warn_explicit(text, category, filename, lineno, module, self._registry(module or filename))
            return
        warnings.showwarning(text, category, filename, lineno)

    def _registry(self, module: str) -> dict[Any, Any]:
        """Where Python notes what a module has been warned of."""
        loaded = sys.modules.get(module)
        if loaded is not None:
            return loaded.__dict__.setdefault("__warningregistry__", {})  # type: ignore[no-any-return]
        return self._registries.setdefault(module, {})


def _tagged(text: str, tag: str, *, goes_on: bool) -> str:
    lines = text.split("\n")
    last = lines.pop()  # empty if the text ends a line
    lines = [tag + line + "\n" for line in lines] + ([tag + last] if last else [])
    if goes_on:
        lines[0] = lines[0].removeprefix(tag)
    return "".join(lines)


def _write_encodable(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:  # the parent's terminal is not for all letters
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextlib.contextmanager
def _beside_bars(stream: TextIO) -> Any:
    """Make room for a line if bars of tqdm are shown; whether they are. Those of rich see to it themselves."""
    bar = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    if bar is None or not getattr(bar, "_instances", None):
        yield False
        return
    with bar.external_write_mode(file=stream):
        yield True


def _log(fields: dict[str, Any]) -> None:
    import logging  # noqa: PLC0415 - most programs that have it here have it loaded

    logger = logging.getLogger(None if fields["name"] == "root" else fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        logger.handle(logging.makeLogRecord(fields))
