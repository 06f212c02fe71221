"""What code of the project is, so that two processes can tell whether they have the same.

A function or class of the project travels by its name, and its name leads to whatever the receiver has imported. Both compute a digest of
the code that is meant: of the function, and of all that it reaches in the project through globals, closures and attributes of modules.

It counts: byte code with its constants (typed; sets in order), names, defaults, closures, decorators, bases, attributes of classes; which
globals are used, and the values of those that are named in capitals, as constants are. It does not count: file names, line numbers,
docstrings, annotations; other global variables, whose values are the state of a process; what installed packages consist of.
"""

from __future__ import annotations

import hashlib
import types
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _identity, _naming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MISSING = object()
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_CODE = (types.FunctionType, type, types.ModuleType)
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
    whether any name leads elsewhere by now.
    """

    __slots__ = ("_held", "_watched", "digest", "root", "volatile")

    def __init__(self, root: Any) -> None:
        self.root = root
        walk = _Walk(root)
        self.digest: bytes = walk.hash.digest()
        self._watched = [_watch(mapping, tuple(names)) for mapping, names in walk.bindings.values()]
        self._held = walk.held
        self.volatile: bool = bool(self._watched)  # it may become other code without that of a function being replaced

    def changed(self) -> bool:
        """Whether it is other code now, in this process."""
        try:
            for get, mapping, before in self._watched:
                if get(mapping) != before:
                    return True
        except Exception:  # noqa: BLE001 - a name is gone; or the comparison of what is no longer a constant has raised
            return True
        for function, code, defaults in self._held:  # noqa: SIM110 - a generator would take twice as long
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return True
        return False


def _watch(mapping: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Callable[[Any], Any], Mapping[str, Any], Any]:
    get = itemgetter(names[0], *names)  # a tuple in any case: its comparison begins with identity
    return get, mapping, get(mapping)


class _Walk:
    """Goes through all code of the project that is in reach of ``root``, in an order that depends on nothing but the code."""

    def __init__(self, root: Any) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self.bindings: dict[int, tuple[Mapping[str, Any], dict[str, None]]] = {}
        self.held: list[tuple[types.FunctionType, types.CodeType, Any]] = []
        self._numbers: dict[int, int] = {}
        self._found: list[Any] = []
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
        elif isinstance(obj, types.MethodType | classmethod | staticmethod):
            self._say("method", str(isinstance(obj, classmethod)), str(isinstance(obj, staticmethod)))
            self.visit(obj.__func__)
        elif isinstance(obj, property):
            self._say("property")
            for part in (obj.fget, obj.fset, obj.fdel):
                self.visit(part)
        elif isinstance(obj, types.ModuleType):
            self._say("module", obj.__name__)
        elif isinstance(obj, types.CodeType):
            self._code(obj)
        elif not self._constant(obj):
            self._say("object", type(obj).__qualname__)
            self.visit(getattr(obj, "__wrapped__", None) if type(obj).__module__ == "functools" else None)

    def _say(self, *words: str) -> None:
        for word in words:
            data = word.encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data))
            self.hash.update(data)

    def _meet(self, obj: types.FunctionType | type) -> None:
        number = self._numbers.setdefault(id(obj), len(self._found))
        if number == len(self._found):
            self._found.append(obj)
        self._say("code", str(number))

    def _look_into(self, obj: types.FunctionType | type) -> None:
        if not _naming.is_project(obj.__module__) and not (isinstance(obj, types.FunctionType) and self._is_inner(obj)):
            self._say("named", str(obj.__module__), obj.__qualname__)
        elif isinstance(obj, types.FunctionType):
            self._function(obj)
        else:
            self._class(obj)

    def _is_inner(self, function: types.FunctionType) -> bool:
        """Whether a function of a package has been made for the project: a decorator's wrapper."""
        return not _naming.found_by_name(function)

    def _function(self, function: types.FunctionType) -> None:
        self._say("function", function.__qualname__)
        self._code(function.__code__)
        self.held.append((function, function.__code__, function.__defaults__))
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
            if isinstance(value, types.FunctionType):
                self._say(name)
                self.visit(value)
        if _naming.is_project(function.__globals__.get("__name__")):
            self._globals(function.__globals__, function.__code__)

    def _globals(self, variables: dict[str, Any], code: types.CodeType) -> None:
        for name in sorted(_bytecode.global_names(code)):
            value = variables.get(name, _MISSING)
            if value is _MISSING:
                continue
            self._say("global", name)
            if isinstance(value, types.ModuleType):
                self._watch(variables, name)
                self.visit(value)
                self._through(value, _bytecode.all_names(code), [])
            elif shared := _identity.shared(value):
                self._watch(variables, name)
                self._say("shared", shared)
            elif isinstance(value, _CODE) or name.isupper():
                self._watch(variables, name)
                self.visit(value)

    def _through(self, module: types.ModuleType, mentioned: frozenset[str], path: list[types.ModuleType]) -> None:
        """What code may mean by ``module.name``."""
        if not _naming.is_project(module.__name__) or module in path:
            return
        for name in sorted(mentioned.intersection(vars(module))):
            value = vars(module)[name]
            if isinstance(value, types.ModuleType):
                self._through(value, mentioned, [*path, module])
            elif shared := _identity.shared(value):
                self._watch(vars(module), name)
                self._say("attribute", name, "shared", shared)
            elif isinstance(value, _CODE) or name.isupper():
                self._watch(vars(module), name)
                self._say("attribute", name)
                self.visit(value)

    def _watch(self, mapping: Mapping[str, Any], name: str) -> None:
        # vars() of a class makes a new one each time; what it shows is one and the same.
        self.bindings.setdefault(id(mapping), (mapping, {}))[1][name] = None

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__, type(cls).__qualname__)
        for base in cls.__bases__:
            self.visit(base)
        own = vars(cls)
        for name in sorted(own.keys() - _OF_ALL_CLASSES):
            value = own[name]
            self._say(name)
            if isinstance(value, types.FunctionType | type | property | classmethod | staticmethod) or hasattr(type(value), "__get__"):
                self._watch(own, name)
                self.visit(value)
            elif name.isupper() or name.startswith("__"):
                self.visit(value)

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
        if isinstance(value, _ATOMS):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, tuple):
            self._say("tuple", str(len(value)))
            for part in value:
                self.visit(part)
        elif isinstance(value, frozenset):
            self._say("frozenset", *sorted(f"{type(part).__name__} {part!r}" for part in value))
        elif isinstance(value, slice | range):
            self._say(repr(value))
        else:
            return False
        return True
