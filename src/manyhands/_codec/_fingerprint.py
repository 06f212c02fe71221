"""What code of the project is, so that two processes can tell whether they have the same.

A function or class of the project travels by its name, and its name leads to whatever the receiver has imported. Both compute a digest of
the code that is meant: of the function, and of all that it reaches in the project through globals, closures and attributes of modules.

It counts: byte code with its constants (typed; sets in order), names, defaults, closures, decorators, bases, attributes of classes; which
globals are used, what they are if they can be called, and the values of those that are named in capitals, as constants are. It does not
count: file names, line numbers, docstrings, annotations; other global variables, whose values are the state of a process; what installed
packages consist of. Of constants it knows numbers, text, containers, arrays, and some classes of the standard library; of others the type.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from operator import is_not, itemgetter
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _digests, _identity, _naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ATOMS = (type(None), bool, int, float, complex, str, bytes, bytearray, slice, range, type(Ellipsis), type(NotImplemented))
_CODE = (types.FunctionType, type, types.ModuleType, types.MethodType, property, classmethod, staticmethod)
_CONTAINERS = frozenset({list, set, dict, types.MappingProxyType})
_MOST_PARTS = 20_000  # of all containers together; a table with more is told by its length
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


class Code:
    """The code that a function or class consists of, as it is now; or what other code gets from a module.

    ``digest``: equal for equal code, in whichever process. :meth:`changed` tells, in a fraction of a microsecond for a small function,
    whether any name leads elsewhere by now. What a constant holds (the items of a list) is taken as it was found.
    """

    __slots__ = ("_absent", "_bases", "_held", "_kinds", "_sizes", "_watched", "digest", "root", "volatile")

    def __init__(self, root: Any) -> None:
        self.root = root
        walk = _Walk(root)
        self.digest: bytes = walk.hash.digest()
        watches = walk.watches.values()
        self._watched = [_watch(watch.mapping, watch.names) for watch in watches if watch.names]
        self._kinds = [_watch(watch.mapping, watch.states) for watch in watches if watch.states]
        self._absent = [(watch.mapping.keys(), frozenset(watch.absent)) for watch in watches if watch.absent]
        self._sizes = [(vars(cls), len(vars(cls))) for cls in walk.classes]
        self._bases = [(cls, cls.__bases__) for cls in walk.classes]
        self._held = walk.held
        # It may become other code without that of a function being replaced.
        self.volatile: bool = bool(self._watched or self._kinds or self._absent)

    def changed(self) -> bool:
        """Whether it is other code now, in this process."""
        try:
            for get, mapping, before in self._watched:
                if any(map(is_not, get(mapping), before)):
                    return True
            for get, mapping, before in self._kinds:
                if any(map(is_not, map(type, get(mapping)), map(type, before))):
                    return True
        except KeyError:  # a name is gone
            return True
        for names, absent in self._absent:
            if not absent.isdisjoint(names):
                return True
        return _bytecode.is_replaced(self._held) or self._classes_changed()

    def _classes_changed(self) -> bool:
        for own, size in self._sizes:
            if len(own) != size:
                return True
        return any(cls.__bases__ is not bases for cls, bases in self._bases)


def _watch(mapping: Mapping[str, Any], names: Iterable[str]) -> tuple[Callable[[Any], Any], Mapping[str, Any], Any]:
    first, *others = names
    get = itemgetter(first, first, *others)  # a tuple in any case
    return get, mapping, get(mapping)


class _Watch:
    """What is watched of one namespace: names by what they are bound to, names by the type of that, names that are not there."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self.mapping = mapping
        self.names: dict[str, None] = {}
        self.states: dict[str, None] = {}
        self.absent: set[str] = set()


class _Walk:
    """Goes through all code of the project that is in reach of ``root``, in an order that depends on nothing but the code."""

    def __init__(self, root: Any) -> None:
        self.hash = _digests.new()
        self.watches: dict[int, _Watch] = {}
        self.held: list[_bytecode.Held] = []
        self.classes: list[type] = []
        self._numbers: dict[int, int] = {}
        self._found: list[Any] = []
        self._left = _MOST_PARTS
        if isinstance(root, Names):
            self._globals(root.variables, root.code)
        elif isinstance(root, ModuleUse):
            self._say("uses", root.module.__name__)
            self._through(root.module, _bytecode.all_names(root.code), [])
        else:
            self.visit(root)
        for obj in self._found:  # it grows; a recursion could be too deep
            self._look_into(obj)

    def visit(self, obj: Any) -> None:
        """Take in a value that stands where code may stand."""
        if isinstance(obj, types.FunctionType | type):
            self._meet(obj)
        elif isinstance(obj, types.ModuleType):
            self._say("module", obj.__name__)
        elif isinstance(obj, types.CodeType):
            self._code(obj)
        elif isinstance(obj, types.MethodType | classmethod | staticmethod):
            self._say("method", str(isinstance(obj, classmethod)), str(isinstance(obj, staticmethod)))
            self.visit(obj.__func__)
        elif isinstance(obj, property):
            self._say("property")
            for part in (obj.fget, obj.fset, obj.fdel):
                self.visit(part)
        elif not self._constant(obj):
            self._meet(obj)

    def _say(self, *words: str) -> None:
        for word in words:
            data = word.encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data))
            self.hash.update(data)

    def _meet(self, obj: Any) -> None:
        number = self._numbers.setdefault(id(obj), len(self._found))
        if number == len(self._found):
            self._found.append(obj)
        self._say("code", str(number))

    def _look_into(self, obj: Any) -> None:
        if type(obj) in _CONTAINERS:
            self._container(obj)
        elif not isinstance(obj, types.FunctionType | type):
            self._object(obj)
        elif not _naming.is_project(obj.__module__) and not (isinstance(obj, types.FunctionType) and self._is_inner(obj)):
            self._say("named", str(obj.__module__), obj.__qualname__)
        elif isinstance(obj, types.FunctionType):
            self._function(obj)
        else:
            self._class(obj)

    def _container(self, value: Any) -> None:
        self._say(type(value).__name__, str(len(value)))
        self._left -= len(value)
        if self._left > 0:
            for part in _parts_of(value):
                self.visit(part)

    def _object(self, obj: Any) -> None:
        """What is neither code nor a constant: if it can be called, or is a descriptor, it is made of code; if not, it is state."""
        kind = type(obj)
        self._say("object", kind.__qualname__)
        if not is_made_of_code(obj):
            return
        if _naming.is_project(kind.__module__):
            self._meet(kind)
        if isinstance(obj, functools.partial | functools.partialmethod):
            self.visit(obj.func)
            for _, value in [*enumerate(obj.args), *sorted(obj.keywords.items())]:
                self.visit(value)
        for name, value in sorted(_attributes(obj).items()):
            if is_code(value):
                self._say(name)
                self.visit(value)

    def _is_inner(self, function: types.FunctionType) -> bool:
        """Whether a function of a package has been made for the project: a decorator's wrapper."""
        return not _naming.found_by_name(function)

    def _function(self, function: types.FunctionType) -> None:
        self._say("function", function.__qualname__)
        self._code(function.__code__)
        self.held.append(_bytecode.held(function))
        self.visit(function.__defaults__)
        for name, value in sorted((function.__kwdefaults__ or {}).items()):
            self._say(name)
            self.visit(value)
        for cell in function.__closure__ or ():
            try:
                self.visit(cell.cell_contents)
            except ValueError:
                self._say("empty")
        for name, value in sorted(function.__dict__.items()):
            if isinstance(value, types.MappingProxyType):  # the implementations of functools.singledispatch
                self._registry(value)
            elif is_code(value):
                self._say(name)
                self.visit(value)
        if _naming.is_project(function.__globals__.get("__name__")):
            self._globals(function.__globals__, function.__code__)

    def _registry(self, registry: Mapping[Any, Any]) -> None:
        for cls in sorted((key for key in registry if isinstance(key, type)), key=lambda cls: (cls.__module__, cls.__qualname__)):
            self.visit(cls)
            self.visit(registry[cls])

    def _globals(self, variables: dict[str, Any], code: types.CodeType) -> None:
        for name in sorted(_bytecode.global_names(code)):
            if name not in variables:
                self._watching(variables).absent.add(name)
                continue
            value = variables[name]
            self._say("global", name)
            if isinstance(value, types.ModuleType):
                self._watching(variables).names[name] = None
                self.visit(value)
                self._through(value, _bytecode.all_names(code), [])
            else:
                self._named(variables, name, value)

    def _through(self, module: types.ModuleType, mentioned: frozenset[str], path: list[types.ModuleType]) -> None:
        """What code may mean by ``module.name``."""
        if not _naming.is_project(module.__name__) or module in path:
            return
        variables = vars(module)
        self._watching(variables).absent |= mentioned - variables.keys()
        for name in sorted(mentioned & variables.keys()):
            value = variables[name]
            if isinstance(value, types.ModuleType):
                self._through(value, mentioned, [*path, module])
            else:
                self._say("attribute", name)
                self._named(variables, name, value)

    def _named(self, variables: Mapping[str, Any], name: str, value: Any) -> None:
        """A variable that code uses: what it is, if that is code or a constant."""
        watch = self._watching(variables)
        if shared := _identity.shared(value):
            watch.names[name] = None
            self._say("shared", shared)
        elif counts(name, value):
            watch.names[name] = None
            self.visit(value)
        else:
            watch.states[name] = None

    def _watching(self, mapping: Mapping[str, Any]) -> _Watch:
        # vars() of a class makes a new one each time; what it shows is one and the same.
        return self.watches.setdefault(id(mapping), _Watch(mapping))

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__, type(cls).__qualname__)
        for base in cls.__bases__:
            self.visit(base)
        self.classes.append(cls)
        own = vars(cls)
        members = getattr(cls, "_member_map_", {}) if _is_enum(cls) else {}
        for name in sorted(own.keys() - _OF_ALL_CLASSES - members.keys()):
            value = own[name]
            counts = is_made_of_code(value) or name.isupper()
            if counts:
                self._watching(own).names[name] = None
            if counts or name.startswith("__"):  # the rest is the state of a process, which may come and go
                self._say(name)
                self.visit(value)
        for name, member in members.items():
            self._say(name)
            self.visit(member._value_)

    def _code(self, code: types.CodeType) -> None:
        self._say("code", code.co_name)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._say(*map(str, counts), *code.co_names, "/", *code.co_varnames, "/", *code.co_freevars, "/", *code.co_cellvars)
        self.hash.update(code.co_exceptiontable)
        for operation, argument, constant in _bytecode.instructions(code):
            self.hash.update(b"%c%d," % (operation, argument))
            if constant is not _bytecode.NONE:
                self.visit(constant)

    def _constant(self, value: Any) -> bool:
        """Take in a value that is the same in each process; False for others."""
        if _is_enum(type(value)):
            self.visit(type(value))
            self._say(str(value.name))
        elif isinstance(value, _ATOMS):
            base: Any = next(atom for atom in _ATOMS if isinstance(value, atom))  # a subclass may show itself in another way
            self._say(type(value).__qualname__, base.__repr__(value))
        elif isinstance(value, re.Pattern):
            self._say("pattern", repr(value.pattern), str(value.flags))
        elif type(value).__module__ in _SPEAKING:
            self._say(type(value).__qualname__, repr(value))
        elif _is_array(value):
            self._say(type(value).__qualname__, str(value.dtype), str(value.shape))
            self.hash.update(value.tobytes())
        elif isinstance(value, tuple | frozenset):
            self._container(value)
        else:
            return False
        return True


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict | types.MappingProxyType):
        return (part for item in value.items() for part in item)
    return sorted(value, key=_name_of) if isinstance(value, set | frozenset) else value


def _is_enum(cls: type) -> bool:
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


def _attributes(obj: object) -> dict[str, Any]:
    """What an object holds, without asking it."""
    held = dict(getattr(obj, "__dict__", {}))
    for cls in type(obj).__mro__:
        for name, slot in vars(cls).items():
            if isinstance(slot, types.MemberDescriptorType) and name not in held:
                try:
                    held[name] = slot.__get__(obj)
                except AttributeError:  # it is empty
                    continue
    return held
