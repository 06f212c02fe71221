"""What a function carries besides its code, and whether it still is what it was.

A function that travels by value takes the contents of its closure, its defaults and the globals that it names along. Where all of that
cannot change but by being bound anew, a few comparisons tell whether an earlier copy is as good as a new one. Where it holds a
list, an array or any object with a state of its own, nothing short of pickling it again would tell.
"""

from __future__ import annotations

import _abc
import _collections  # type: ignore[import-not-found]
import functools
import types

from manyhands._codec import _bytecode, _naming, _pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from manyhands._codec._fingerprint import Code

_TUPLE_FIELD = _collections._tuplegetter  # noqa: SLF001 - of collections.namedtuple; it has no public name
_SLOTS = types.GetSetDescriptorType, types.MemberDescriptorType, _TUPLE_FIELD
_ATOMS = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        type(Ellipsis),
        type(NotImplemented),
        types.ModuleType,
        types.CodeType,
        *_SLOTS,
    }
)
# What classes have from the interpreter, and from what makes dataclasses, named tuples, enumerations and abstract classes.
_MACHINERY = frozenset(
    {
        "__module__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotations_cache__",
        "__annotate__",
        "__annotate_func__",
        "__firstlineno__",
        "__static_attributes__",
        "__slotnames__",
        "__abstractmethods__",
        "__parameters__",
        "__orig_bases__",
        "__type_params__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "_abc_impl",
        "_field_defaults",
    }
)
_CACHED = type(functools.lru_cache(abs))  # what it keeps may go from task to task: it is nothing but a cache
_OF_AUTHORS = (types.FunctionType, property, classmethod, staticmethod)
_MISSING = object()


class Captures:
    """What ``function`` carried when this was made.

    ``mutable``: some of it has a state of its own. ``global_names``: whether globals count.
    """

    volatile = True

    __slots__ = ("_attributes", "_bindings", "_cells", "_classes", "_codes", "_functions", "_global_names", "_seen", "mutable")

    def __init__(self, function: object, *, global_names: bool) -> None:
        self.mutable = False
        self._global_names = global_names
        self._bindings: list[tuple[Mapping[str, Any], str, object]] = []
        self._cells: list[tuple[types.CellType, object]] = []
        self._attributes: list[tuple[Mapping[str, Any], int]] = []  # of functions, classes and members of enumerations: how many
        self._classes: list[tuple[type, tuple[object, ...]]] = []  # what else classes have that may change
        self._functions: list[_bytecode.Held] = []
        self._codes: list[Code] = []  # of the project, which it uses
        self._seen: set[int] = set()
        self._look(function)

    def changed(self) -> bool:
        """Whether any name is bound to something else."""
        for variables, name, value in self._bindings:
            if variables.get(name, _MISSING) is not value:
                return True
        for attributes, count in self._attributes:
            if len(attributes) != count:
                return True
        for cls, shape in self._classes:
            if _shape(cls) != shape:
                return True
        for cell, value in self._cells:
            if _contents(cell) is not value:
                return True
        return _bytecode.is_replaced(self._functions) or (bool(self._codes) and any(code.changed() for code in self._codes))

    def _look(self, value: object) -> None:
        if _members(type(value)):
            value = type(value)
        if type(value) in _ATOMS or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, type):
            if not _naming.found_by_name(value):
                self._look_into_class(value)
        elif isinstance(value, types.FunctionType):
            self._look_at_function(value)
        elif (parts := _parts(value)) is None:
            self.mutable = self.mutable or _naming.global_generator(value) is None
        else:
            for part in parts:
                self._look(part)

    def _look_at_function(self, function: types.FunctionType) -> None:
        if not _naming.found_by_name(function):
            if not _is_generated(function):
                self._look_into(function)
        elif self._global_names and (code := _pickling.code_of_project(function)) is not None:
            self._codes.append(code)

    def _look_into(self, function: types.FunctionType) -> None:
        self._functions.append(_bytecode.held(function))
        for cell in function.__closure__ or ():
            self._cells.append((cell, _contents(cell)))
            self._look(self._cells[-1][1])
        self._look(function.__defaults__)
        self._bind(function.__kwdefaults__ or {}, function.__kwdefaults__ or ())
        self._bind(function.__dict__, function.__dict__)
        self._attributes.append((function.__dict__, len(function.__dict__)))
        if self._global_names:
            names = _bytecode.global_names(function.__code__)
            self._bind(function.__globals__, names)
            self._watch_modules(function, names)

    def _watch_modules(self, function: types.FunctionType, names: Iterable[str]) -> None:
        for name in names:
            value = function.__globals__.get(name)
            if type(value) is types.ModuleType and _naming.is_project(value.__name__):
                from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

                self._codes.append(_definitions.module_code(value, function.__code__))

    def _look_into_class(self, cls: type) -> None:
        own, members = vars(cls), _members(cls)
        self._attributes.append((own, len(own)))
        self._classes.append((cls, _shape(cls)))
        watched = (name for name, value in own.items() if isinstance(value, _OF_AUTHORS) or not _is_machinery(name))
        self._bind(own, [name for name in watched if name not in members])  # those of an enumeration are what they are
        for member in members.values():
            attributes = vars(member)
            self._attributes.append((attributes, len(attributes)))
            self._bind(attributes, [name for name in attributes if not _is_machinery(name)])
            self._look(attributes.get("_value_"))
        for part in (type(cls), *cls.__bases__):
            self._look(part)

    def _bind(self, variables: Mapping[str, Any], names: Any) -> None:
        for name in names:
            value = variables.get(name, _MISSING)
            self._bindings.append((variables, name, value))
            if value is not _MISSING:
                self._look(value)


def _is_generated(function: types.FunctionType) -> bool:
    """Whether a class has it from :mod:`dataclasses` and the like: what it holds is theirs, and does not change."""
    code = function.__code__
    return code.co_qualname.startswith("__create_fn__.") or _naming.is_standard(code.co_filename)


def _members(cls: type) -> Mapping[str, Any]:
    """Of an enumeration."""
    found = vars(cls).get("_member_map_")
    return found if isinstance(found, dict) else {}


def _shape(cls: type) -> tuple[object, ...]:
    """What a class has besides its attributes; of an abstract one, whether any has been told of another subclass."""
    registered = _abc.get_cache_token() if "_abc_impl" in vars(cls) else None
    return type(cls), cls.__bases__, cls.__name__, cls.__qualname__, registered


def _is_machinery(name: str) -> bool:
    """Whether a class has it from what made the class."""
    sunder = name.startswith("_") and name.endswith("_") and not name.startswith("__")  # of enumerations
    return sunder or name in _MACHINERY


def _parts(value: Any) -> Iterable[object] | None:
    """What an object consists of that cannot change itself; None for others."""
    if isinstance(value, types.BuiltinFunctionType):
        return (value.__self__,)
    if isinstance(value, tuple | frozenset):
        return value
    if isinstance(value, types.MethodType):
        return value.__self__, value.__func__
    if isinstance(value, classmethod | staticmethod):
        return (value.__func__,)
    if type(value) is property:
        return value.fget, value.fset, value.fdel
    if type(value) is _CACHED:
        return (value.__wrapped__,)
    if type(value) is functools.partial and not value.__dict__:
        return value.func, *value.args, *value.keywords.values()
    return None


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return _MISSING
