"""What can be chosen for watching: checked at once, so that an error names what is wrong and comes where it was written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._core.options import refuse, whole

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = ("sample", "touch", "auto", "exact")
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


class Choices(NamedTuple):
    """As :func:`manyhands.watch` describes them."""

    name: str | None = None
    level: str = "sample"
    files: object = None
    arguments: bool = False
    control: bool = False
    terminal: bool = False
    browser: bool | None = None
    port: int = 0
    host: str = "127.0.0.1"
    save: str | None = None

    def told(self) -> dict[str, Any]:
        """What the observer is told, as plain data."""
        return {
            "level": self.level,
            "files": self.files,
            "arguments": self.arguments,
            "control": self.control,
            "save": self.save,
        }


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
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise refuse(name, value, "the path of an HTML file, or None")
    path = os.path.abspath(os.fspath(value))
    if not os.path.isdir(os.path.dirname(path)) or os.path.isdir(path):
        raise refuse(name, value, "the path of an HTML file in a folder that is there")
    return path


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
