"""The parts that a walk through code finds: nodes that refer to one another, what they are called, and what of them is to be watched."""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import itertools
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk, _digests
from manyhands.memory import _contents, _declared, _packages, _places
from manyhands.memory._parts import MISSING, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from manyhands.memory._parts import Key

_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_files: dict[str, _declared.File] = {}


class Gathering(_code_walk.Walk):
    """A walk that makes a part, with a digest of its own, of each function, class and variable."""

    most_parts = sys.maxsize  # of what results depend on, none is left out

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, bytes] = {}
        self.contents: list[tuple[Any, bytes]] = []  # lists, arrays, objects: their contents count at each call
        self.cells: list[tuple[types.CellType, Any]] = []  # what is in them counts
        self.registries: list[tuple[Mapping[Any, Any], list[Any]]] = []
        self.kinds: list[tuple[types.CellType, type]] = []  # only of which class that is: it is changed, and not read
        self.tables: dict[int, Mapping[Any, Any]] = {}  # of attributes, by id; others may be added
        self.slots: list[tuple[types.MemberDescriptorType, Any, Any]] = []
        self.declared: list[tuple[_declared.Declared, list[tuple[str, bytes]]]] = []  # by cached functions that are called
        self.nodes: dict[Key, Node] = {}
        self.packages: set[str] = set()
        self.root: types.FunctionType | None = None
        self.here = ""  # what is looked into, in words
        self.place = ""  # the file of the code that is looked into
        self.main_place = ""
        self._references: list[Key] = []

    # -------------------------------------------------------- nodes

    @contextlib.contextmanager
    def node(self, key: Key) -> Iterator[None]:
        """What is said within is said about one part."""
        before = self.hash, self._references
        self.hash, self._references = _digests.new(), []
        yield
        self.nodes[key] = Node(self.hash.digest(), self._references)
        self.hash, self._references = before

    def refer(self, key: Key) -> None:
        """The part that is spoken of refers to another."""
        self._references.append(key)

    def part(self, label: str, digest: bytes) -> None:
        """Two of the same are one; others of the same name get a number."""
        self.parts[next(name for name in _numbered(label) if self.parts.get(name, digest) == digest)] = digest

    def describe(self, obj: Any) -> str:
        """What an object is called."""
        if isinstance(obj, type):
            return f"class {_plain(obj.__qualname__)} in {_places.of_class(obj) or self.main_place or obj.__module__}"
        if isinstance(obj, types.BuiltinFunctionType):
            return f"function {obj.__module__}.{obj.__qualname__}"
        if not isinstance(obj, types.FunctionType):
            return f"object of {_plain(type(obj).__qualname__)}"
        role = "function" if obj is self.root else "helper"
        where = _places.of_code(obj.__code__, obj.__globals__.get("__name__"))
        return f"{role} {_plain(obj.__qualname__)}() in {where}"

    def is_told(self, obj: Any) -> bool:
        """Whether it is named to who asks why. What classes have besides functions (slots, operators in C) would be in the way."""
        if isinstance(obj, types.BuiltinFunctionType):
            return isinstance(obj.__self__, types.ModuleType)
        if isinstance(obj, type | types.FunctionType):
            return not self.is_of_package(obj)
        return isinstance(obj, functools.partial) or self.is_own(type(obj).__module__)

    # -------------------------------------------------------- modules

    def is_own(self, module: object) -> bool:
        """Whether a module, by its name, is the user's."""
        return _packages.is_own(module)

    def is_of_package(self, obj: Any) -> bool:
        """Whether a function's code is a package's."""
        return isinstance(obj, types.FunctionType) and not self.is_own(obj.__globals__.get("__name__"))

    def package(self, module: object) -> None:
        """A module is used: of an installed package the version counts, of a module in C the file."""
        if not isinstance(module, str):
            return
        if not self.is_own(module):
            self.package_named(module)
            return
        file = getattr(sys.modules.get(module), "__file__", None)
        if isinstance(file, str) and file.endswith(_EXTENSIONS):
            digest = _files.setdefault(file, _declared.File(file)).digest_or_none()
            self.say("extension", digest.hex())
            self.part(f"extension module {module}", digest)

    def package_named(self, module: str) -> None:
        """An installed package is used, by way of one of its modules."""
        if (said := _packages.version(module)) is not None:
            self.packages.add(" ".join(("package", *said)))

    def look_at(self, root: Any) -> None:
        """Code that somebody has named: of a module all of it."""
        self.here = self.here or "deps"
        self.visit(root)
        if isinstance(root, types.ModuleType):
            self.into_module(root, frozenset(_declared.names_of_module(root)), [])

    # -------------------------------------------------------- what variables hold

    def variable(self, label: str, what: str, key: Key, value: Any, *, is_settled: bool = False) -> None:
        """What is no code counts by what it holds: now, and at each call unless it ``is_settled`` while the program runs."""
        self.say("value", what)
        self.refer(key)
        if key in self.nodes:
            return
        self.nodes[key] = Node(b"", [])  # it may be met within
        digest, code, modules = _contents.look(value)
        with self.node(key):
            self.visit_all(code, modules)
        self.nodes[key] = Node(digest, self.nodes[key].references)
        self.part(label, digest)
        if not (is_settled or _contents.is_fixed(value)):
            self.contents.append((value, digest))

    def scan(self, value: Any) -> None:
        """Code within a value that does not count itself."""
        _, code, modules = _contents.look(value)
        self.visit_all(code, modules)

    def visit_all(self, code: list[Any], modules: set[str]) -> None:
        """What has been met within a value."""
        for obj in sorted(code, key=_qualified_name):
            self.visit(obj)
            if isinstance(obj, types.ModuleType):
                self.into_module(obj, frozenset(_declared.names_of_module(obj)), [])
        for module in modules:
            self.package_named(module)

    # -------------------------------------------------------- what is watched

    def watch_table(self, table: Mapping[Any, Any], names: Any) -> None:
        """Attributes, or keyword arguments: what ``names`` are bound to, and whether others are added."""
        self.tables[id(table)] = table
        self.watching(table).names.update(dict.fromkeys(names))

    def watch_slots(self, obj: Any) -> None:
        """Attributes of an object that are not in a dict."""
        for cls in type(obj).__mro__:
            for slot in [*vars(cls).values()]:
                if isinstance(slot, types.MemberDescriptorType):
                    self.slots.append((slot, obj, in_slot(slot, obj)))


def in_slot(slot: types.MemberDescriptorType, obj: Any) -> Any:
    """What an attribute is; MISSING if there is nothing."""
    try:
        return slot.__get__(obj)
    except AttributeError:
        return MISSING


def _numbered(label: str) -> Iterator[str]:
    return itertools.chain([label], (f"{label} ({number})" for number in itertools.count(2)))


def _plain(name: str) -> str:
    return name.replace(".<locals>", "").replace("<lambda>", "lambda")


def _qualified_name(obj: Any) -> str:
    return f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', type(obj).__qualname__)}"
