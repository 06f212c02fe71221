"""From ``MODULE:FUNCTION`` to the function."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from manyhands.errors import a_or_an

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")  # what a script was calling is of no interest


class CannotLoad(Exception):
    """The function cannot be had; the text says why."""


def load(spec: str, *, callable_only: bool = True) -> tuple[Callable[[Any], object], str]:
    """The function, and ``module:function`` as a journal knows it; any other object, too, unless ``callable_only``.

    The current directory is importable from then on, and that of a file that is named.

    Raises:
        CannotLoad: there is no such module or function.
    """
    module_name, colon, path = spec.rpartition(":")
    if not colon or not module_name or not path:
        msg = f"{spec!r} names no function; it is MODULE:FUNCTION, like statistics:mean or tasks.py:work"
        raise CannotLoad(msg)
    module = load_module(module_name)
    function: Any = _find(module, path)
    if callable_only and not callable(function):
        msg = f"{module.__name__}:{path} is {a_or_an(type(function).__name__)}, which cannot be called"
        raise CannotLoad(msg)
    return function, f"{module.__name__}:{path}"


def load_module(name: str) -> ModuleType:
    """A module, by its name or the path of its file. The current directory is importable from then on, and that of the file.

    Raises:
        CannotLoad: there is none, or importing it failed.
    """
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    return _load_file(name) if _is_path(name) else _import(name)


def is_file(spec: str) -> bool:
    """Whether it is the path of a file, rather than the name of a module, that is before the colon."""
    return _is_path(spec.rpartition(":")[0])


def _is_path(module_name: str) -> bool:
    return module_name.endswith(".py") or os.sep in module_name


def _load_file(path: str) -> ModuleType:
    """A file as a module of its own name, so that workers can import it as well."""
    if not os.path.isfile(path):
        msg = f"there is no file {path!r}"
        raise CannotLoad(msg)
    directory, base = os.path.split(os.path.abspath(path))
    name = base.removesuffix(".py")
    if "." in name or name == base:
        msg = f"{path!r} cannot be imported: its name must end with .py and have no other dot in it"
        raise CannotLoad(msg)
    sys.path.insert(0, directory)
    module = _import(name)
    found = getattr(module, "__file__", None)
    if found is None or not os.path.samefile(found, path):
        msg = f"{path!r} cannot be imported as {name!r}: that is the name of {found or 'a module of Python itself'}; rename the file"
        raise CannotLoad(msg)
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            msg = f"there is no module {error.name!r}, neither in the current directory nor installed"
            raise CannotLoad(msg) from None
        raise CannotLoad(_failed_import(name, error)) from error
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise CannotLoad(_failed_import(name, error)) from error


def _failed_import(name: str, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = next((frame for frame in reversed(frames) if not frame.filename.startswith(_OURS)), frames[-1])
    place = f"line {error.lineno} of {error.filename}" if isinstance(error, SyntaxError) else f"line {where.lineno} of {where.filename}"
    return f"importing {name!r} failed: {type(error).__name__}: {error} ({place})"


def _find(module: ModuleType, path: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            names = [known for known in dir(found) if not known.startswith("_") and callable(getattr(found, known, None))]
            close = difflib.get_close_matches(name, names) or names[:10]
            hint = f"; it has {', '.join(close)}" if close else ""
            msg = f"{getattr(found, '__name__', path)!r} has no {name!r}{hint}"
            raise CannotLoad(msg) from None
    return found
