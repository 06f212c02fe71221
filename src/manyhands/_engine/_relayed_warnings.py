"""In a worker: warnings follow the parent's filters, and what these let through the parent shows, by its own rules once more."""

from __future__ import annotations

import marshal
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

from manyhands._wire import _messages

if TYPE_CHECKING:
    from collections.abc import Callable


class Warnings:
    """See the module; ``say(kind, payload)`` sends."""

    def __init__(self, say: Callable[[int, bytes], None], pristine: list[tuple[Any, ...]]) -> None:
        self._say = say
        self._pristine = pristine  # filters that are nobody's
        self._told: list[tuple[Any, ...]] = []  # the parent's filters, as they came
        self._active: list[tuple[Any, ...]] = []  # those of them that stand in warnings.filters
        self._missing = False  # some name a class whose module is not loaded: nothing can have been issued of it
        self._original = warnings.showwarning
        warnings.showwarning = self._show

    def adopt(self, filters: list[tuple[Any, ...]]) -> None:
        """The parent's filters as they are by now, behind those that the worker's own code has added."""
        self._told = filters
        own = [entry for entry in warnings.filters if entry not in self._active and entry not in self._pristine]
        decoded = [_decode(entry) for entry in filters]
        self._active = [entry for entry in decoded if entry is not None]
        self._missing = None in decoded
        warnings.resetwarnings()  # has the filters looked at anew, also for places that have warned
        warnings.filters[:] = [*own, *self._active]  # type: ignore[index]

    def _show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            self._original(message, category, filename, lineno, file, line)
            return
        module = _module(filename, lineno)
        if self._missing and self._complete():
            warnings.warn_explicit(message, category, filename, lineno, module)
            return
        classes = [f"{cls.__module__}:{cls.__qualname__}" for cls in category.__mro__ if issubclass(cls, Warning)]
        self._say(_messages.WARNING, marshal.dumps((str(message), classes, filename, lineno, module)))

    def _complete(self) -> bool:
        """Whether a module has been loaded whose classes filters are about; then they have been looked at."""
        count = len(self._active)
        self.adopt(self._told)
        return len(self._active) > count


def _decode(entry: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A filter as ``warnings`` has them; None if its class is not known here."""
    action, message, category, module, lineno = entry
    cls = find_class(category)
    return None if cls is None else (action, _pattern(message), cls, _pattern(module), lineno)


def _pattern(encoded: str | tuple[str, int] | None) -> Any:
    return re.compile(*encoded) if isinstance(encoded, tuple) else encoded


def find_class(name: str) -> Any:
    """The class of a name like "module:Outer.Inner", if its module is loaded; None otherwise."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Warning) else None


def _module(filename: str, lineno: int) -> str | None:
    """The name of the module that a warning is about: that of the frame in this place, if it is still there."""
    frame = sys._getframe(2)  # noqa: SLF001 - the stack alone knows
    while frame is not None:
        if frame.f_lineno == lineno and frame.f_code.co_filename == filename:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
