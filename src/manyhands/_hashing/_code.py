"""Functions and classes. Those of the project and of the program count with their code, others by their names.

Of a function the rest are parts of its value: defaults, what its closure holds, its attributes. What it finds under global names counts as
``_codec._fingerprint`` has it: code, and constants in capitals.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._codec import _naming
from manyhands._codec._code_walk import Walk, is_made_of_code
from manyhands._codec._fingerprint import Code
from manyhands._hashing._terms import fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Label = tuple[str, str, bytes | tuple[str, ...]]  # module, name, what else tells it from others of that name
    # The class, its code, its label, and which attributes of it are looked at each time.
    _Known = tuple[Callable[[], object], Code | None, Label, list[tuple[Mapping[str, Any], str]]]

_MOST = 2000  # that are remembered; they are kept alive by it
_classes: dict[int, _Known] = {}
_functions: dict[tuple[int, int, str, str], tuple[types.CodeType, dict[str, Any], Code]] = {}


class _Own(Walk):
    """What is defined in the script counts as that of the project's modules does: no name leads to it from elsewhere. What a class has
    under any name counts, as its objects have it, too.

    Attributes:
        changing: attributes of classes, by namespace and name, of which the contents may change without their being replaced. They are not
            in the digest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changing: list[tuple[Mapping[str, Any], str]] = []

    def is_own(self, module: object) -> bool:
        """Whether the code of a module, by its name, is looked into."""
        return _counts(module)

    def class_(self, cls: type) -> None:
        """A class, and the class that it is an object of."""
        if self.is_own(type(cls).__module__):
            self.visit(type(cls))
        super().class_(cls)

    def class_attribute(self, cls: type, own: Mapping[str, Any], name: str) -> None:
        """Numbers, text, containers and arrays by what they hold; of other objects, the type."""
        value = own[name]
        if name.startswith(("__", "_abc_")) or name.isupper() or is_made_of_code(value):
            super().class_attribute(cls, own, name)
            return
        self.watching(own).names[name] = None
        self.say(name)
        if _may_change(value):
            self.changing.append((own, name))
        else:
            self.visit(value)


def _may_change(value: Any, depth: int = 0) -> bool:
    if type(value) in (tuple, frozenset) and depth < _DEEPEST:
        return any(_may_change(part, depth + 1) for part in value)
    return type(value) in (list, dict, set) or hasattr(type(value), "__array__")


_DEEPEST = 20  # deeper ones are not looked for


def of_class(cls: type) -> Label:
    """What a class is: its name, and the digest of its code."""
    known = _classes.get(id(cls))
    if known is None or known[0]() is not cls or (known[1] is not None and known[1].changed()):
        known = _look_at(cls)
    return known[2] if not known[3] else (*known[2][:2], _with_contents(known[2][2], known[3]))


def _look_at(cls: type) -> _Known:
    walk = _Own()
    code = Code(cls, walk) if _counts(cls.__module__) else None
    label = str(cls.__module__), cls.__qualname__, _shape(cls) if code is None else code.digest
    if len(_classes) >= _MOST:
        _classes.clear()
    found = _classes[id(cls)] = weakref.ref(cls), code, label, walk.changing
    return found


def _with_contents(digest: Any, changing: list[tuple[Mapping[str, Any], str]]) -> bytes:
    walk = _Own()
    walk.hash.update(digest)
    for own, name in changing:
        walk.visit(own[name])
    walk.go_on()
    return walk.hash.digest()


def _counts(module: object) -> bool:
    return module == "__main__" or _naming.is_project(module)


def _shape(cls: type) -> bytes | tuple[str, ...]:
    """What tells a class from others that a factory has made under the same name."""
    if _naming.found_by_name(cls):
        return b""
    names = vars(cls).get("__match_args__", vars(cls).get("_fields", ()))
    return tuple(names) if isinstance(names, tuple) and all(type(name) is str for name in names) else b""


def of_function(function: types.FunctionType) -> tuple[tuple[Any, ...], list[Any]]:
    """The header of a function, and its parts."""
    module = function.__module__
    if not _counts(module) and _naming.found_by_name(function):
        return (b"function", str(module), function.__qualname__), []
    header = (b"function", str(module), function.__qualname__, _code_of(function).digest)
    parts = [fresh(function.__defaults__), fresh(function.__kwdefaults__)]
    if function.__globals__.get("__name__") == functools.__name__ and hasattr(function, "registry"):
        # functools.singledispatch keeps a cache in its closure; what it dispatches to is in the registry.
        return header, [*parts, _registry(function.registry)]
    cells = [part for cell in function.__closure__ or () for part in _content(cell)]
    return header, [*parts, *cells, fresh(vars(function))]


def _registry(registry: Any) -> Any:
    return fresh([(cls, registry[cls]) for cls in sorted(registry, key=lambda cls: (cls.__module__, cls.__qualname__))])


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return True, cell.cell_contents
    except ValueError:  # not assigned yet
        return (False,)


def _code_of(function: types.FunctionType) -> Code:
    """The code of a function, without what only this one has."""
    code, variables = function.__code__, function.__globals__
    key = id(code), id(variables), str(function.__module__), function.__qualname__
    known = _functions.get(key)
    if known is not None and known[0] is code and known[1] is variables and not known[2].changed():
        return known[2]
    bare = types.FunctionType(code, variables, function.__name__, None, tuple(types.CellType() for _ in code.co_freevars))
    bare.__module__, bare.__qualname__ = function.__module__, function.__qualname__
    if len(_functions) >= _MOST:
        _functions.clear()
    found = Code(bare, _Own())
    _functions[key] = code, variables, found
    return found
