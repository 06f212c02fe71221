"""Where code is from, in words that are the same on every machine: the file within the project, not the folder that has the project."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from typing import Any

_SESSION = "__main__"


def of_code(code: types.CodeType, module: object) -> str:
    """The file of a function: ``app.py``, ``shop/prices.py``; a notebook and a command line have none."""
    return of_file(code.co_filename, module)


def of_module(variables: dict[str, Any]) -> str:
    """The file of a module."""
    return of_file(variables.get("__file__"), variables.get("__name__"))


def of_class(cls: type) -> str:
    """The file of a class; empty for one of a script that has no function of its own to tell."""
    if file := file_of_class(cls):
        return of_file(file, cls.__module__)
    return "" if cls.__module__ in {_SESSION, "__mp_main__"} else cls.__module__


def file_of_class(cls: type) -> str:
    """Where a class is defined, if that can be told: in a worker, those of a script have no module that does."""
    for value in vars(cls).values():
        code = getattr(value, "__code__", None)
        if code is not None and value.__module__ == cls.__module__ and _is_there(code.co_filename):
            return str(code.co_filename)
    if cls.__module__ in {_SESSION, "__mp_main__"}:
        return ""
    return str(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")


def of_file(file: object, module: object) -> str:
    name = module if isinstance(module, str) else _SESSION
    if not isinstance(file, str) or not _is_there(file):
        return name
    steps = file.split(os.sep)
    folders = 0 if name in {_SESSION, "__mp_main__"} else name.count(".") + (steps[-1] == "__init__.py")
    return "/".join(steps[-1 - folders :])


def _is_there(file: str) -> bool:
    # A cell's file is named after the process; "<string>" and its like are none.
    return not file.startswith("<") and "ipykernel_" not in file and os.path.exists(file)


def importable_name(file: object, module: object) -> str:
    """The name that a module has, or that it would have if a script were imported instead: the same however it is run."""
    name = module if isinstance(module, str) else _SESSION
    if name not in {_SESSION, "__mp_main__"}:
        return name
    if not isinstance(file, str) or not _is_there(file):
        return _SESSION
    folder, last = os.path.split(os.path.abspath(file))
    steps = [os.path.splitext(last)[0]]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, last = os.path.split(folder)
        steps.insert(0, last)
    return ".".join(steps)
