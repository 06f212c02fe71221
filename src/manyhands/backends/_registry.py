"""Backends by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from manyhands import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.backends._contract import Backend

# name: (module, class), loaded when asked for; and what to install if that fails
_BUILT_IN: dict[str, tuple[str, str]] = {
    "processes": ("manyhands.backends.processes", "ProcessBackend"),
    "threads": ("manyhands.backends.threads", "ThreadBackend"),
    "sequential": ("manyhands.backends.sequential", "SequentialBackend"),
}
_registered: dict[str, Callable[[], Backend]] = {}


def register(name: str, factory: Callable[[], Backend]) -> None:
    """Make ``backend=name`` mean the backend that ``factory()`` returns.

    Example:
        >>> from manyhands.backends import register
        >>> from manyhands.backends.threads import ThreadBackend
        >>> register("my threads", ThreadBackend)

    Raises:
        ValueError: the name is that of a built-in backend.
    """
    if name in _BUILT_IN:
        msg = f"name={name!r} is a built-in backend; choose another name"
        raise ValueError(msg)
    _registered[name] = factory


def names() -> list[str]:
    """All names that :func:`get` knows."""
    return [*_BUILT_IN, *_registered]


def get(backend: object) -> Backend:
    """The backend of a name, of an executor, or itself.

    Raises:
        BackendMissing: there is none of that name.
    """
    if not isinstance(backend, str):
        if hasattr(backend, "capabilities"):
            return cast("Backend", backend)
        from manyhands.backends.foreign import ForeignBackend  # noqa: PLC0415 - loaded by need, like the others

        return ForeignBackend(backend)  # type: ignore[arg-type]
    if backend in _registered:
        return _registered[backend]()
    if backend not in _BUILT_IN:
        known = ", ".join(map(repr, names()))
        msg = f"backend={backend!r} is not known; known are {known}; manyhands.backends.register() adds one (import manyhands.backends)"
        raise errors.BackendMissing(msg)
    module, name = _BUILT_IN[backend]
    factory: Callable[[], Backend] = getattr(importlib.import_module(module), name)
    return factory()
