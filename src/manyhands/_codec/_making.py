"""What travels by value is made of these calls, in the process that receives it. See ``_by_value.py`` for the other side.

Functions and classes may refer to themselves and one another, so each is made without its contents, which are set once all are there.
"""

from __future__ import annotations

import _abc
import contextlib
import gc
import importlib
import marshal
import operator
import os
import pickle
import sys
import threading
import types
import weakref

from manyhands import errors
from manyhands._codec import _identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set
    from typing import Any

_SELF = "__manyhands_module__"  # among the globals of a module that was put together


def main_namespace() -> dict[str, Any]:
    """Globals for functions of ``__main__``. In a worker that is its own ``__main__`` (``_main_globals.py``)."""
    return namespace("")


def namespace(name: str | None) -> dict[str, Any]:
    """Globals for functions that bring theirs along."""
    return {"__name__": "__main__" if name == "" else name, "__builtins__": sys.modules["builtins"].__dict__}


def module_namespace(name: str) -> dict[str, Any]:
    """The globals of a module that is imported here."""
    return importlib.import_module(name).__dict__


def overlay(name: str) -> dict[str, Any]:
    """Globals for functions of a module that is not the same here: what is here, for what is sent to be put over it."""
    made = types.ModuleType(name)
    try:
        made.__dict__.update(importlib.import_module(name).__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a module is run when it is imported
        made.__dict__["__builtins__"] = sys.modules["builtins"].__dict__
    made.__dict__[_SELF] = made
    return made.__dict__


def module_of(variables: dict[str, Any]) -> types.ModuleType:
    """The module whose globals :func:`overlay` has made."""
    return variables[_SELF]  # type: ignore[no-any-return]


def set_module_over(made: types.ModuleType, state: tuple[dict[str, Any], dict[str, bytes | str | None]]) -> None:
    """What is sent over what is there."""
    put_over(made.__dict__, *state)


def put_over(made: dict[str, Any], variables: dict[str, Any], spare: dict[str, bytes | str | None]) -> dict[str, Any]:
    """What is sent over what is there; ``spare`` is for what is not there; None: it is not to be there.

    Raises:
        StaleCode: a constant that cannot be sent, of which ``spare`` names the class, is of another class here.
    """
    for name, kind in spare.items():
        if isinstance(kind, str):
            _check_own(made, name, kind)
    made.update(variables)
    for name, packed in spare.items():
        if packed is None:
            made.pop(name, None)
        elif isinstance(packed, str):
            continue
        elif name not in made:
            made[name] = pickle.loads(packed)
    return made


def _check_own(variables: dict[str, Any], name: str, kind: str) -> None:
    here = type(variables.get(name))
    seen = f"{here.__module__}.{here.__qualname__}"
    if seen != kind:
        raise errors.StaleCode(
            f"{variables.get('__name__')}.{name}",
            f"in process {os.getpid()} it is a {seen}" if name in variables else f"process {os.getpid()} does not have it",
            f"a {kind} cannot be sent",
            "give each worker its own (manyhands.per_worker, or an initializer), or set it where the module is imported",
        )


def code(packed: bytes, constants: tuple[object, ...] | None = None) -> types.CodeType:
    """Code from what ``marshal`` made of it; with constants that it could not."""
    made: types.CodeType = marshal.loads(packed)
    return made if constants is None else made.replace(co_consts=constants)


def function(packed: types.CodeType, variables: dict[str, Any], cells: tuple[types.CellType, ...] | None) -> types.FunctionType:
    """A function without what :func:`set_function` adds."""
    return types.FunctionType(packed, variables, None, None, cells)


def inner_function(
    packed: types.CodeType, module: str, digest: bytes, strict: bool, cells: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """A function that was made by one of a module of the project, with the globals of that module."""
    from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

    return types.FunctionType(packed, _definitions.globals_of(module, digest, packed, strict), None, None, cells)


def set_function(made: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...]]) -> None:
    """Its globals, attributes, ``__dict__``; and modules that its code expects to be loaded."""
    variables, attributes, own, modules = state
    made.__globals__.update(variables)
    set_attributes(made, attributes, own, modules)


def set_function_over(
    made: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...], dict[str, bytes | str | None]]
) -> None:
    """The same for a function of a module that is not the same here."""
    *usual, spare = state
    put_over(made.__globals__, usual[0], spare)  # type: ignore[arg-type]
    set_attributes(made, *usual[1:])  # type: ignore[arg-type]


def set_attributes(made: types.FunctionType, attributes: dict[str, Any], own: dict[str, Any], modules: tuple[str, ...]) -> None:
    """All but the globals."""
    for name, value in attributes.items():
        setattr(made, name, "__main__" if value == "" and name == "__module__" else value)
    made.__dict__.update(own)
    for name in modules:
        importlib.import_module(name)


def fill(cell: types.CellType, contents: tuple[object]) -> None:
    """Put something into a cell of a closure."""
    (cell.cell_contents,) = contents


def module(name: str) -> types.ModuleType:
    """A module by its name."""
    return importlib.import_module(name)


def main_module() -> types.ModuleType:
    """The program."""
    return sys.modules["__main__"]


def new_module(name: str, token: bytes) -> types.ModuleType:
    """A module that has no file, without its contents."""
    found = _identity.known(token)
    if found is None:
        found = types.ModuleType(name)
        _identity.keep(token, found)
    return found  # type: ignore[no-any-return]


def set_module(made: types.ModuleType, state: dict[str, Any]) -> None:
    """Its contents."""
    if not _is_original(made):
        made.__dict__.update(state)


# ------------------------------------------------------------ classes


def new_class(metaclass: type, name: str, bases: tuple[type, ...], basic: dict[str, Any], token: bytes) -> type:
    """A class with nothing but what must be there when it is made; the one that is here already if it came before.

    Nothing that its author has written runs: neither the metaclass nor ``__init_subclass__``, nor, later, ``__set_name__``. They did when
    the class was defined, and what they did comes along.
    """
    _identity.versions.pop(token, None)  # it comes by value, as whatever it is now
    found: type | None = _identity.known(token)
    if found is not None and (_is_original(found) or _adapt(found, metaclass, bases, name, basic["__qualname__"])):
        return found
    basic.setdefault("__module__", "__main__")
    with _quiet(bases):
        made: type = of_c(metaclass, "__new__")(metaclass, name, bases, basic)
        of_c(metaclass, "__init__")(made, name, bases, basic)
    if "_abc_impl" in basic:
        _abc._abc_init(made)  # noqa: SLF001 - a function without a public name
    _identity.keep(token, made)
    return made


def of_c(cls: type, name: str) -> Any:
    """What a class has under a name, as far as C code is concerned: for what Python code has there, it is too late."""
    for parent in told(cls, "__mro__"):
        found = vars(parent).get(name)
        if type(found) in _C_METHODS:
            return found
    return None


def told(cls: type, name: str) -> Any:
    """What the interpreter tells of a class, whatever its metaclass says."""
    return vars(type)[name].__get__(cls)


_C_METHODS = (types.BuiltinFunctionType, types.WrapperDescriptorType)


def _adapt(found: type, *now: object) -> bool:
    """Give a class that came before what it has by now, apart from its attributes; False if the interpreter refuses."""
    own = vars(type)
    try:
        for part, value in zip((vars(object)["__class__"], own["__bases__"], own["__name__"], own["__qualname__"]), now, strict=True):
            if not _same(part.__get__(found), value):
                part.__set__(found, value)
    except TypeError:  # another layout
        return False
    return True


def _same(one: object, other: object) -> bool:
    """Whether it is the same class, text, or tuple of the same classes; without their ``__eq__``."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(operator.is_, one, other))
    return one is other or (type(one) is str and one == other)


@contextlib.contextmanager
def _quiet(bases: tuple[type, ...]) -> Iterator[None]:
    """``__init_subclass__`` is not called for classes that this thread makes; that of typing is, which does no more than set attributes."""
    parents = {
        id(cls): cls
        for base in bases
        for cls in told(base, "__mro__")[:-1]
        if "__init_subclass__" in vars(cls) and cls.__module__ != "typing"
    }
    if not parents:
        yield
        return
    with _changing:
        usual = [(cls, vars(cls)["__init_subclass__"]) for cls in parents.values()]
        try:
            for cls, method in usual:
                of_c(type(cls), "__setattr__")(cls, "__init_subclass__", _only_elsewhere(method))
            yield
        finally:
            for cls, method in usual:
                of_c(type(cls), "__setattr__")(cls, "__init_subclass__", method)


def _only_elsewhere(method: Any) -> Any:
    here = threading.get_ident()
    return classmethod(lambda cls, **options: None if threading.get_ident() == here else method.__get__(None, cls)(**options))


_changing = threading.RLock()
os.register_at_fork(before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_changing.release)


def set_class(made: type, state: tuple[dict[str, Any], tuple[type, ...]]) -> None:
    """Its attributes, and no other that it came with before. The original is left as it is."""
    attributes, registered = state
    if _is_original(made):
        return
    attributes.setdefault("__module__", "__main__")
    _set_attributes(made, attributes, _gone(made, attributes.keys()))
    for subclass in registered:
        _abc._abc_register(made, subclass)  # noqa: SLF001 - a function without a public name


# By token: the attributes that a class came with. Those that tasks have added since are theirs.
_came: dict[bytes, tuple[Set[str], weakref.ref[type]]] = {}


def _gone(made: type, names: Set[str]) -> Set[str]:
    """The attributes of a class that it does not come with any more."""
    token = _identity.token_of(made)
    before, known = _came.get(token, ((), None))
    if known is None or known() is not made:
        before = {name for name, value in vars(made).items() if not is_layout(made, name, value)}
    _came[token] = frozenset(names), weakref.ref(made, lambda _: _came.pop(token, None))
    return frozenset(before) - names


def is_layout(cls: type, name: str, value: object) -> bool:
    """Whether an attribute of a class tells how its instances lie in memory, or is a cache: it cannot be set."""
    kind = type(value)
    if kind in (types.GetSetDescriptorType, types.MemberDescriptorType):
        return value.__objclass__ is cls  # type: ignore[attr-defined] # they have it
    return name in {"_abc_impl", "__slotnames__"} or (kind.__name__ == "CField" and kind.__module__ == "_ctypes")


def _set_attributes(made: type, attributes: dict[str, Any], gone: Set[str]) -> None:
    metaclass = type(made)
    put, remove = of_c(metaclass, "__setattr__"), of_c(metaclass, "__delattr__")
    [variables] = gc.get_referents(vars(made))
    for name in gone & variables.keys():
        if _is_guarded(metaclass, name):
            del variables[name]
        else:
            remove(made, name)
    for name, value in attributes.items():
        if name == "_fields_" and put is not type.__setattr__:  # of ctypes, which has more to do, and does it once
            if name not in variables:
                setattr(made, name, value)
        elif _is_guarded(metaclass, name):
            variables[name] = value
        else:
            put(made, name, value)
    # The interpreter keeps what it has looked up, and has not seen what was done to its dictionary.
    put(made, "__manyhands__", None)
    remove(made, "__manyhands__")


def _is_guarded(metaclass: type, name: str) -> bool:
    """Whether to set an attribute of a class means something else: ``__name__`` would name it, a metaclass may have a property."""
    if name == "__abstractmethods__":  # which means what it should
        return False
    for cls in told(metaclass, "__mro__"):
        if name in vars(cls):
            kind = type(vars(cls)[name])
            return hasattr(kind, "__set__") or hasattr(kind, "__delete__")
    return False


def set_enum(made: type, state: tuple[dict[str, Any], tuple[type, ...], dict[str, Any], list[tuple[Any, Any]]]) -> None:
    """The attributes of an enumeration, and what leads to its members: their names, their values."""
    attributes, registered, names, values = state
    if _is_original(made):
        return
    for table, entries in (("_member_map_", names), ("_value2member_map_", dict(values))):
        attributes[table] = entries | vars(made)[table]  # combinations of flags that tasks have made are theirs
    set_class(made, (attributes, registered))


def new_member(cls: Any, table: str, key: Any, args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """A member of an enumeration, with some of its attributes; the one that is here already if there is one."""
    made = vars(cls)[table].get(key) if table else None
    if _is_original(cls):
        return cls(key) if made is None else made  # a combination of flags
    if made is None:
        made = of_c(cls, "__new__")(cls, *args)
        init = of_c(cls, "__init__")
        if init is not vars(object)["__init__"]:
            init(made, *args)
        if table:
            vars(cls)[table][key] = made
    made.__dict__.update(attributes, __objclass__=cls)
    return made


def known_member(cls: type, name: str) -> Any:
    """A member of an enumeration that is complete here."""
    return vars(cls)["_member_map_"][name]


def set_member(made: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Its other attributes."""
    if not _is_original(type(made)):
        attributes, slots = state
        made.__dict__.update(attributes)
        for name, value in slots.items():
            own = (vars(cls).get(name) for cls in told(type(made), "__mro__"))
            next(found for found in own if type(found) is types.MemberDescriptorType).__set__(made, value)


def new_object(cls: type, *args: Any) -> Any:
    """An object without its attributes."""
    return cls.__new__(cls, *args)


def _is_original(made: object) -> bool:
    return _identity.is_from_here(_identity.token_of(made))


def type_of(name: str) -> Any:
    """A class of the interpreter's that only :mod:`types` has a name for."""
    return getattr(types, name)


def named_object(cls: type, token: bytes) -> Any:
    """An object that is known by its name in the program, without its contents."""
    found = _identity.known(token)
    if found is None:
        found = object.__new__(cls)
        _identity.keep(token, found)
    return found


def set_named_object(made: object, state: dict[str, Any]) -> None:
    """Its attributes."""
    if not _is_original(made):
        for name, value in state.items():
            object.__setattr__(made, name, value)


def type_parameter(kind: Callable[..., Any], name: str, constraints: tuple[Any, ...], options: dict[str, Any], token: bytes) -> Any:
    """A ``TypeVar``, ``ParamSpec`` or ``TypeVarTuple``."""
    found = _identity.known(token)
    if found is None:
        found = kind(name, *constraints, **options)
        _identity.keep(token, found)
    return found


def type_alias(kind: Callable[..., Any], name: str, value: Any, parameters: tuple[Any, ...], token: bytes) -> Any:
    """What a ``type`` statement makes."""
    found = _identity.known(token)
    if found is None:
        found = kind(name, value, type_params=parameters)
        _identity.keep(token, found)
    return found
