"""The way through all code that a function or class reaches, and what of it counts; see ``_fingerprint.py``."""

from __future__ import annotations

import functools
import itertools
import marshal
import re
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _digests, _identity, _naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ATOMS = (type(None), bool, int, float, complex, str, bytes, bytearray, slice, range, type(Ellipsis), type(NotImplemented))
_CODE = (types.FunctionType, type, types.ModuleType, types.MethodType, property, classmethod, staticmethod)
_CONTAINERS = frozenset({list, set, dict, types.MappingProxyType})
_MOST_PARTS = 20_000  # of all containers together whose parts have to be looked at one by one; one with more is told by its length
_FEW = 16  # parts: below that, they are as quickly looked at
_LEVELS = 20  # of containers, before they are looked at one by one
_VERSION = 2  # of marshal: no references
_EXACT = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis)})
_PLAIN = _EXACT | {tuple, list, dict}
_are_atoms = _EXACT.issuperset
# Modules whose objects say all of themselves in their repr().
_SPEAKING = frozenset({"datetime", "decimal", "fractions", "ipaddress", "pathlib", "re", "uuid", "zoneinfo"})
_SPEAKING |= {"pathlib._local", "_pydatetime", "_pydecimal"}
# What every class is given, and says nothing about its code.
_OF_ALL_CLASSES = frozenset(
    {
        "__module__",
        "__dict__",
        "__weakref__",
        "__doc__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
        "__qualname__",
        "__parameters__",
        "__orig_bases__",
        "__slotnames__",
    }
)


def counts(name: str, value: object) -> bool:
    """Whether a variable belongs to the code that uses it: it is code, or a constant, as its name in capitals says."""
    return is_code(value) or name.isupper()


def is_code(value: object) -> bool:
    """Whether a value is code, or holds code that is called through it: a partial, a cached function, a decorator's object."""
    return isinstance(value, _CODE) or callable(value)


def is_made_of_code(value: object) -> bool:
    """The same for what a class has under a name: descriptors count, too."""
    return is_code(value) or hasattr(type(value), "__get__")


class Names:
    """The globals of a module that an inner function uses; its code is elsewhere."""

    __slots__ = ("code", "variables")

    def __init__(self, variables: dict[str, Any], code: types.CodeType) -> None:
        self.variables = variables
        self.code = code


class ModuleUse:
    """What code uses of a module, which it has under a global name; the code itself is elsewhere."""

    __slots__ = ("code", "module")

    def __init__(self, module: types.ModuleType, code: types.CodeType) -> None:
        self.module = module
        self.code = code


class Watch:
    """What is watched of one namespace: names by what they are bound to, names by the type of that, names that are not there."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self.mapping = mapping
        self.names: dict[str, None] = {}
        self.states: dict[str, None] = {}
        self.absent: set[str] = set()


class Walk:
    """Goes through all code of the project that is in reach of ``root``, in an order that depends on nothing but the code.

    The methods without an underscore say what counts; a subclass may count more.
    """

    most_parts = _MOST_PARTS

    def __init__(self) -> None:
        self.hash = _digests.new()
        self.watches: dict[int, Watch] = {}
        self.held: list[_bytecode.Held] = []
        self.classes: list[type] = []
        self._numbers: dict[int, int] = {}
        self._found: list[Any] = []
        self._looked_into = 0
        self._left = self.most_parts

    def through(self, root: Any) -> None:
        """Take in all that ``root`` reaches."""
        if isinstance(root, Names):
            self.globals_of(root.variables, root.code)
        elif isinstance(root, ModuleUse):
            self.say("uses", root.module.__name__)
            self.into_module(root.module, _bytecode.all_names(root.code), [])
        else:
            self.visit(root)
        self.go_on()

    def go_on(self) -> None:
        """Look into what has been met."""
        while self._looked_into < len(self._found):  # it grows; a recursion could be too deep
            self._looked_into += 1
            self.look_into(self._found[self._looked_into - 1])

    def is_own(self, module: object) -> bool:
        """Whether the code of a module, by its name, is looked into."""
        return _naming.is_project(module)

    def visit(self, obj: Any) -> None:
        """Take in a value that stands where code may stand."""
        if isinstance(obj, types.FunctionType | type):
            self.meet(obj)
        elif isinstance(obj, types.ModuleType):
            self.say("module", obj.__name__)
        elif isinstance(obj, types.CodeType):
            self.code_(obj)
        elif isinstance(obj, types.MethodType | classmethod | staticmethod):
            self.say("method", str(isinstance(obj, classmethod)), str(isinstance(obj, staticmethod)))
            self.visit(obj.__func__)
        elif isinstance(obj, property):
            self.say("property")
            for part in (obj.fget, obj.fset, obj.fdel):
                self.visit(part)
        elif not self.constant(obj):
            self.meet(obj)

    def say(self, *words: str) -> None:
        for word in words:
            data = word.encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data))
            self.hash.update(data)

    def meet(self, obj: Any) -> None:
        number = self._numbers.setdefault(id(obj), len(self._found))
        if number == len(self._found):
            self._found.append(obj)
        self.say("code", str(number))

    def look_into(self, obj: Any) -> None:
        if type(obj) in _CONTAINERS:
            self.container(obj)
        elif not isinstance(obj, types.FunctionType | type):
            self.object_(obj)
        elif self.is_elsewhere(obj):
            self.say("named", str(obj.__module__), obj.__qualname__)
        elif isinstance(obj, types.FunctionType):
            self.function_(obj)
        else:
            self.class_(obj)

    def container(self, value: Any) -> None:
        self.say(type(value).__name__, str(len(value)))
        if len(value) > _FEW and (data := _written(value)) is not None:
            self.hash.update(data)
            return
        self._left -= len(value)
        if self._left > 0:
            for part in _parts_of(value):
                self.visit(part)

    def object_(self, obj: Any) -> None:
        """What is neither code nor a constant: if it can be called, or is a descriptor, it is made of code; if not, it is state."""
        kind = type(obj)
        self.say("object", kind.__qualname__)
        if not is_made_of_code(obj):
            return
        if self.is_own(kind.__module__):
            self.meet(kind)
        elif name := _name_in_package(obj):
            self.say(name)
        if isinstance(obj, functools.partial | functools.partialmethod):
            self.visit(obj.func)
            for _, value in [*enumerate(obj.args), *sorted(obj.keywords.items())]:
                self.visit(value)
        for name, value in sorted(attributes(obj).items()):
            self.held_by(obj, name, value)

    def held_by(self, obj: Any, name: str, value: Any) -> None:
        """An attribute of a function, or of an object that can be called."""
        if is_code(value):
            self.say(name)
            self.visit(value)

    def is_elsewhere(self, obj: Any) -> bool:
        """Whether a function or class is a package's; a function that one has made for the project (a decorator) is not."""
        return not self.is_own(obj.__module__) and not (isinstance(obj, types.FunctionType) and not _naming.found_by_name(obj))

    def function_(self, function: types.FunctionType) -> None:
        self.say("function", function.__qualname__)
        self.code_(function.__code__)
        self.held.append(_bytecode.held(function))
        self.carried_by(function)
        if self.is_own(function.__globals__.get("__name__")):
            self.globals_of(function.__globals__, function.__code__)

    def carried_by(self, function: types.FunctionType) -> None:
        """What a function has besides its code: defaults, variables of functions around it, attributes."""
        for name, value in _bytecode.defaults(function):
            self.say(name)
            self.default(function, name, value)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.cell(function, name, cell)
        for name, value in sorted(function.__dict__.items()):
            if isinstance(value, types.MappingProxyType):  # the implementations of functools.singledispatch
                self.registry(value)
            else:
                self.held_by(function, name, value)

    def default(self, _function: types.FunctionType, _name: str, value: Any) -> None:
        """What a parameter is if nothing is passed."""
        self.visit(value)

    def cell(self, _function: types.FunctionType, _name: str, cell: types.CellType) -> None:
        """A variable of the function around this one."""
        try:
            self.visit(cell.cell_contents)
        except ValueError:
            self.say("empty")

    def registry(self, registry: Mapping[Any, Any]) -> None:
        for cls in sorted((key for key in registry if isinstance(key, type)), key=lambda cls: (cls.__module__, cls.__qualname__)):
            self.visit(cls)
            self.visit(registry[cls])

    def globals_of(self, variables: dict[str, Any], code: types.CodeType) -> None:
        for name in sorted(_bytecode.global_names(code)):
            if name not in variables:
                self.watching(variables).absent.add(name)
                continue
            value = variables[name]
            self.say("global", name)
            if isinstance(value, types.ModuleType):
                self.watching(variables).names[name] = None
                self.visit(value)
                self.into_module(value, _bytecode.all_names(code), [])
            else:
                self.named(variables, name, value)

    def into_module(self, module: types.ModuleType, mentioned: frozenset[str], path: list[types.ModuleType]) -> None:
        """What code may mean by ``module.name``."""
        if not self.is_own(module.__name__) or module in path:
            return
        variables = vars(module)
        self.watching(variables).absent |= mentioned - variables.keys()
        for name in sorted(mentioned & variables.keys()):
            value = variables[name]
            if isinstance(value, types.ModuleType):
                self.into_module(value, mentioned, [*path, module])
            else:
                self.say("attribute", name)
                self.named(variables, name, value)

    def named(self, variables: Mapping[str, Any], name: str, value: Any) -> None:
        """A variable that code uses: what it is, if that is code or a constant."""
        watch = self.watching(variables)
        if shared := _identity.shared(value):
            watch.names[name] = None
            self.say("shared", shared)
        elif counts(name, value):
            watch.names[name] = None
            self.visit(value)
        else:
            watch.states[name] = None

    def watching(self, mapping: Mapping[str, Any]) -> Watch:
        # vars() of a class makes a new one each time; what it shows is one and the same.
        return self.watches.setdefault(id(mapping), Watch(mapping))

    def class_(self, cls: type) -> None:
        self.say("class", cls.__qualname__, type(cls).__qualname__)
        for base in cls.__bases__:
            self.visit(base)
        self.classes.append(cls)
        own = vars(cls)
        members = getattr(cls, "_member_map_", {}) if is_enum(cls) else {}
        for name in sorted(own.keys() - _OF_ALL_CLASSES - members.keys()):
            self.class_attribute(cls, own, name)
        for name, member in members.items():
            self.say(name)
            self.visit(member._value_)

    def class_attribute(self, _cls: type, own: Mapping[str, Any], name: str) -> None:
        """What a class has under a name of its own."""
        value = own[name]
        counts = is_made_of_code(value) or name.isupper()
        if counts:
            self.watching(own).names[name] = None
        if counts or name.startswith("__"):  # the rest is the state of a process, which may come and go
            self.say(name)
            self.visit(value)

    def code_(self, code: types.CodeType) -> None:
        self.say("code", code.co_name)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self.say(*map(str, counts), *code.co_names, "/", *code.co_varnames, "/", *code.co_freevars, "/", *code.co_cellvars)
        self.hash.update(code.co_exceptiontable)
        for operation, argument, constant in _bytecode.instructions(code):
            self.hash.update(b"%c%d," % (operation, argument))
            if constant is not _bytecode.NONE:
                self.visit(constant)

    def constant(self, value: Any) -> bool:
        """Take in a value that is the same in each process; False for others."""
        if is_enum(type(value)):
            self.visit(type(value))
            self.say(str(value.name))
        elif isinstance(value, _ATOMS):
            base: Any = next(atom for atom in _ATOMS if isinstance(value, atom))  # a subclass may show itself in another way
            self.say(type(value).__qualname__, base.__repr__(value))
        elif isinstance(value, re.Pattern):
            self.say("pattern", repr(value.pattern), str(value.flags))
        elif type(value).__module__ in _SPEAKING:
            self.say(type(value).__qualname__, repr(value))
        elif _is_array(value):
            self.say(type(value).__qualname__, str(value.dtype), str(value.shape))
            self.hash.update(value.tobytes())
        elif isinstance(value, tuple | frozenset):
            self.container(value)
        else:
            return False
        return True


def _written(value: Any) -> bytes | None:
    """A container of numbers and text, in containers of their like, as bytes: at the speed of C. None: there is something else in it."""
    kind = type(value)
    if kind is set or kind is frozenset:
        return b"".join(sorted(map(marshal.dumps, value, itertools.repeat(_VERSION)))) if _are_atoms(map(type, value)) else None
    if kind is types.MappingProxyType:
        value = dict(value)
    level: list[Any] = [value]
    for _ in range(_LEVELS):
        inner = list(itertools.chain.from_iterable(map(_all_parts_of, level)))
        kinds = set(map(type, inner))
        if not kinds <= _PLAIN:
            return None
        if kinds <= _EXACT:
            return marshal.dumps(value, _VERSION)
        level = [part for part in inner if type(part) not in _EXACT]
    return None


def _all_parts_of(value: Any) -> Iterable[Any]:
    return itertools.chain(value, value.values()) if type(value) is dict else value


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict | types.MappingProxyType):
        return (part for item in value.items() for part in item)
    return sorted(value, key=_name_of) if isinstance(value, set | frozenset) else value


def is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def _is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    array = getattr(numpy, "ndarray", None)  # another thread may be loading it just now
    return array is not None and isinstance(value, array) and not value.dtype.hasobject


def _name_of(value: object) -> str:
    """By which members of a set are put in order: the same in each process, as far as that can be."""
    if isinstance(value, types.FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, tuple | frozenset):
        return f"{type(value).__name__} {sorted(map(_name_of, value))}"
    return f"{type(value).__name__} {value!r}" if isinstance(value, _ATOMS) else type(value).__qualname__


def attributes(obj: object) -> dict[str, Any]:
    """What an object holds, without asking it."""
    try:
        held = dict(getattr(obj, "__dict__", {}))
    except Exception:  # noqa: BLE001 - a proxy may stand for nothing just now
        held = {}
    for cls in type(obj).__mro__:
        for name, slot in vars(cls).items():
            if isinstance(slot, types.MemberDescriptorType) and name not in held:
                try:
                    held[name] = slot.__get__(obj)
                except AttributeError:  # it is empty
                    continue
    return held


def _name_in_package(obj: Any) -> str:
    """What a package calls an object of its own: a function in C, a method of a built-in class, a ufunc."""
    if "__wrapped__" in attributes(obj):
        return ""  # its name is that of what it wraps
    try:
        name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
        return f"{getattr(obj, '__module__', None)}.{name}" if isinstance(name, str) else ""
    except Exception:  # noqa: BLE001 - as above
        return ""
