"""Digests of arguments: code that a function is handed counts as its own does, by all that it reaches.

So does what a function calls by way of an argument: the methods of the object's class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._codec import _digests
from manyhands._hashing import _algorithms, _code
from manyhands._hashing._terms import ORDERED, Node
from manyhands._hashing._walk import Walk
from manyhands.memory import _declared, _packages
from manyhands.memory._known import Known, known

if TYPE_CHECKING:
    import types

    from manyhands._hashing._walk import Handler, Made

_OURS = "manyhands.memory"


class _Reached(_code.Codes):
    """Functions and classes, by all that they use."""

    def __init__(self) -> None:
        super().__init__(known)
        self._modules: dict[str, tuple[types.ModuleType, Known]] = {}

    def counts(self, module: object) -> bool:
        return _packages.is_own(module)

    def of_another(self, cls: type) -> Any:
        """Of a class of a package: in which version that is."""
        version = _packages.version(cls.__module__)
        told = super().of_another(cls)
        return told if version is None else (told, *version)

    def of_module(self, module: types.ModuleType) -> tuple[Any, ...]:
        """Of a module of the user's, all that is in it."""
        name = module.__name__
        if not self.counts(name):
            return name, *(_packages.version(name) or ())
        found = self._modules.get(name)
        if found is None or found[0] is not module or found[1].changed():
            found = self._modules[name] = module, known(module)
        return name, found[1].digest


class ArgumentWalk(Walk):
    """One digest."""

    codes = _Reached()

    def __init__(self) -> None:
        super().__init__(_algorithms.XXH3)

    def handler(self, obj: Any, kind: type) -> Handler:
        """What takes objects of a class apart."""
        is_cached = kind.__module__.startswith(_OURS) and callable(obj) and hasattr(obj, "func")  # a shelved result has the name of one
        return _cached_function if is_cached else super().handler(obj, kind)


def _cached_function(_: Any, value: Any) -> Made:
    """Where its results are does not count."""
    said = [part for declared in _declared.by_cached(value) for pair in declared.parts_of_another() for part in pair]
    header = (b"cached", *(_digests.of(part.encode()) if isinstance(part, str) else part for part in said))
    code = [dep for declared in _declared.by_cached(value) for dep in declared.code]
    return Node(ORDERED, header, (value.func, *code))
