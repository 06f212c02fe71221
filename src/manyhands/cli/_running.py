"""Running a script in this process as Python would have: nothing that it can see, and no traceback, tells of who has started it."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from manyhands.watch._choices import Choices

_NO_FILE = 2  # the exit status of Python


class CannotRun(Exception):
    """There is no such script or module. ``status``: what Python ends with."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class _Found(NamedTuple):
    """What is to be run. ``facts``: what its module has, before it runs."""

    code: CodeType
    facts: dict[str, Any]


class Program:
    """A script, or a module. ``choices``: how it is watched; None: as the environment says."""

    def __init__(self, script: str, arguments: list[str], *, is_module: bool, choices: Choices | None) -> None:
        self._script = script
        self._arguments = arguments
        self._is_module = is_module
        self._choices = choices

    def __call__(self) -> int:
        """Run it, in the place of the program that runs now; the exit status."""
        sys.argv[:] = ["-m" if self._is_module else self._script, *self._arguments]
        try:
            self._watch()
            found = self._found()
            main = ModuleType("__main__")
            main.__dict__.update({"__builtins__": __builtins__, "__annotations__": {}, **found.facts})
            sys.modules["__main__"] = main
            if self._is_module:
                sys.argv[0] = str(found.facts["__file__"])
            _execute(found.code, main.__dict__)
        except CannotRun as error:
            print(f"manyhands run: {error}", file=sys.stderr)
            return error.status
        except SystemExit as error:
            _note(error)
            raise
        except BaseException as error:
            _note(error)
            _tell(error)
            if isinstance(error, KeyboardInterrupt):
                sys.excepthook = lambda *_: None  # it has been told; but Python ends by the signal
                raise
            return 1
        return 0

    def _watch(self) -> None:
        choices = self._choices
        if choices is None and os.environ.get("MANYHANDS_WATCH") != "1":
            return
        from manyhands.errors import WatchFailed  # noqa: PLC0415 - a script that is not watched does without
        from manyhands.watch import _plain, _watching  # noqa: PLC0415 - as above
        from manyhands.watch._choices import Choices  # noqa: PLC0415 - as above

        choices = choices or Choices()
        try:
            _watching.begin(choices if choices.name else choices._replace(name=os.path.basename(self._script)))
        except WatchFailed as error:
            raise CannotRun(str(error)) from error
        _watching.begin_at(_execute.__code__)
        _plain.begin()

    def _found(self) -> _Found:
        if self._is_module:
            _set_path(os.getcwd())
            return _module(self._script)
        path = os.path.abspath(self._script)
        if os.path.isdir(path) or (os.path.isfile(path) and _is_archive(path)):
            _set_path(path)
            spec = PathFinder.find_spec("__main__", [path])
            if spec is None:
                raise CannotRun(f"can't find '__main__' module in {self._script!r}")
            return _of(spec, path)
        _set_path(os.path.dirname(os.path.realpath(path)))
        return _file(path)


def _execute(code: CodeType, names: dict[str, Any]) -> None:
    """What is inside of this is the script's."""
    exec(code, names)


def _set_path(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _is_archive(path: str) -> bool:
    import zipfile  # noqa: PLC0415 - here alone

    return zipfile.is_zipfile(path)


def _file(path: str) -> _Found:
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise CannotRun(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", _NO_FILE) from None
    code = compile(source, path, "exec", dont_inherit=True)
    facts = {"__file__": path, "__loader__": SourceFileLoader("__main__", path), "__spec__": None, "__package__": None, "__cached__": None}
    return _Found(code, facts)


def _module(name: str) -> _Found:
    """As ``python -m`` finds it: in a package it is ``__main__``."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise CannotRun(f"Error while finding module specification for {name!r} ({type(error).__name__}: {error})") from None
    if spec is None:
        raise CannotRun(f"No module named {name}")
    return _of(spec, spec.origin)


def _of(spec: ModuleSpec, path: str | None) -> _Found:
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name)
    if code is None:
        raise CannotRun(f"No code object available for {spec.name}")
    facts = {
        "__file__": spec.origin,
        "__loader__": spec.loader,
        "__spec__": spec,
        "__package__": spec.parent,
        "__cached__": spec.cached,
    }
    return _Found(code, facts)


def _note(error: BaseException) -> None:
    """The page says how the program has ended."""
    starting = sys.modules.get("manyhands.watch._starting")
    if starting is not None:
        starting.note_ending(error)


def _tell(error: BaseException) -> None:
    """What Python does with an exception that nobody has caught; without what is outside of the script."""
    trace = _inside(error.__traceback__)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _inside(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
