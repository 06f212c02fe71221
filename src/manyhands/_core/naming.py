"""What things are called in messages, and where they are from."""

from __future__ import annotations

import types

_WRAPPERS = 8  # around a function, at the most


def function_name(function: object) -> str:
    """What to call a function in messages."""
    inner = getattr(function, "func", None)  # functools.partial
    name = getattr(function, "__qualname__", None) or getattr(inner, "__qualname__", None)
    return name or type(function).__qualname__


def function_code(function: object) -> types.CodeType | None:
    """The code of a function, also in what is wrapped around it; None if that is not at hand. Runs no code of the user's."""
    for _ in range(_WRAPPERS):
        if type(function) is types.FunctionType:
            inner = function.__dict__.get("__wrapped__")
            if inner is None:
                return function.__code__
        elif type(function) is types.MethodType:
            inner = function.__func__
        else:
            inner = _held(function)
        function = inner
    return None


def _held(wrapper: object) -> object:
    """What an instance calls: functools.partial's function, or what functools.wraps() has noted."""
    import functools  # noqa: PLC0415 - loaded by whoever has wrapped a function

    if isinstance(wrapper, functools.partial):
        return wrapper.func
    try:
        noted = object.__getattribute__(wrapper, "__dict__")
    except AttributeError:
        return None
    return noted.get("__wrapped__") if type(noted) is dict else None
