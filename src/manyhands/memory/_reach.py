"""All that a function's result depends on besides its arguments, as far as its code shows it.

The walk of the codec (``_codec/_code_walk.py``) decides whether two processes have the same code. A result on disk outlives both, so more
counts here: all variables that are read, whatever their names, by what they hold; what functions import when they run; the versions of
installed packages. Each function, class and variable is a part with a name and a digest of its own.

Parts refer to one another; the digest of the whole tells apart what differs in any way but in how many copies there are of the same: in a
worker, a class and a function may each have brought a helper along (``_parts.whole``).
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _code_walk, _naming
from manyhands.memory import _contents, _mentions, _packages, _places, _writes
from manyhands.memory._carried import Carried
from manyhands.memory._parts import whole
from manyhands.memory._roots import function_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Reach(Carried):
    """The walk from one function to all that it uses."""

    def __init__(self, root: Any, deps: Iterable[Any] = (), ignored: Iterable[str] = ()) -> None:
        super().__init__()
        self.root = function_of(root)
        self.ignored = frozenset(ignored)
        with self.node((0, "root")):
            self.say(*sorted(self.ignored))
            self.look_at(root)
        self.go_on()
        for index, dep in enumerate(deps):
            with self.node((index, "declared")):
                self.look_at(dep)
            self.go_on()
        with self.node((0, "attributes")):
            self.look_at_functions()
        self.go_on()
        self.look_at_words()
        self.parts.update((label, b"") for label in self.packages)
        self.digest = whole(self.nodes, self.packages)

    # -------------------------------------------------------- what is looked into

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
            self.variable(f"{type(obj).__name__} held by {self.here}", "held", (id(obj), ""), obj)
        else:
            named = obj if isinstance(obj, types.FunctionType | type) else type(obj)
            self.say("code", named.__qualname__)
            self.refer((id(obj), ""))
            if id(obj) not in self._numbers:
                self._numbers[id(obj)] = len(self._found)
                self._found.append(obj)

    def look_into(self, obj: Any) -> None:
        self.here = self.describe(obj)
        label = self.here
        with self.node((id(obj), "")):
            super().look_into(obj)
        if self.is_told(obj):
            self.part(label, self.nodes[id(obj), ""].digest)

    def function_(self, function: types.FunctionType) -> None:
        module = function.__globals__.get("__name__")
        if self.is_of_package(function):  # made for the project, by a decorator: it counts by what it has been made with
            self.made_by_package(function, str(module))
            return
        self.place = _places.of_code(function.__code__, module)
        if module in _packages.MAIN:
            self.main_place = self.main_place or self.place
        super().function_(function)

    # -------------------------------------------------------- variables

    def globals_of(self, variables: dict[str, Any], code: types.CodeType) -> None:
        uses, mentioned = _writes.of_globals(code), _mentions.of(code)
        for name in sorted(_mentions.of_globals(code, variables)):
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
                self.into_module(value, mentioned, [])
            else:
                self.named(variables, name, value)
        for name, level, taken in sorted(_bytecode.imports(code)):
            self._imported(variables, name, level, taken, mentioned)

    def into_module(self, module: types.ModuleType, mentioned: frozenset[str], path: list[types.ModuleType]) -> None:
        if not self.is_own(module.__name__):
            self.package(module.__name__)
            return
        before, self.place = self.place, _places.of_module(vars(module))
        self.package(module.__name__)
        super().into_module(module, mentioned, path)
        if "__getattr__" in vars(module) and not mentioned <= vars(module).keys():  # it may make what is not there
            self.say("made when asked for")
            self.named(vars(module), "__getattr__", vars(module)["__getattr__"])
        self.place = before

    def named(self, variables: Mapping[str, Any], name: str, value: Any) -> None:
        label = f"{'constant' if name.isupper() else 'global'} {name} in {self.place}"
        self.watching(variables).names[name] = None
        self.take(label, f"global {name}", (id(variables), name), value)

    # -------------------------------------------------------- imports in functions

    def _imported(self, variables: dict[str, Any], name: str, level: int, taken: tuple[str, ...], mentioned: frozenset[str]) -> None:
        if level:
            package = variables.get("__package__") or str(variables.get("__name__", "")).rpartition(".")[0]
            steps = str(package).split(".")
            name = ".".join([*steps[: len(steps) - level + 1], *filter(None, [name])])
        if not _packages.is_own_if_imported(name):
            self.package_named(name)
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
