"""All that a function's result depends on besides its arguments, as far as its code shows it.

The walk of the codec (``_codec/_code_walk.py``) decides whether two processes have the same code. A result on disk outlives both, so more
counts here: all variables that are read, whatever their names, by what they hold; what functions import when they run; the versions of
installed packages. Each function, class and variable is a part with a name and a digest of its own.

Parts refer to one another; the digest of the whole tells apart what differs in any way but in how many copies there are of the same: in a
worker, a class and a function may each have brought a helper along (``_parts.whole``).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _code_walk, _digests, _identity, _naming
from manyhands.memory import _contents, _declared, _packages, _places, _writes
from manyhands.memory._parts import MISSING, Node, contents_of, whole
from manyhands.memory._roots import function_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from manyhands.memory._parts import Key


class Reach(_code_walk.Walk):
    """The walk from one function to all that it uses."""

    def __init__(self, root: Any, deps: Iterable[Any]) -> None:
        super().__init__()
        self.parts: dict[str, bytes] = {}
        self.contents: list[tuple[Any, bytes]] = []  # lists, arrays, objects: their contents count at each call
        self.cells: list[tuple[types.CellType, Any]] = []  # what is in them counts
        self.registries: list[tuple[Mapping[Any, Any], list[Any]]] = []
        self.kinds: list[tuple[types.CellType, type]] = []  # only of which class that is: it is changed, and not read
        self._root = function_of(root)
        self._nodes: dict[Key, Node] = {}
        self._references: list[Key] = []
        self._place = self._here = ""
        self._main_place = ""
        self._packages: set[str] = set()
        self._mentioned: set[str] = set()
        self._held_by_functions: list[tuple[str, types.FunctionType, str, Any]] = []
        with self._node((0, "root")):
            self.visit(root)
        self.go_on()
        for index, dep in enumerate(deps):
            with self._node((index, "declared")):
                self._declared(dep)
            self.go_on()
        with self._node((0, "attributes")):
            self._look_at_functions()
        self.go_on()
        self.parts.update((label, b"") for label in self._packages)
        self.digest = whole(self._nodes, self._packages)

    def _declared(self, dep: Any) -> None:
        """Code that the author has named."""
        self._here = "deps"
        self.visit(dep)
        if isinstance(dep, types.ModuleType):
            self.into_module(dep, frozenset(_declared.names_of_module(dep)), [])

    # -------------------------------------------------------- what is looked into

    def is_own(self, module: object) -> bool:
        return _packages.is_own(module)

    def visit(self, obj: Any) -> None:
        super().visit(obj)
        if isinstance(obj, types.ModuleType):
            self.package(obj.__name__)
        elif isinstance(obj, types.MethodType):
            self.visit(obj.__self__)

    def meet(self, obj: Any) -> None:
        if generator := _naming.global_generator(obj):
            self.say("generator", *generator)
        elif isinstance(obj, types.FunctionType | type) and self.is_elsewhere(obj):
            self.say("named", str(obj.__module__), obj.__qualname__)
            self.package(obj.__module__)
        elif not _code_walk.is_made_of_code(obj) or _contents.is_data(obj):
            self.variable(f"{type(obj).__name__} held by {self._here}", "held", (id(obj), ""), obj)
        else:
            named = obj if isinstance(obj, types.FunctionType | type) else type(obj)
            self.say("code", named.__qualname__)
            self._references.append((id(obj), ""))
            if id(obj) not in self._numbers:
                self._numbers[id(obj)] = len(self._found)
                self._found.append(obj)

    def look_into(self, obj: Any) -> None:
        self._here = self._describe(obj)
        label = self._here
        with self._node((id(obj), "")):
            super().look_into(obj)
        if self._is_told(obj):
            self._part(label, self._nodes[id(obj), ""].digest)

    def _is_told(self, obj: Any) -> bool:
        """Whether it is named to who asks why. What classes have besides functions (slots, operators in C) would be in the way."""
        if isinstance(obj, types.BuiltinFunctionType):
            return isinstance(obj.__self__, types.ModuleType)
        if isinstance(obj, type | types.FunctionType):
            return not self._is_of_package(obj)
        return isinstance(obj, functools.partial) or self.is_own(type(obj).__module__)

    def _is_of_package(self, obj: Any) -> bool:
        return isinstance(obj, types.FunctionType) and not self.is_own(obj.__globals__.get("__name__"))

    @contextlib.contextmanager
    def _node(self, key: Key) -> Iterator[None]:
        """What is said within is said about one part."""
        before = self.hash, self._references
        self.hash, self._references = _digests.new(), []
        yield
        self._nodes[key] = Node(self.hash.digest(), self._references)
        self.hash, self._references = before

    def _part(self, label: str, digest: bytes) -> None:
        """Two of the same are one; others of the same name get a number."""
        self.parts[next(name for name in _numbered(label) if self.parts.get(name, digest) == digest)] = digest

    def _describe(self, obj: Any) -> str:
        if isinstance(obj, type):
            return f"class {_plain(obj.__qualname__)} in {_places.of_class(obj) or self._main_place or obj.__module__}"
        if isinstance(obj, types.BuiltinFunctionType):
            return f"function {obj.__module__}.{obj.__qualname__}"
        if not isinstance(obj, types.FunctionType):
            return f"object of {_plain(type(obj).__qualname__)}"
        role = "function" if obj is self._root else "helper"
        where = _places.of_code(obj.__code__, obj.__globals__.get("__name__"))
        return f"{role} {_plain(obj.__qualname__)}() in {where}"

    def object_(self, obj: Any) -> None:
        kind = type(obj)
        wrapped = None if self.is_own(kind.__module__) else _code_walk.attributes(obj).get("__wrapped__")
        if wrapped is not None:  # a cache, a compiled function: all else that it holds is its own affair
            self.package(kind.__module__)
            self.visit(wrapped)
            return
        super().object_(obj)
        self.package(kind.__module__)
        if isinstance(obj, types.BuiltinFunctionType | types.MethodWrapperType):
            owner = obj.__self__
            if owner is not None and not isinstance(owner, types.ModuleType):
                self.visit(owner)

    def function_(self, function: types.FunctionType) -> None:
        module = function.__globals__.get("__name__")
        if self._is_of_package(function):  # made for the project, by a decorator: it counts by what it has been made with
            self.say("made", str(module), function.__code__.co_qualname)
            self.package(str(module))
            self.held.append(_bytecode.held(function))
            self.carried_by(function)
            return
        self._place = _places.of_code(function.__code__, module)
        if module in _packages.MAIN:
            self._main_place = self._main_place or self._place
        super().function_(function)

    def class_(self, cls: type) -> None:
        # Results may be instances: then it matters whose.
        self.say("__main__" if cls.__module__ == "__mp_main__" else str(cls.__module__))
        annotations = vars(cls).get("__annotations__")
        for name, hint in sorted(annotations.items() if isinstance(annotations, dict) else ()):
            self.say(name, hint if isinstance(hint, str) else getattr(hint, "__qualname__", type(hint).__qualname__))
        super().class_(cls)

    def code_(self, code: types.CodeType) -> None:
        self._mentioned |= _bytecode.all_names(code)
        super().code_(code)

    def registry(self, registry: Mapping[Any, Any]) -> None:
        self.registries.append((registry, [*registry.values()]))
        super().registry(registry)

    def package(self, module: str) -> None:
        """An installed package is used, by way of one of its modules."""
        if not self.is_own(module):
            self._package(module)

    def _package(self, module: str) -> None:
        if (said := _packages.version(module)) is not None:
            self._packages.add(" ".join(("package", *said)))

    # -------------------------------------------------------- variables

    def globals_of(self, variables: dict[str, Any], code: types.CodeType) -> None:
        uses = _writes.of_globals(code)
        for name in sorted(_bytecode.global_names(code)):
            if name not in variables:
                self.watching(variables).absent.add(name)
                continue
            if not uses.counts(name, variables[name]):
                self.watching(variables).states[name] = None
                continue
            self.say("global", name)
            value = variables[name]
            if isinstance(value, types.ModuleType):
                self.watching(variables).names[name] = None
                self.visit(value)
                self.into_module(value, _bytecode.all_names(code), [])
            else:
                self.named(variables, name, value)
        for name, level, taken in sorted(_bytecode.imports(code)):
            self._imported(variables, name, level, taken, _bytecode.all_names(code))

    def into_module(self, module: types.ModuleType, mentioned: frozenset[str], path: list[types.ModuleType]) -> None:
        if not self.is_own(module.__name__):
            self.package(module.__name__)
            return
        before, self._place = self._place, _places.of_module(vars(module))
        super().into_module(module, mentioned, path)
        self._place = before

    def named(self, variables: Mapping[str, Any], name: str, value: Any) -> None:
        label = f"{'constant' if name.isupper() else 'global'} {name} in {self._place}"
        key = (id(variables), name)
        if shared := _identity.shared(value):
            self.watching(variables).names[name] = None
            self.say("shared", shared)
        else:
            self.watching(variables).names[name] = None
            self._take(label, f"global {name}", key, value)

    def class_attribute(self, cls: type, own: Mapping[str, Any], name: str) -> None:
        value = own[name]
        is_dunder = name.startswith("__") and name.endswith("__")
        if is_dunder and not (_code_walk.is_made_of_code(value) or _contents.is_fixed(value)):
            return  # what dataclasses, models and the like keep for themselves
        if name.startswith("_abc_") or (_code_walk.is_enum(cls) and name.startswith("_") and name.endswith("_")):
            return
        label = f"attribute {name} of {self._here}"
        self.watching(own).names[name] = None
        self.say(name)
        if is_dunder or _code_walk.is_made_of_code(value):
            self.visit(value)
        else:
            self.variable(label, f"attribute {name}", (id(cls), name), value)

    def cell(self, function: types.FunctionType, name: str, cell: types.CellType) -> None:
        value = contents_of(cell)
        if not _writes.of_closure(function.__code__).counts(name, value):
            self.kinds.append((cell, type(value)))
            return
        self.cells.append((cell, value))
        if value is MISSING:
            self.say("empty")
        elif isinstance(value, types.ModuleType):
            self.visit(value)
            self.into_module(value, _bytecode.all_names(function.__code__), [])
        elif self.is_own(function.__globals__.get("__name__")):
            self._take(f"variable {name} around {self._here}", f"variable {name}", (id(cell), ""), value)
        else:
            self._setting_of_package(value)

    def default(self, function: types.FunctionType, name: str, value: Any) -> None:
        if not self.is_own(function.__globals__.get("__name__")):
            self._setting_of_package(value)
        elif _contents.is_fixed(value):
            self.visit(value)
        else:
            label = f"default {name} of {self._here}"
            self._take(label, f"default {name}", (id(function), f"={name}"), value)

    def held_by(self, obj: Any, name: str, value: Any) -> None:
        label = f"attribute {name} of {self._here}"
        if _code_walk.is_code(value) and not _contents.is_data(value):
            if name == "__wrapped__" or not self._is_of_package(obj):
                super().held_by(obj, name, value)
        elif isinstance(obj, types.FunctionType):
            self._held_by_functions.append((label, obj, name, value))
        elif self.is_own(type(obj).__module__):
            self._attribute(label, obj, name, value)
        elif _contents.is_fixed(value) and not name.startswith("__"):  # what the interpreter keeps there are addresses
            self.say(name)
            self.visit(value)

    def _attribute(self, label: str, obj: Any, name: str, value: Any) -> None:
        key = (id(obj), f".{name}")
        held = obj.__dict__ if name in getattr(obj, "__dict__", {}) else None
        if held is not None:
            self.watching(held).names[name] = None
        self.say(name)
        self.variable(label, f"attribute {name}", key, value)

    def _look_at_functions(self) -> None:
        """Attributes of functions, where any code names them: marks for a test runner do not count."""
        for label, function, name, value in self._held_by_functions:
            if name in self._mentioned and self.is_own(function.__globals__.get("__name__")):
                self._attribute(label, function, name, value)

    def _setting_of_package(self, value: Any) -> None:
        """In a closure that a package has made, a decorator's: code, and what cannot change. The rest is its own affair."""
        if _contents.is_fixed(value) or (_code_walk.is_code(value) and not _contents.is_data(value)):
            self.visit(value)
        else:
            self.say(type(value).__qualname__)
            self._scan(value)

    def _take(self, label: str, what: str, key: Key, value: Any) -> None:
        if _code_walk.is_code(value) and not _contents.is_data(value):
            self.visit(value)
        else:
            self.variable(label, what, key, value)

    def variable(self, label: str, what: str, key: Key, value: Any) -> None:
        """What is no code counts by what it holds."""
        self.say("value", what)
        self._references.append(key)
        if key in self._nodes:
            return
        digest = _contents.digest(value)
        with self._node(key):
            self._scan(value)
        self._nodes[key] = Node(digest, self._nodes[key].references)
        self._part(label, digest)
        if not _contents.is_fixed(value):
            self.contents.append((value, digest))

    def _scan(self, value: Any) -> None:
        """Code within a value."""
        found = _contents.Found(value)
        for obj in sorted(found.code, key=_qualified_name):
            self.visit(obj)
        for module in found.modules:
            self.package(module)

    # -------------------------------------------------------- imports in functions

    def _imported(self, variables: dict[str, Any], name: str, level: int, taken: tuple[str, ...], mentioned: frozenset[str]) -> None:
        if level:
            package = variables.get("__package__") or str(variables.get("__name__", "")).rpartition(".")[0]
            steps = str(package).split(".")
            name = ".".join([*steps[: len(steps) - level + 1], *filter(None, [name])])
        if not _packages.is_own_if_imported(name):
            self._package(name)
            return
        self.say("imports", name)
        module = self._import(name)
        for part in taken:
            if module is not None and not hasattr(module, part):
                self._import(f"{name}.{part}")
        top = sys.modules.get(name if taken else name.partition(".")[0])
        if top is not None:
            self.into_module(top, mentioned, [])

    def _import(self, name: str) -> types.ModuleType | None:
        """What the function is going to import when it runs is imported now: nothing else tells what it will find there."""
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001 - the function may be prepared for that, or say so itself
            return None
        self.watching(sys.modules).names[name] = None
        return module


def _numbered(label: str) -> Iterator[str]:
    return itertools.chain([label], (f"{label} ({number})" for number in itertools.count(2)))


def _plain(name: str) -> str:
    return name.replace(".<locals>", "").replace("<lambda>", "lambda")


def _qualified_name(obj: Any) -> str:
    return f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', type(obj).__qualname__)}"
