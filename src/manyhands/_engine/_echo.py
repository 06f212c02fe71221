"""Says what a worker has said: text by the program's streams, records by its handlers, warnings by its filters."""

from __future__ import annotations

import contextlib
import marshal
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from manyhands._engine import _watched
from manyhands._wire import _messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._wire._messages import Message

_STREAMS = {_messages.OUT: "stdout", _messages.ERR: "stderr", _messages.RAW_OUT: "stdout", _messages.RAW_ERR: "stderr"}
# Whose line has not ended, and where, by name of the stream; of all pools, which have the streams in common.
_open: dict[str, tuple[int, Any]] = {}


class Echo:
    """See the module. Whatever the user's code does in there, nothing is raised."""

    def __init__(self) -> None:
        self._in_use: str | None = None
        self._registries: dict[str, dict[Any, Any]] = {}  # of warnings about modules that are not loaded here

    def stream_in_use(self) -> str | None:
        """The name of the stream that is being written to just now."""
        return self._in_use

    def say(self, message: Message) -> None:
        """Say it."""
        try:
            if message.kind == _messages.LOG:
                _log(marshal.loads(message.payload))
            elif message.kind == _messages.WARNING:
                self._warn(*marshal.loads(message.payload))
            elif message.kind == _messages.WATCHED:
                _watched.follow_worker(marshal.loads(message.payload))
            else:
                self._write(message, _STREAMS[message.kind])
        except BaseException as error:  # noqa: BLE001 - streams, handlers and filters are the user's
            # Nobody reads any more, or the stream was closed: then there is nobody to tell.
            if not isinstance(error, OSError | ValueError):
                with contextlib.suppress(BaseException):
                    traceback.print_exception(error, file=sys.__stderr__)

    # ------------------------------------------------------------ text

    def _write(self, message: Message, name: str) -> None:
        stream: Any = getattr(sys, name)
        if stream is None:  # pythonw
            return
        self._in_use = name
        try:
            if message.kind in {_messages.RAW_OUT, _messages.RAW_ERR}:
                _write_bytes(stream, message.payload)
            else:
                _write_text(stream, name, message.payload.decode("utf-8", "replace"), message.pid)
        finally:
            self._in_use = None

    # ------------------------------------------------------------ warnings

    def _warn(self, text: str, classes: list[str], filename: str, lineno: int, module: str | None) -> None:
        from manyhands._engine._relayed_warnings import find_class  # noqa: PLC0415 - most programs do not warn

        category: type[Warning] = next(filter(None, map(find_class, classes)), UserWarning)
        warning = category.__new__(category, text)  # its __init__ may take more than a text
        warning.args = (text,)
        try:
            warnings.warn_explicit(warning, category, filename, lineno, module, self._registry(module or filename))
        except Warning:  # the filter has become "error" since
            warnings.showwarning(warning, category, filename, lineno)

    def _registry(self, module: str) -> dict[Any, Any]:
        """Where Python notes what a module has been warned of."""
        loaded = sys.modules.get(module)
        if loaded is not None:
            return loaded.__dict__.setdefault("__warningregistry__", {})  # type: ignore[no-any-return]
        return self._registries.setdefault(module, {})


def forget_open_lines() -> None:
    """The program goes on behind a call, and may end them itself: what comes next follows them, as if the program had written it all."""
    _open.clear()


def _write_text(stream: Any, name: str, text: str, pid: int) -> None:
    ends = text.endswith("\n")
    before = _open.get(name)
    if before is not None and before[0] != pid and before[1] is stream and ends and not text.startswith("\r"):
        text = "\n" + text  # a line has one author; what is flushed before its end may have several
    with _beside_bars(stream) as bars:
        if bars and not ends:
            text, ends = text + "\n", True
        _write_encodable(stream, text)
        if ends:
            _open.pop(name, None)
        else:
            _open[name] = pid, stream
            if hasattr(stream, "flush"):
                stream.flush()  # who leaves a line open and has it sent wants it to be seen


def _write_bytes(stream: Any, data: bytes) -> None:
    raw = getattr(stream, "buffer", None)
    if raw is None:  # the program has put something else in its place
        stream.write(data.decode(getattr(stream, "encoding", None) or "utf-8", "replace"))
        return
    stream.flush()
    raw.write(data)
    raw.flush()


def _write_encodable(stream: Any, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:  # the parent's terminal is not for all letters
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


@contextlib.contextmanager
def _beside_bars(stream: Any) -> Iterator[bool]:
    """Make room for a line if bars of tqdm are shown; whether they are. Those of rich see to it themselves."""
    bar = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    if bar is None or not getattr(bar, "_instances", None):
        yield False
        return
    with bar.external_write_mode(file=stream):
        yield True


# ---------------------------------------------------------------- log records


def _log(fields: dict[str, Any]) -> None:
    import logging  # noqa: PLC0415 - most programs that have it here have it loaded

    logger = logging.getLogger(None if fields["name"] == "root" else fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        fields["levelname"] = logging.getLevelName(fields["levelno"])  # the program may have a name for it that the worker has not
        logger.handle(logging.makeLogRecord(fields))
