"""What things are called in messages."""

from __future__ import annotations


def function_name(function: object) -> str:
    """What to call a function in messages."""
    inner = getattr(function, "func", None)  # functools.partial
    name = getattr(function, "__qualname__", None) or getattr(inner, "__qualname__", None)
    return name or type(function).__qualname__
