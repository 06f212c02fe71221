"""What functions, classes and objects carry, and what of it counts: defaults, closures, attributes, docstrings where they are read."""

from __future__ import annotations

import functools
import types
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _code_walk
from manyhands.memory import _contents, _declared, _mentions, _packages, _writes
from manyhands.memory._gathering import Gathering
from manyhands.memory._parts import MISSING, contents_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from manyhands.memory._parts import Key

# What dataclasses and attrs keep of the attributes of a class; all but the metadata is seen in the methods that they make.
_FIELDS = frozenset({"__dataclass_fields__", "__attrs_attrs__"})
_OF_MEMBERS = frozenset({"_name_", "_value_", "__objclass__", "_sort_order_", "_inverted_"})
_CACHES = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)  # functools.singledispatch has one
_FUNCTIONS = (types.FunctionType, classmethod, staticmethod, property)


class Carried(Gathering):
    """The part of the walk that goes from functions, classes and objects to what they carry."""

    def __init__(self) -> None:
        super().__init__()
        self.ignored: frozenset[str] = frozenset()
        self.mentioned: set[str] = set()
        self.reads_hints = False
        self.reads_docs = False
        self._held_by_functions: list[tuple[str, types.FunctionType, str, Any]] = []
        self._wrapped: list[Any] = []  # by decorators of packages: these may go by the annotations

    # -------------------------------------------------------- functions

    def code_(self, code: types.CodeType) -> None:
        self.mentioned |= _mentions.of(code)
        self.reads_hints = self.reads_hints or _mentions.reads_hints(code)
        self.reads_docs = self.reads_docs or _mentions.reads_docs(code)
        super().code_(code)

    def carried_by(self, function: types.FunctionType) -> None:
        super().carried_by(function)
        self.tables[id(function.__dict__)] = function.__dict__
        if function.__kwdefaults__:
            self.watch_table(function.__kwdefaults__, function.__kwdefaults__)

    def made_by_package(self, function: types.FunctionType, module: str) -> None:
        """A function that a package has made for the project, as a decorator does: it counts by what it has been made with."""
        self.say("made", module, function.__code__.co_qualname)
        self.package(module)
        self.held.append(_bytecode.held(function))
        self.carried_by(function)
        if _packages.version(module) is not None:
            self._wrapped += [contents_of(cell) for cell in function.__closure__ or ()]

    def cell(self, function: types.FunctionType, name: str, cell: types.CellType) -> None:
        value = contents_of(cell)
        is_own = self.is_own(function.__globals__.get("__name__"))
        if not _writes.of_closure(function.__code__).counts(name, value):
            self.kinds.append((cell, type(value)))
            return
        self.cells.append((cell, value))
        if value is MISSING:
            self.say("empty")
        elif isinstance(value, types.ModuleType):
            self.visit(value)
            self.into_module(value, _mentions.of(function.__code__), [])
        elif is_own:
            self.take(f"variable {name} around {self.here}", f"variable {name}", (id(cell), ""), value)
        else:
            is_state = name in _writes.changed_in_closure(function.__code__)
            self._setting_of_package(f"variable {name} around {self.here}", (id(cell), ""), value, is_state=is_state)

    def default(self, function: types.FunctionType, name: str, value: Any) -> None:
        label, key = f"default {name} of {self.here}", (id(function), f"={name}")
        if function is self.root and name in self.ignored:
            return
        if not self.is_own(function.__globals__.get("__name__")):
            self._setting_of_package(label, key, value, is_state=False)
        elif _contents.is_fixed(value):
            self.visit(value)
        else:
            self.take(label, f"default {name}", key, value)

    def _setting_of_package(self, label: str, key: Key, value: Any, *, is_state: bool) -> None:
        """In a closure that a package has made, a decorator's: code, and what it has been set up with. The rest is its own affair."""
        if _contents.is_fixed(value) or (_code_walk.is_code(value) and not _contents.is_data(value)):
            self.visit(value)
        elif _contents.is_setting(value) and not is_state:
            self.variable(label, "setting", key, value)
        else:
            self.say(type(value).__qualname__)
            if not isinstance(value, _CACHES):
                self.scan(value)

    def take(self, label: str, what: str, key: Key, value: Any) -> None:
        """A variable, which may be code."""
        if _code_walk.is_code(value) and not _contents.is_data(value):
            self.visit(value)
        else:
            self.variable(label, what, key, value)

    def registry(self, registry: Mapping[Any, Any]) -> None:
        self.registries.append((registry, [*registry.values()]))
        super().registry(registry)

    # -------------------------------------------------------- objects

    def object_(self, obj: Any) -> None:
        kind = type(obj)
        is_own = self.is_own(kind.__module__)
        wrapped = None if is_own else _code_walk.attributes(obj).get("__wrapped__")
        if wrapped is not None:  # a cache, a compiled function
            self.package(kind.__module__)
            self.visit(wrapped)
            if _packages.version(kind.__module__) is not None:
                self._wrapped.append(wrapped)
            self._settings_of_object(obj)
            self._declared_by(obj)
            return
        super().object_(obj)
        self.package(kind.__module__)
        if is_own:
            self.watch_slots(obj)
            if isinstance(held := getattr(obj, "__dict__", None), dict):
                self.watch_table(held, held)
        elif isinstance(obj, functools.partial | functools.partialmethod):
            self.watch_table(obj.keywords, obj.keywords)
        else:
            self._settings_of_object(obj)
        if isinstance(obj, types.BuiltinFunctionType | types.MethodWrapperType):
            self._of_c(obj)

    def _of_c(self, function: Any) -> None:
        owner = function.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            self.package(function.__module__)
        else:
            self.visit(owner)

    def _settings_of_object(self, obj: Any) -> None:
        """Of a package's decorator or descriptor: what it has been set up with, and does not change itself."""
        kind: Any = type(obj)
        for name, value in _contents.settings_of(obj).items():
            if not (name.startswith("__") or name in _writes.changed_by_methods(kind)):  # what the interpreter keeps are addresses
                self._attribute(f"attribute {name} of {self.here}", obj, name, value)

    def _declared_by(self, obj: Any) -> None:
        """What the author has declared of a cached function that is called."""
        for declared in _declared.by_cached(obj):
            for dep in declared.code:
                self.look_at(dep)
            parts = declared.parts_of_another()
            self.say("declared", *(label for label, _ in parts))
            for label, digest in parts:
                self.hash.update(digest)
                self.part(f"{label} of {self.here}", digest)
            if not declared.is_empty:
                self.declared.append((declared, parts))

    def held_by(self, obj: Any, name: str, value: Any) -> None:
        if _code_walk.is_code(value) and not _contents.is_data(value):
            if name == "__wrapped__" or not self.is_of_package(obj):
                super().held_by(obj, name, value)
        elif isinstance(obj, types.FunctionType):
            self._held_by_functions.append((f"attribute {name} of {self.here}", obj, name, value))
        elif self.is_own(type(obj).__module__) and not _contents.is_computed(obj, name):
            self._attribute(f"attribute {name} of {self.here}", obj, name, value)

    def _attribute(self, label: str, obj: Any, name: str, value: Any) -> None:
        held = getattr(obj, "__dict__", {})
        if name in held:
            self.watching(held).names[name] = None
        self.say(name)
        self.variable(label, f"attribute {name}", (id(obj), f".{name}"), value)

    def look_at_functions(self) -> None:
        """Attributes of functions, where any code names them: marks for a test runner do not count."""
        for label, function, name, value in self._held_by_functions:
            if name in self.mentioned and self.is_own(function.__globals__.get("__name__")):
                self._attribute(label, function, name, value)

    # -------------------------------------------------------- classes

    def class_(self, cls: type) -> None:
        # Results may be instances: then it matters whose.
        self.say("__main__" if cls.__module__ == "__mp_main__" else str(cls.__module__))
        self.package(cls.__module__)
        if type(cls) is not type:
            self.visit(type(cls))
        self.hash.update(_contents.digest_of_hints([vars(cls).get("__annotations__"), vars(cls).get("__orig_bases__")]))
        super().class_(cls)
        if _code_walk.is_enum(cls):
            for name, member in cls.__members__.items():  # type: ignore[attr-defined]
                self._member(name, member)

    def _member(self, name: str, member: Any) -> None:
        """What a member of an enumeration has besides its value."""
        held = getattr(member, "__dict__", {})
        self.watch_table(held, ())
        for attribute in sorted(held.keys() - _OF_MEMBERS):
            if not _contents.is_computed(member, attribute):
                self._attribute(f"attribute {attribute} of {name} of {self.here}", member, attribute, held[attribute])

    def class_attribute(self, cls: type, own: Mapping[str, Any], name: str) -> None:
        value = own[name]
        is_code = _code_walk.is_made_of_code(value)
        is_dunder = name.startswith("__") and name.endswith("__")
        if name.startswith("_abc_") or (_is_of_enum(cls, name) and not isinstance(value, _FUNCTIONS)):
            return
        if name in _FIELDS:
            self._fields(cls, value)
        if is_dunder and not (is_code or _contents.is_setting(value)):
            return  # what dataclasses, models and the like keep for themselves
        self.watching(own).names[name] = None
        self.say(name)
        if is_code or (is_dunder and _contents.is_fixed(value)):
            self.visit(value)
        else:
            self.variable(f"attribute {name} of {self.here}", f"attribute {name}", (id(cls), name), value)

    def _fields(self, cls: type, fields: Any) -> None:
        listed = fields.values() if isinstance(fields, dict) else fields
        metadata = {field.name: dict(field.metadata) for field in listed if getattr(field, "metadata", None)}
        if metadata:
            self.variable(f"metadata of {self.here}", "metadata", (id(cls), "metadata"), metadata, is_settled=True)

    # -------------------------------------------------------- what is said of code

    def look_at_words(self) -> None:
        """Annotations and docstrings, where code may read them."""
        wrapped = {id(obj) for obj in self._wrapped}
        if not (wrapped or self.reads_hints or self.reads_docs):
            return
        looked_at = 0
        while looked_at < len(self._found):  # it grows
            obj = self._found[looked_at]
            looked_at += 1
            if not isinstance(obj, types.FunctionType | type) or not self.is_told(obj):
                continue
            if self.reads_hints or id(obj) in wrapped:
                self._hints(obj)
            if self.reads_docs:
                self._docs(obj)
            self.go_on()

    def _hints(self, obj: Any) -> None:
        hints = vars(obj).get("__annotations__") if isinstance(obj, type) else obj.__annotations__
        with self.node((id(obj), "annotations")):
            self.say(obj.__qualname__)
            self.variable(f"annotations of {self.describe(obj)}", "annotations", (id(obj), "hints"), hints, is_settled=True)

    def _docs(self, obj: Any) -> None:
        said = [str(obj.__doc__), *(_mentions.texts(obj.__code__) if isinstance(obj, types.FunctionType) else ())]
        with self.node((id(obj), "words")):
            self.say(obj.__qualname__, *said)
        self.part(f"docstring of {self.describe(obj)}", self.nodes[id(obj), "words"].digest)


def _is_of_enum(cls: type, name: str) -> bool:
    return _code_walk.is_enum(cls) and name.startswith("_") and name.endswith("_")
