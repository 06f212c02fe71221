"""What was imported from a library before manyhands took its place goes on with what it had.

Its functions look up what they use in their module, at each call, where some of it is ours now; and pickle looks there for its classes.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set

_PREFIX = "_before_manyhands_"


def keep_names(module: types.ModuleType, names: Set[str]) -> Callable[[], None]:
    """Have the functions of a module that use these of its globals go on with what they are now; return what undoes that."""
    changed: list[tuple[types.FunctionType, types.CodeType]] = []
    for function in _functions(module):
        code = _with_own_names(function.__code__, names)
        if code is not function.__code__:
            changed.append((function, function.__code__))
            function.__code__ = code
    own = {_PREFIX + name: getattr(module, name) for name in names} if changed else {}
    vars(module).update(own)

    def undo() -> None:
        for function, code in changed:
            function.__code__ = code
        for name in own:
            delattr(module, name)

    return undo


def keep_seen(module: types.ModuleType, name: str, before: dict[str, Any]) -> Callable[[], None]:
    """Have a module go on to see another one, by its global ``name``, with what that has had ``before``; return what undoes that."""
    seen = getattr(module, name)
    setattr(module, name, _Before(seen, before))
    return lambda: setattr(module, name, seen)


class _Before:
    """A module as it was."""

    def __init__(self, module: types.ModuleType, before: dict[str, Any]) -> None:
        self.__module = module
        vars(self).update(before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__module, name)


def keep_findable(module: types.ModuleType, place: str, names: Set[str] | None = None) -> Callable[[], None]:
    """Have what a module defines (under these names) be found, by pickle, in a module ``place`` instead; return what undoes that."""
    values = [value for name, value in vars(module).items() if names is None or name in names]
    found = [value for value in values if getattr(value, "__module__", None) == module.__name__ and _is_definition(value)]
    for value in found:
        value.__module__ = place

    def undo() -> None:
        for value in found:
            value.__module__ = module.__name__

    return undo


def _is_definition(value: Any) -> bool:
    return isinstance(value, type | types.FunctionType)


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """Those that are defined in a module, or in its classes."""
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) == module.__name__ and _is_definition(value):
            for part in list(vars(value).values()) if isinstance(value, type) else [value]:
                function = getattr(part, "__func__", part)  # of static and class methods
                if isinstance(function, types.FunctionType) and function.__globals__ is vars(module):
                    yield function


def _with_own_names(code: types.CodeType, names: Set[str]) -> types.CodeType:
    """The same code, with other names for these."""
    inner = [_with_own_names(part, names) if isinstance(part, types.CodeType) else part for part in code.co_consts]
    own = _only_read(code, names) if not names.isdisjoint(code.co_names) else set()
    if not own and all(map(_is_same, inner, code.co_consts)):
        return code
    renamed = tuple([_PREFIX + name if name in own else name for name in code.co_names])
    return code.replace(co_names=renamed, co_consts=tuple(inner))


def _only_read(code: types.CodeType, names: Set[str]) -> set[str]:
    """Of these names, those that code reads as globals, and mentions as nothing else: as no attribute, and nothing to import."""
    import dis  # noqa: PLC0415 - 4 ms; only who puts manyhands in a library's place needs it

    uses = {(instruction.argval, instruction.opname) for instruction in dis.get_instructions(code) if instruction.opcode in dis.hasname}
    return {name for name, how in uses if name in names and how == "LOAD_GLOBAL"} - {name for name, how in uses if how != "LOAD_GLOBAL"}


def _is_same(one: object, other: object) -> bool:
    return one is other
