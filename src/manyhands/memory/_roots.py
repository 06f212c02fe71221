"""What of a callable is the function that is remembered."""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any

from manyhands._codec import _code_walk


def root_of(function: Any) -> Any:
    """What of a callable counts: of a method its function, for the object is an argument; of a classmethod's, the class as well."""
    if isinstance(function, types.MethodType) and not isinstance(function.__self__, type):
        return function.__func__
    if isinstance(function, classmethod | staticmethod):
        return root_of(function.__func__)
    return function


def function_called(function: Any) -> Any:
    """What says of which kind a callable is, a coroutine function or another: itself, or the ``__call__`` of its class."""
    if inspect.isroutine(function) or isinstance(function, type | functools.partial):
        return function
    return type(function).__call__


def function_of(root: Any) -> types.FunctionType | None:
    """The function that is behind decorators, partials and objects that can be called."""
    seen: set[int] = set()
    while id(root) not in seen:
        seen.add(id(root))
        if isinstance(root, types.MethodType | classmethod | staticmethod):
            root = root.__func__
        elif isinstance(root, functools.partial):
            root = root.func
        elif (wrapped := _code_walk.attributes(root).get("__wrapped__")) is not None:
            root = wrapped
    return root if isinstance(root, types.FunctionType) else None
