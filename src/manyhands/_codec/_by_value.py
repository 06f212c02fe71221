"""Functions and modules that no worker would find under their names: what they consist of, for ``_making.py`` to put together.

Done as cloudpickle_ does it in principle. What differs: code travels as :mod:`marshal` writes it; functions of an importable module get its
globals rather than copies of some. For classes see ``_classes.py``.

.. _cloudpickle: https://github.com/cloudpipe/cloudpickle
"""

from __future__ import annotations

import marshal
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode, _identity, _making, _naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._codec._code_walk import ModuleUse, Names
    from manyhands._codec._pickling import Encoder

    Reduced = tuple[Any, ...]

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_DUNDERS = frozenset({"__name__", "__file__", "__doc__", "__package__", "__debug__"})


class Namespace:
    """The globals of functions that travel together: they have them in common on the other side as well."""

    def __init__(self, variables: dict[str, Any], *, light: bool = False, over: bool = False) -> None:
        name = variables.get("__name__")
        self.name: str | None = name if isinstance(name, str) else None
        self.is_main = variables is sys.modules["__main__"].__dict__
        module = None if light or self.name is None or self.is_main else sys.modules.get(self.name)
        self.is_module = module is not None and module.__dict__ is variables and not _naming.is_makeshift(module.__name__)
        self.is_over = self.is_module and over and _naming.is_project(self.name)  # what is sent takes precedence over what is there


def namespace(_: Encoder, value: Namespace) -> Reduced:
    """The globals of functions."""
    if value.is_main:
        return _making.main_namespace, ()
    if value.is_over:
        return _making.overlay, (value.name,)
    if value.is_module:
        return _making.module_namespace, (value.name,)
    return _making.namespace, (_unmain(value.name),)


def _unmain(name: str | None) -> str | None:
    """What names ``__main__`` in a pickle is looked at twice, so it stands there only where it must."""
    return "" if name == "__main__" else name


# ------------------------------------------------------------ functions


def function(encoder: Encoder, fn: types.FunctionType) -> Reduced:
    """A function with its code, closure and defaults, and with the globals that it uses."""
    code = fn.__code__
    where = encoder.namespace(fn.__globals__)
    names = _bytecode.global_names(code)
    used = {name: fn.__globals__[name] for name in names if name in fn.__globals__}
    if where.is_main and not encoder.own.isdisjoint(used):
        used = {name: value for name, value in used.items() if name not in encoder.own or _packed_or_none(value) is not None}
    if where.is_module and not where.is_over and not _bytecode.bound_names(code) and _needs_no_module(names, used):
        where = encoder.namespace(fn.__globals__, light=True)
    state: tuple[Any, ...]
    if where.is_over:
        sent, spare = split(encoder, used, names, code)
        state = (sent, _attributes(fn, where), fn.__dict__, (), spare)
        return _making.function, (code, where, fn.__closure__), state, None, None, _making.set_function_over
    if not where.is_module:
        submodules = tuple(_submodules(code, used))
        state = (_with_uses(encoder, used, code), _attributes(fn, where), fn.__dict__, submodules)
        return _making.function, (code, where, fn.__closure__), state, None, None, _making.set_function
    state = ({}, _attributes(fn, where), fn.__dict__, ())
    if encoder.on_stale is None or not _naming.is_project(where.name):
        return _making.function, (code, where, fn.__closure__), state, None, None, _making.set_function
    from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

    digest = _definitions.globals_digest(fn.__globals__, code)
    made = (code, where.name, digest, encoder.on_stale == "raise", fn.__closure__)
    return _making.inner_function, made, state, None, None, _making.set_function


def _with_uses(encoder: Encoder, used: dict[str, Any], code: types.CodeType) -> dict[str, Any]:
    """Globals, with modules of the project as what ``code`` uses of them, so that the receiver can compare."""
    found = [name for name, value in used.items() if type(value) is types.ModuleType and _naming.is_project(value.__name__)]
    if not found or encoder.on_stale is None:
        return used
    from manyhands._codec._code_walk import ModuleUse  # noqa: PLC0415 - not for programs of one file

    return used | {name: ModuleUse(used[name], code) for name in found if sys.modules.get(used[name].__name__) is used[name]}


class ModuleOver:
    """A module of the project, of which what ``code`` uses is put over what the receiver has."""

    def __init__(self, module: types.ModuleType, code: types.CodeType) -> None:
        self.module = module
        self.code = code


def module_over(encoder: Encoder, value: ModuleOver) -> Reduced:
    """For the pickler."""
    variables = vars(value.module)
    mentioned = _bytecode.all_names(value.code)
    used = {name: variables[name] for name in mentioned if name in variables}
    state = split(encoder, used, frozenset(used), value.code)
    return _making.module_of, (encoder.namespace(variables),), state, None, None, _making.set_module_over


def module_use(encoder: Encoder, value: ModuleUse) -> Reduced:
    """What a function that travels by value uses of a module."""
    if encoder.stale:
        return module_over(encoder, encoder.module_over(value.module, value.code))
    from manyhands._codec import _definitions  # noqa: PLC0415 - as above

    return _definitions.module_reference(encoder, value)  # type: ignore[no-any-return]


def names(encoder: Encoder, value: Names) -> Reduced:
    """What an inner function gets from its module."""
    wanted = _bytecode.global_names(value.code)
    used = {name: value.variables[name] for name in wanted if name in value.variables}
    return _making.put_over, (encoder.namespace(value.variables), *split(encoder, used, wanted, value.code))


def split(
    encoder: Encoder, used: dict[str, Any], names: frozenset[str], code: types.CodeType
) -> tuple[dict[str, Any], dict[str, bytes | str | None]]:
    """Of globals, those that are code or constants; and the others, pickled: the receiver may have them, in a state of its own.

    None is for those of ``names`` that are not there at all; a class, by its name, for constants that cannot be sent.
    """
    from manyhands._codec import _code_walk  # noqa: PLC0415 - who gets here pays for more

    sent: dict[str, Any] = {}
    spare: dict[str, bytes | str | None] = dict.fromkeys(names - used.keys())
    for name, value in used.items():
        if isinstance(value, types.ModuleType):
            sent[name] = encoder.module_over(value, code) if _naming.is_project(value.__name__) else value
        elif type(value) in _ATOMS or isinstance(value, types.FunctionType | type) or _identity.shared(value):
            sent[name] = value
        elif (packed := _packed_or_none(value)) is None:
            if _code_walk.counts(name, value):
                spare[name] = f"{type(value).__module__}.{type(value).__qualname__}"
        elif _code_walk.counts(name, value):
            sent[name] = value
        else:
            spare[name] = packed
    return sent, spare


def _packed_or_none(value: object) -> bytes | None:
    from manyhands import errors  # noqa: PLC0415 - as above
    from manyhands._codec import _pickling  # noqa: PLC0415 - as above

    try:
        return _pickling.encode_whole(value)
    except errors.NotSerializable:
        return None


def _needs_no_module(names: frozenset[str], used: dict[str, Any]) -> bool:
    """Whether a function uses of its module what it has imported at most: then a worker need not import the module for it."""
    builtins = sys.modules["builtins"].__dict__
    found = all(isinstance(value, types.ModuleType) or name in _DUNDERS for name, value in used.items())
    return found and all(name in used or name in builtins for name in names)


def _attributes(fn: types.FunctionType, where: Namespace) -> dict[str, Any]:
    """What differs from what a function has that is made of the code alone."""
    attributes: dict[str, Any] = {}
    if fn.__module__ != where.name:
        attributes["__module__"] = _unmain(fn.__module__)
    code = fn.__code__
    if fn.__name__ != code.co_name:
        attributes["__name__"] = fn.__name__
    if fn.__qualname__ != code.co_qualname:
        attributes["__qualname__"] = fn.__qualname__
    if fn.__doc__ is not None and not (code.co_consts and code.co_consts[0] is fn.__doc__):
        attributes["__doc__"] = fn.__doc__
    for name in ("__defaults__", "__kwdefaults__", "__annotations__", "__type_params__"):
        value = getattr(fn, name, None)
        if value:
            attributes[name] = value
    return attributes


def _submodules(code: types.CodeType, used: dict[str, Any]) -> Iterator[str]:
    """Of packages among the globals, those modules that the code reaches through them: ``xml.sax.handler`` for ``xml``."""
    packages = [value.__name__ for value in used.values() if isinstance(value, types.ModuleType) and hasattr(value, "__path__")]
    if not packages:
        return
    mentioned = _bytecode.all_names(code)
    for name in list(sys.modules):
        for package in packages:
            if name.startswith(package + ".") and mentioned.issuperset(name[len(package) + 1 :].split(".")):
                yield name


_packed: dict[int, tuple[types.CodeType, bytes]] = {}
_MOST = 2000


def code(_: Encoder, value: types.CodeType) -> Reduced:
    """Code, as ``marshal`` writes it. Kept, since it writes the same code in different ways, depending on who else refers to its parts."""
    known = _packed.get(id(value))
    if known is not None:
        return _making.code, (known[1],)
    try:
        packed = marshal.dumps(value)
    except ValueError:  # constants that no compiler makes
        return _making.code, (marshal.dumps(value.replace(co_consts=())), value.co_consts)
    if len(_packed) >= _MOST:
        _packed.clear()
    _packed[id(value)] = value, packed
    return _making.code, (packed,)


def cell(_: Encoder, value: types.CellType) -> Reduced:
    """A variable of a closure, which several functions may have in common."""
    try:
        contents = value.cell_contents
    except ValueError:  # it is empty
        return types.CellType, ()
    return types.CellType, (), (contents,), None, None, _making.fill


def method(_: Encoder, value: types.MethodType) -> Any:
    """A bound method; by its name, which is the default, where that leads to the same function."""
    owner, fn = value.__self__, value.__func__
    name: Any = getattr(fn, "__name__", None)
    parents = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
    found = next((vars(parent)[name] for parent in parents if name in vars(parent)), None)
    if getattr(found, "__func__", found) is fn and not _is_hidden(owner, name):
        return NotImplemented
    return types.MethodType, (fn, owner)


def _is_hidden(owner: object, name: str) -> bool:
    """Whether an object has something of its own where its class has a method, or may say so."""
    if isinstance(owner, type):
        return False
    for parent in type(owner).__mro__:
        if isinstance(vars(parent).get("__getattribute__"), types.FunctionType):
            return True
        own = vars(parent).get("__dict__")
        if type(own) is types.GetSetDescriptorType and name in own.__get__(owner):
            return True
    return False


# ------------------------------------------------------------ what else has a name


def module(_: Encoder, value: types.ModuleType) -> Reduced:
    """A module by its name; one that was made by hand with its contents."""
    if value is sys.modules["__main__"]:
        return _making.main_module, ()
    if sys.modules.get(value.__name__) is value and not _naming.is_makeshift(value.__name__):
        return _making.module, (value.__name__,)
    contents = {name: held for name, held in vars(value).items() if name not in {"__builtins__", "__loader__", "__spec__"}}
    return _making.new_module, (value.__name__, _identity.token_of(value)), contents, None, None, _making.set_module


def type_parameter(_: Encoder, value: Any) -> Any:
    """A ``TypeVar`` and its like."""
    if getattr(sys.modules.get(value.__module__), value.__name__, None) is value and value.__module__ != "__main__":
        return NotImplemented
    options = {
        option: getattr(value, f"__{option}__") for option in ("bound", "covariant", "contravariant") if hasattr(value, f"__{option}__")
    }
    if getattr(value, "__infer_variance__", False):
        options = {"bound": value.__bound__, "infer_variance": True}
    if hasattr(value, "has_default") and value.has_default():
        options["default"] = value.__default__
    constraints = getattr(value, "__constraints__", ())
    token = _identity.token_of(value)
    return _making.type_parameter, (type(value), value.__name__, constraints, options, token)


def type_alias(_: Encoder, value: Any) -> Any:
    """What a ``type`` statement has made."""
    if getattr(sys.modules.get(value.__module__), value.__name__, None) is value and value.__module__ != "__main__":
        return NotImplemented
    made = type(value), value.__name__, value.__value__, value.__type_params__, _identity.token_of(value)
    return _making.type_alias, made


def named_object(value: Any) -> Reduced:
    """An object that wants to be pickled as a name of the program: a sentinel, a ``NewType``."""
    state = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"} and hasattr(value, name):
                state[name] = getattr(value, name)
    return _making.named_object, (type(value), _identity.token_of(value)), state, None, None, _making.set_named_object
