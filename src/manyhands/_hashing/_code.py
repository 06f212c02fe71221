"""Functions and classes. Those of the project and of the program count with their code, others by their names.

Of a function the rest are parts of its value: defaults, what its closure holds, its attributes. What it finds under global names is a
matter of the walk: by ``_own_code.py``, code, and constants in capitals; for keys of results on disk, all (``memory/_argument_walk.py``).
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from manyhands._codec import _naming
from manyhands._hashing._terms import fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    Label = tuple[str, str, bytes | tuple[str, ...]]  # module, name, what else tells it from others of that name
    Modules = tuple[types.ModuleType, ...]

_MOST = 2000  # that are remembered; they are kept alive by it


class Digested(Protocol):
    """Code, by what it was when it was looked at."""

    @property
    def digest(self) -> bytes:
        """Equal for equal code."""

    def changed(self) -> bool:
        """Whether it is other code by now; if not, ``digest`` is up to date."""


class Codes:
    """What functions and classes are, as far as that is the same for all walks of a kind; ``code_of`` tells it of one."""

    def __init__(self, code_of: Callable[[Any], Digested]) -> None:
        self._code_of = code_of
        self._classes: dict[int, tuple[Callable[[], object], Digested | None, Label]] = {}
        self._functions: dict[tuple[int, int, str, str, Modules], tuple[types.CodeType, dict[str, Any], Digested]] = {}

    def counts(self, module: object) -> bool:
        """Whether the code of a module, by its name, is looked into."""
        return counts(module)

    def of_class(self, cls: type) -> Label:
        """What a class is: its name, and the digest of its code."""
        known = self._classes.get(id(cls))
        if known is not None and known[0]() is cls and (known[1] is None or not known[1].changed()):
            return known[2] if known[1] is None else (*known[2][:2], known[1].digest)
        code = self._code_of(cls) if self.counts(cls.__module__) else None
        label = str(cls.__module__), cls.__qualname__, self.of_another(cls) if code is None else code.digest
        if len(self._classes) >= _MOST:
            self._classes.clear()
        self._classes[id(cls)] = weakref.ref(cls), code, label
        return label

    def of_another(self, cls: type) -> bytes | tuple[str, ...]:
        """What tells a class that is not looked into from others that a factory has made under the same name."""
        if _naming.found_by_name(cls):
            return b""
        names = vars(cls).get("__match_args__", vars(cls).get("_fields", ()))
        return tuple(names) if isinstance(names, tuple) and all(type(name) is str for name in names) else b""

    def of_module(self, module: types.ModuleType) -> tuple[Any, ...]:
        """What a module is: its name."""
        return (module.__name__,)

    def of_function(self, function: types.FunctionType) -> tuple[tuple[Any, ...], list[Any]]:
        """The header of a function, and its parts."""
        module = function.__module__
        if not self.counts(module) and _naming.found_by_name(function):
            return (b"function", str(module), function.__qualname__), []
        header = (b"function", str(module), function.__qualname__, self.code_of_function(function).digest)
        parts = [fresh(function.__defaults__), fresh(function.__kwdefaults__)]
        if function.__globals__.get("__name__") == functools.__name__ and hasattr(function, "registry"):
            # functools.singledispatch keeps a cache in its closure; what it dispatches to is in the registry.
            return header, [*parts, _registry(function.registry)]
        cells = [part for cell in function.__closure__ or () for part in _content(cell)]
        return header, [*parts, *cells, fresh(vars(function))]

    def code_of_function(self, function: types.FunctionType) -> Digested:
        """The code of a function, without what only this one has; of what is around it modules count as those that it names do."""
        code, variables = function.__code__, function.__globals__
        cells = tuple(cell if _is_module(cell) else types.CellType() for cell in function.__closure__ or ())
        modules = tuple(cell.cell_contents for cell in function.__closure__ or () if _is_module(cell))
        key = id(code), id(variables), str(function.__module__), function.__qualname__, modules
        known = self._functions.get(key)
        if known is not None and known[0] is code and known[1] is variables and not known[2].changed():
            return known[2]
        bare = types.FunctionType(code, variables, function.__name__, None, cells)
        bare.__module__, bare.__qualname__ = function.__module__, function.__qualname__
        if len(self._functions) >= _MOST:
            self._functions.clear()
        found = self._code_of(bare)
        self._functions[key] = code, variables, found
        return found


def counts(module: object) -> bool:
    """Whether a module, by its name, is of the project or the program."""
    return module == "__main__" or _naming.is_project(module)


def _is_module(cell: types.CellType) -> bool:
    return type(_content(cell)[-1]) is types.ModuleType


def _registry(registry: Any) -> Any:
    return fresh([(cls, registry[cls]) for cls in sorted(registry, key=lambda cls: (cls.__module__, cls.__qualname__))])


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return True, cell.cell_contents
    except ValueError:  # not assigned yet
        return (False,)
