"""What travels by value is made of these calls, in the process that receives it. See ``_by_value.py`` for the other side.

Functions and classes may refer to themselves and one another, so each is made without its contents, which are set once all are there.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import pickle
import sys
import threading
import types

from manyhands._codec import _identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_ONCE = frozenset({"__slots__", "__orig_bases__", "__module__", "__qualname__", "__match_args__"})  # of a class, when it is made
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


def set_module_over(made: types.ModuleType, state: tuple[dict[str, Any], dict[str, bytes | None]]) -> None:
    """What is sent over what is there."""
    put_over(made.__dict__, *state)


def put_over(made: dict[str, Any], variables: dict[str, Any], spare: dict[str, bytes | None]) -> dict[str, Any]:
    """What is sent over what is there; ``spare`` is for what is not there; None: it is not to be there."""
    made.update(variables)
    for name, packed in spare.items():
        if packed is None:
            made.pop(name, None)
        elif name not in made:
            made[name] = pickle.loads(packed)
    return made


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
    made: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...], dict[str, bytes | None]]
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


@contextlib.contextmanager
def _quiet(bases: tuple[type, ...]) -> Iterator[None]:
    """``__init_subclass__`` is not called: it was, when the class was defined; here it would see an empty one."""
    owner = next(
        (cls for base in bases for cls in base.__mro__[:-1] if "__init_subclass__" in vars(cls) and cls.__module__ != "typing"), None
    )
    if owner is None:
        yield
        return
    with _changing:
        usual = vars(owner)["__init_subclass__"]
        type.__setattr__(owner, "__init_subclass__", classmethod(lambda cls, **_: None))
        try:
            yield
        finally:
            type.__setattr__(owner, "__init_subclass__", usual)


_changing = threading.Lock()


def new_class(metaclass: type, name: str, bases: tuple[type, ...], basic: dict[str, Any], token: bytes) -> type:
    """A class with nothing but what must be there when it is made; the one that is here already if it came before."""
    found: type | None = _identity.known(token)
    if found is not None:
        if not _is_original(found):
            for key in basic.keys() - _ONCE:
                type.__setattr__(found, key, basic[key])
        return found
    basic.setdefault("__module__", "__main__")

    def fill_in(variables: dict[str, Any]) -> None:
        variables.update(basic)

    with _quiet(bases):
        made = types.new_class(name, bases, {"metaclass": metaclass}, fill_in)
    _identity.keep(token, made)
    return made


def new_enum(
    metaclass: Any,
    name: str,
    bases: tuple[type, ...],
    basic: dict[str, Any],
    members: list[tuple[str, Any, dict[str, Any]]],
    options: dict[str, Any],
    token: bytes,
) -> type:
    """An enumeration with its members."""
    found = _identity.known(token)
    if found is not None:
        return found  # type: ignore[no-any-return]
    basic.setdefault("__module__", "__main__")
    variables = metaclass.__prepare__(name, bases)
    for key, value in basic.items():
        variables[key] = value
    for member, value, _ in members:
        variables[member] = value
    made: Any = metaclass.__new__(metaclass, name, bases, variables, **options)
    for member, _, state in members:
        made.__members__[member].__dict__.update(state)
    _identity.keep(token, made)
    return made  # type: ignore[no-any-return]


def new_typed_dict(name: str, basic: dict[str, Any], fields: dict[str, Any], extra: dict[str, Any], token: bytes) -> type:
    """A ``typing.TypedDict``, which cannot be made as other classes are."""
    found: type | None = _identity.known(token)
    if found is None:
        import typing  # noqa: PLC0415 - only for who has used it

        make: Any = typing.TypedDict
        found = make(name, fields)
        assert found is not None
        for key, value in (*basic.items(), *extra.items()):
            type.__setattr__(found, key, value)
        _identity.keep(token, found)
    return found


def set_class(made: type, state: tuple[dict[str, Any], Any]) -> None:
    """Its attributes. The original is left as it is."""
    attributes, registered = state
    if _is_original(made):
        return
    for name, value in attributes.items():
        # Not setattr(): a metaclass has had its say when the class was defined.
        type.__setattr__(made, name, value)
    for subclass in registered:
        made.register(subclass)  # type: ignore[attr-defined] # of abc.ABCMeta


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
