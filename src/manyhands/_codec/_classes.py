"""Classes that no worker would find under their names: what they consist of, for ``_making.py`` to put together.

A class arrives as it is, not as its class statement was: nothing that its author has written runs once more, so what a metaclass,
``__init_subclass__``, ``__set_name__`` or the ``__new__`` of an enumeration did is neither done again nor undone.
"""

from __future__ import annotations

import _abc
import contextlib
import copyreg
import operator
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _class_references, _identity, _making, _naming, _pickling

if TYPE_CHECKING:
    from manyhands._codec._pickling import Encoder

    Reduced = tuple[Any, ...]

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE: C code has made it
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class statement, or C code that does the same

_BY_NAME, _BY_VALUE = "_member_map_", "_value2member_map_"  # the tables in which an enumeration has its members

# Pickle has its own way for these.
_SINGLETONS = frozenset({type(None), type(NotImplemented), type(Ellipsis)})


def class_(encoder: Encoder, cls: type) -> Any:
    """A class: named, where the receiver has it or can ask for it, else with its attributes."""
    if not _is_of_python(cls):
        return _of_interpreter(cls)
    if type(cls).__module__ == "_ctypes" and (made := _of_ctypes(cls)):
        return made
    named = _named(encoder, cls)
    if named is not None:
        return named
    _class_references.lend(cls)
    return _described(cls)


def _named(encoder: Encoder, cls: type) -> Any:
    if encoder.classes == _pickling.KNOWN:
        return _class_references.reference(encoder, cls)
    return _class_references.home_reference(cls) if encoder.classes == _pickling.HOME else None


def _described(cls: type) -> Reduced:
    attributes = _contents(cls)
    told = _making.told
    made = (type(cls), told(cls, "__name__"), told(cls, "__bases__"), _basic(cls, attributes), _identity.token_of(cls))
    if attributes.get("__module__") == "__main__":
        del attributes["__module__"]
    registered = _registered(cls) if "_abc_impl" in vars(cls) else ()
    if not _is_enum(cls):
        return _making.new_class, made, (attributes, registered), None, None, _making.set_class
    names = dict(attributes.pop(_BY_NAME))
    members = set(map(id, names.values()))
    values = [(value, member) for value, member in attributes.pop(_BY_VALUE).items() if id(member) in members]
    return _making.new_class, made, (attributes, registered, names, values), None, None, _making.set_enum


def _is_of_python(cls: type) -> bool:
    flags = _making.told(cls, "__flags__")
    return bool(flags & _HEAP_TYPE) and not flags & _IMMUTABLE_TYPE


def _of_interpreter(cls: type) -> Any:
    if cls in _SINGLETONS:
        return NotImplemented
    for name, value in vars(types).items():
        if value is cls:
            return _making.type_of, (name,)
    if issubclass(cls, type) and cls.__module__ == "_ctypes":
        return type, (next(value for value in vars(sys.modules["ctypes"]).values() if type(value) is cls),)
    return NotImplemented


def _contents(cls: type) -> dict[str, Any]:
    """The attributes of a class, without those that it is given when it is made."""
    return {name: _by_name(value) for name, value in vars(cls).items() if not _making.is_layout(cls, name, value)}


class _Named:
    """What a module of the standard library compares by identity, and pickle does not take for something that has a name."""

    def __init__(self, module: str, name: str) -> None:
        self.path = sys.modules[module], name

    def __reduce__(self) -> Reduced:
        return getattr, self.path


def _by_name(value: Any) -> Any:
    if type(value) is classmethod and value is getattr(sys.modules.get("typing"), "_proto_hook", None):
        return _Named("typing", "_proto_hook")
    return value


def _basic(cls: type, attributes: dict[str, Any]) -> dict[str, Any]:
    """What must be there when a class is made: for its layout, and for those who look at it then."""
    basic: dict[str, Any] = {"__qualname__": _making.told(cls, "__qualname__")}
    if (slots := _slots(cls)) is not None:
        basic["__slots__"] = slots
    if "__orig_bases__" in attributes:
        basic["__orig_bases__"] = attributes["__orig_bases__"]
    if "_abc_impl" in vars(cls):
        basic["_abc_impl"] = None
    if _is_enum(cls):
        basic |= {_BY_NAME: {}, _BY_VALUE: {}}
    if any(_making.of_c(type(cls), name) is not vars(type)[name] for name in ("__new__", "__init__")):
        basic |= {
            name: value for name, value in attributes.items() if name in _OF_CTYPES or (type(value) in _ATOMS and name != "__module__")
        }
    return basic


_OF_CTYPES = frozenset({"_type_", "_restype_", "_argtypes_"})


def _slots(cls: type) -> tuple[str, ...] | None:
    """What ``__slots__`` must have said when the class was defined; None if there was none."""
    own = vars(cls)
    made = (types.MemberDescriptorType, types.GetSetDescriptorType)
    slots = tuple(name for name, value in own.items() if type(value) in made and value.__objclass__ is cls)
    return slots if "__slots__" in own or not {"__dict__", "__weakref__"}.issuperset(slots) else None


def _registered(cls: type) -> tuple[type, ...]:
    found = (reference() for reference in _abc._get_dump(cls)[0])  # noqa: SLF001 - a function without a public name
    return tuple(subclass for subclass in found if subclass is not None)


def _of_ctypes(cls: type) -> Any:
    """A type that :mod:`ctypes` makes once for each type that it refers to; None for others."""
    import ctypes  # noqa: PLC0415 - who has such a class has loaded it

    own = vars(cls)
    kind = type(cls).__name__
    made: Any = None
    if kind == "PyCArrayType" and own.keys() >= {"_type_", "_length_"}:
        made = operator.mul, (own["_type_"], own["_length_"])
    elif kind == "PyCPointerType" and "_type_" in own:
        made = ctypes.POINTER, (own["_type_"],)
    elif kind == "PyCFuncPtrType" and own.keys() >= {"_restype_", "_argtypes_"}:
        made = ctypes.CFUNCTYPE, (own["_restype_"], *own["_argtypes_"])
    return made if made is not None and made[0](*made[1]) is cls else None


def disguised(_: Encoder, value: Any) -> Any:
    """An object that says that it is of another class, which pickle would believe."""
    cls: Any = type(value)
    reduced = cls.__reduce_ex__(value, 4)
    if isinstance(reduced, tuple) and reduced[0] is copyreg.__newobj__:  # type: ignore[attr-defined] # typeshed has it not
        return _making.new_object, *reduced[1:]
    return reduced


# ------------------------------------------------------------ enumerations


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(type(cls), enum.EnumMeta) and _BY_NAME in vars(cls)


def member(encoder: Encoder, value: Any) -> Any:
    """A member of an enumeration: by its value, which is the default, or as it is, where the enumeration travels by value."""
    cls = type(value)
    if _naming.found_by_name(cls) and not (_naming.is_project(cls.__module__) and encoder.sends(cls)):
        return NotImplemented
    own = value.__dict__
    if "_name_" not in own:
        return NotImplemented  # what a method of the mixed-in class has made of one: no member
    table, key = _place(value)
    if table == _BY_NAME and _named(encoder, cls) is not None:
        return _making.known_member, (cls, key)
    # Who looks for a member in a dictionary needs these before the rest is there, which may lead to that dictionary.
    atoms = {name: part for name, part in own.items() if type(part) in _ATOMS}
    rest = {name: part for name, part in own.items() if name not in atoms and name != "__objclass__"}
    made = (cls, table, key, _arguments(value), atoms)
    slots = _slot_values(value)
    if not rest and not slots:
        return _making.new_member, made
    return _making.new_member, made, (rest, slots), None, None, _making.set_member


def _slot_values(value: Any) -> dict[str, Any]:
    found = {}
    for cls in _making.told(type(value), "__mro__"):
        for name, slot in vars(cls).items() if "__slots__" in vars(cls) and _is_of_python(cls) else ():
            if type(slot) is types.MemberDescriptorType:
                with contextlib.suppress(AttributeError):  # it is empty
                    found[name] = slot.__get__(value)
    return found


def _place(value: Any) -> tuple[str, Any]:
    """Where an enumeration has a member: a combination of flags has no name, and need not be kept."""
    own = vars(type(value))
    if own[_BY_NAME].get(value._name_) is value:
        return _BY_NAME, value._name_
    kept = any(found is value for found in own[_BY_VALUE].values())
    return _BY_VALUE if kept else "", value._value_


def _arguments(value: Any) -> tuple[Any, ...]:
    """What the class of the interpreter's that a member is built on must be given to make the same."""
    base = _making.of_c(type(value), "__new__").__self__
    if base is object:
        return ()
    if issubclass(base, list | dict):
        return (base.copy(value),)
    if hasattr(base, "__getnewargs__"):
        return tuple(base.__getnewargs__(value))
    make, args, *_ = base.__reduce_ex__(value, 4)
    if make is copyreg.__newobj__:  # type: ignore[attr-defined] # typeshed has it not
        return tuple(args[1:])
    return tuple(args) if make is type(value) else (value._value_,)
