"""What of a callable is the function that is remembered."""

from __future__ import annotations

import functools
import types
from typing import Any

from manyhands._codec import _code_walk


def root_of(function: Any) -> Any:
    """What of a callable counts: all of it, of a method its object or class as well."""
    return root_of(function.__func__) if isinstance(function, classmethod | staticmethod) else function


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
