"""Failed tasks, run again: :func:`replay`. They are saved where ``record_failures=`` is given."""

from __future__ import annotations

import contextlib
import importlib
import linecache
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _class_references, _definitions, _failures, _loading, _pickling, _renaming
from manyhands._codec._main_globals import MainGlobals
from manyhands._records import _container, _facts
from manyhands.errors import CannotReplay, NotSerializable, RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands._records._container import Part

_INITIALIZER, _FUNCTION = 0, 1  # as a worker would number them
_INHERITED = b"manyhands._codec._inherited"
_SHAPES = "argument", "arguments", "call"


def replay(path: str | os.PathLike[str]) -> FailedTask:
    """The failed task that is saved in a file, to be run once more in this process.

    A call with ``record_failures="failures"`` saves there each task that fails, and notes the file on the exception. On the command line,
    ``manyhands replay FILE --pdb`` runs one in a debugger. Nothing is unpickled until what it was called with is asked for; but then: the
    file holds a pickle, which can do anything, so replay your own files only.

    Example:
        >>> import manyhands
        >>> [failure] = manyhands.map(int, ["no"], errors="return", record_failures="failures")
        >>> file = failure.error.__notes__[-1].rpartition(" ")[2]
        >>> task = manyhands.replay(file)
        >>> task.args, task.text
        (('no',), "ValueError: invalid literal for int() with base 10: 'no'")

    Raises:
        OSError: the file cannot be opened.
        CannotReplay: it is none of those files, or of a later version.
        StoreCorrupt: it is damaged.
    """
    return FailedTask(os.path.abspath(path))


class FailedTask:
    """A task that has failed, as :func:`replay` gives it.

    Attributes:
        path: the file.
        facts: all that it tells of itself, as it is in its header: versions, ``cwd``, ``path``, ``argv``, ``environment`` and so on.
        call: the task in words, ``divide(1, 0)``.
        index, attempt: which input of its call it was, from 0; for the how manieth time it ran, from 1.
        text: the exception in a line, ``ZeroDivisionError: division by zero``.
        traceback: that of the failure, as text.
        changed: functions, classes and modules of which this process has other code than the program had; known when they are loaded.

    What a task got by value (all of a script or notebook) is as it was then; what it got by name is what is found under that name now:
    edit it, and replay the task.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.facts: dict[str, Any] = _container.read_header(path)
        task, error = self.facts["task"], self.facts["error"]
        self.call: str = task["call"]
        self.index: int = task["index"]
        self.attempt: int = task["attempt"]
        self.text: str = f"{error['type']}: {error['text']}" if error["text"] else error["type"]
        self.traceback: str = error["traceback"]
        self.changed: list[str] = []
        self._main = _new_main()
        self._globals = MainGlobals()
        self._is_set_up = False
        self._parts_read: dict[str, Part] | None = None
        self._loaded: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None

    # ------------------------------------------------------------ what it was

    @property
    def function(self) -> Callable[..., Any]:
        """What was called."""
        return self._known()[0]

    @property
    def args(self) -> tuple[Any, ...]:
        """Its positional arguments, as they were sent (of threads, and without workers: as they were after the failure)."""
        return self._known()[1]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its arguments by keyword."""
        return self._known()[2]

    @property
    def by_value(self) -> bool:
        """Whether its function was sent with its code, as those of scripts and notebooks are: it is run as it was then."""
        return "function" in self._parts and _pickling.is_made(self._parts["function"].payload)

    @property
    def error(self) -> BaseException:
        """The exception that it failed with; its ``__cause__`` shows the traceback then."""
        error = _failures.decode_failure(self._parts["error"].payload)
        error.__cause__ = RemoteTraceback(self.traceback)
        return error

    def __repr__(self) -> str:
        return f"<FailedTask {self.index}: {self.call} failed with {self.text}>"

    # ------------------------------------------------------------ again

    def run(self) -> Any:
        """Run it in this process, with arguments of its own: what it returns. What the workers' initializer did is done before.

        Raises:
            CannotReplay: it cannot be loaded here.
            Exception: whatever it raises; :meth:`is_same` tells whether that is what it failed with.
        """
        with self.loaded() as (function, args, kwargs):
            result = function(*args, **kwargs)
            self.check_result(result)
            return result

    def is_same(self, error: BaseException) -> bool:
        """Whether an exception has the class and the text of that with which it failed."""
        told, now = self.facts["error"], _facts.failure(error)
        return bool((told["type"], told["text"]) == (now["type"], now["text"]))

    @contextlib.contextmanager
    def loaded(self) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
        """Function and arguments, made anew; in the block, ``__main__`` is what a worker has under that name.

        Raises:
            CannotReplay: it cannot be loaded here.
        """
        parts = self._parts
        with _main_is(self._main):
            self._set_up(parts)
            yield self._load(parts)

    def check_result(self, result: object) -> None:
        """Send a result to oneself, if it was that which could not be sent.

        Raises:
            Exception: it cannot.
        """
        if self.facts["is_result"]:
            try:
                payload, views = _pickling.encode_views(result, is_result=True)
            except NotSerializable as error:
                raise _renaming.of_result(error, self.index) from None
            _pickling.decode(payload, [bytearray(view) for view in views], _loading.RESULT)

    def _known(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        if self._loaded is None:
            with self.loaded() as self._loaded:
                pass
        return self._loaded

    @property
    def _parts(self) -> dict[str, Part]:
        if self._parts_read is None:
            self._parts_read = _container.read(self.path)[1]
        return self._parts_read

    def _set_up(self, parts: dict[str, Part]) -> None:
        """Do what a worker had done before, once."""
        if self._is_set_up:
            return
        self._check(parts)
        self._show_source()
        if "initializer" in parts:
            initializer, arguments, _ = self._value(parts["initializer"], parts, _INITIALIZER)
            if initializer is not None:
                initializer(*arguments)
        self._is_set_up = True

    def _load(self, parts: dict[str, Part]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        function = self._value(parts["function"], parts, _FUNCTION)
        shape = next(name for name in _SHAPES if name in parts)
        value = self._value(parts[shape], parts)
        if shape == "call":
            return function, tuple(value[0]), value[1]
        return function, tuple(value) if shape == "arguments" else (value,), {}

    def _value(self, part: Part, parts: dict[str, Part], number: int | None = None) -> Any:
        """What a part holds. Functions by value have their globals in ``__main__``."""
        buffers = [_fresh(buffer) for buffer in part.buffers]
        with self._described(parts), _definitions.as_it_is_now() as replaced:
            try:
                if number is None or not _pickling.is_made(part.payload):
                    return _pickling.decode(part.payload, buffers)
                return self._globals.load(number, part.payload, buffers)
            except ImportError as error:
                if self.facts["error"]["type"] == type(error).__name__:
                    raise  # that is how it failed
                reason = f"what it needs cannot be imported here: {error}"
                mend = "install what is missing, or add its folder: PYTHONPATH=FOLDER manyhands replay ..."
                raise CannotReplay(self.path, reason, mend) from error
            finally:
                self.changed += [name for name in replaced if name not in self.changed]

    @contextlib.contextmanager
    def _described(self, parts: dict[str, Part]) -> Iterator[None]:
        """Classes of the program's script are made from what is told of them there."""

        def give(keys: list[tuple[str, str, bytes]], _: str) -> type:
            _, name, key = keys[-1]
            part = parts.get(f"class {key.hex()}")
            if part is None:
                reason = f"the class {name} is not in it, which had changed when the task failed"
                raise CannotReplay(self.path, reason, "let the task fail once more, without a change of its classes")
            return _class_references.received(key, bytes(part.payload))

        before, _pickling.ask = _pickling.ask, give
        try:
            yield
        finally:
            _pickling.ask = before

    def _check(self, parts: dict[str, Part]) -> None:
        """That it can be loaded here at all.

        Raises:
            CannotReplay: it cannot.
        """
        if "incomplete" in self.facts:
            reason = f"what the task was called with could not be saved ({self.facts['incomplete']})"
            raise CannotReplay(self.path, reason, "see its traceback: manyhands replay --show")
        if any(buffer.kind == _container.DESCRIPTOR for part in parts.values() for buffer in part.buffers):
            reason = "among its arguments is a socket or a connection, which has gone with the program"
            raise CannotReplay(self.path, reason, "try the function alone, in a program that makes one")
        if any(_INHERITED in bytes(part.payload) for part in parts.values()):
            reason = "it uses what only workers of that program could inherit, such as a queue of multiprocessing"
            raise CannotReplay(self.path, reason, "try the function alone, in a program that makes one")
        version = ".".join(self.facts["python"].split(".")[:2])
        if version != f"{sys.version_info[0]}.{sys.version_info[1]}" and any(_pickling.is_made(part.payload) for part in parts.values()):
            reason = f"it holds code of Python {version}, as byte code, which this Python {sys.version.split()[0]} cannot run"
            raise CannotReplay(self.path, reason, f"use that Python: {self.facts['executable']} -m manyhands replay ...")

    def _show_source(self) -> None:
        """Debuggers and tracebacks find the lines of a function that is in no file (a notebook's)."""
        place, source = self.facts["task"]["place"], self.facts["source"]
        if place is not None and source is not None and "text" in source:
            text = source["text"]
            linecache.cache.setdefault(place[0], (len(text), None, text.splitlines(keepends=True), place[0]))


def _fresh(buffer: _container.Buffer) -> Any:
    """A buffer for one use: what a task does to it, the next run does not see."""
    if buffer.kind != _container.SHARED:
        return bytearray(buffer.data)
    from manyhands._wire import _shared  # noqa: PLC0415 - few tasks share anything

    memory = _shared.create(len(buffer.data))
    memory[: len(buffer.data)] = bytes(buffer.data)
    return memoryview(memory)


def _new_main() -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = importlib.import_module("builtins")
    return main


@contextlib.contextmanager
def _main_is(main: types.ModuleType) -> Iterator[None]:
    before = sys.modules["__main__"]
    sys.modules["__main__"] = main
    try:
        yield
    finally:
        sys.modules["__main__"] = before


__all__ = ["FailedTask", "replay"]
