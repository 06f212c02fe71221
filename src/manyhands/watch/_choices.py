"""What can be chosen for watching: checked at once, so that an error names what is wrong and comes where it was written."""

from __future__ import annotations

import os
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from manyhands._core.options import refuse, whole
from manyhands.watch.observer._exports import endings, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")

LEVELS = ("sample", "touch", "auto", "exact")
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


class Choices(NamedTuple):
    """As :func:`manyhands.watch` describes them; ``is_trace``: they are those of ``trace()``, which leaves all else as it is."""

    name: str | None = None
    level: str = "sample"
    files: object = None
    arguments: bool = False
    control: bool = False
    terminal: bool = False
    browser: bool | None = None
    port: int = 0
    host: str = "127.0.0.1"
    save: tuple[str, ...] = ()
    is_trace: bool = False

    @property
    def needs_page(self) -> bool:
        """Whether nothing would come of watching without one; what is kept, and what is shown in a terminal, can do without."""
        return not (self.terminal or (self.save and not self.browser))

    def told(self) -> dict[str, Any]:
        """What the observer is told, as plain data."""
        told: dict[str, Any] = {"level": self.level, "files": self.files}
        told |= {} if self.is_trace else {"arguments": self.arguments, "control": self.control}
        return {**told, "save": list(self.save)} if self.save else told


def told_by_name(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """``function``, which tells who gives a parameter that it does not have of those that it has."""
    known = list(signature(function).parameters)

    @wraps(function)
    def call(*args: _P.args, **given: _P.kwargs) -> _R:
        for name in given:
            if name not in known:
                raise TypeError(_unknown(function.__name__, name, known))
        return function(*args, **given)

    return call


def _unknown(function: str, name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only for who mistypes

    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? It" if close else "it"
    return f"{function}() has no parameter {name!r}; {hint} has {', '.join(known)}"


def checked(**given: object) -> Choices:
    """The choices that somebody has made.

    Raises:
        ValueError, TypeError: one is not allowed; the message names it.
    """
    return Choices(**{name: _CHECKS[name](name, value) for name, value in given.items()})


def _flag(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    raise refuse(name, value, "True or False")


def _maybe(name: str, value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    raise refuse(name, value, "True, False, or None: where there is a desktop to show it on")


def _name(name: str, value: object) -> object:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise refuse(name, value, "a text to call the run by, or None for that of the program's file")


def _level(name: str, value: object) -> object:
    if isinstance(value, str) and value in LEVELS:
        return value
    raise refuse(name, value, "one of " + ", ".join(map(repr, LEVELS)))


def _files(name: str, value: object) -> object:
    if value is None or hasattr(value, "told"):  # what manyhands.watch.files gives
        return value if value is None else value.told()
    found = [value] if isinstance(value, str | os.PathLike) else value
    if isinstance(found, list | tuple | set) and all(isinstance(each, str | os.PathLike) and os.fspath(each) for each in found):
        return [os.fspath(each) for each in found]
    raise refuse(name, value, "a part of the paths of files, or several; what manyhands.watch.files gives; or None: the project's")


def _port(name: str, value: object) -> object:
    number = whole(value)
    if number is not None and 0 <= number < 65536:
        return number
    raise refuse(name, value, "a number from 1 to 65535, or 0 for any that is free")


def _host(name: str, value: object) -> object:
    if isinstance(value, str) and value and not any(character.isspace() or character in "/@?#" for character in value):
        return value
    raise refuse(name, value, "an address of this machine; '127.0.0.1' for its own users, '0.0.0.0' for everybody who can reach it")


def _save(name: str, value: object) -> object:
    if value is None:
        return ()
    each = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(each, list | tuple) or not all(isinstance(path, str | os.PathLike) and os.fspath(path) for path in each):
        raise refuse(name, value, f"the path of a file whose name ends in {endings()}, several, or None")
    return tuple(file_to_keep(name, os.fspath(path)) for path in each)


def file_to_keep(name: str, path: str) -> str:
    """The absolute path of a file that a run can be kept in.

    Raises:
        ValueError: there is no such folder, or no such kind of file.
    """
    found = os.path.abspath(path)
    if kind_of(found) is None:
        raise refuse(name, path, f"the path of a file whose name ends in {endings()}")
    if not os.path.isdir(os.path.dirname(found)) or os.path.isdir(found):
        raise refuse(name, path, "the path of a file in a folder that is there")
    return found


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "name": _name,
    "level": _level,
    "files": _files,
    "arguments": _flag,
    "control": _flag,
    "terminal": _flag,
    "browser": _maybe,
    "port": _port,
    "host": _host,
    "save": _save,
}


def wants_browser(browser: bool | None, *, is_terminal: bool) -> bool:
    """Whether the page is to be opened. Where nobody has said so: if a person at a desktop has started the program."""
    if browser is not None:
        return browser
    return is_terminal and "SSH_CONNECTION" not in os.environ and any(os.environ.get(name) for name in _DESKTOP)
