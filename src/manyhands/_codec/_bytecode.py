"""What code consists of: its instructions, and the names that it uses."""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Held = tuple[types.FunctionType, types.CodeType, Any, Any]

# By id; the code is kept, so that its id stays its own, and equal code of two functions is not compared byte by byte.
_used: dict[int, tuple[types.CodeType, frozenset[str], frozenset[str]]] = {}
_MOST = 5000


def global_names(code: types.CodeType) -> frozenset[str]:
    """The names of globals that code needs: not those that it only binds. Those of inner functions and classes included."""
    return _names_of(code)[1]


def bound_names(code: types.CodeType) -> frozenset[str]:
    """The names of globals that code binds, whether or not it needs them; as above."""
    return _names_of(code)[2]


def _names_of(code: types.CodeType) -> tuple[types.CodeType, frozenset[str], frozenset[str]]:
    known = _used.get(id(code))
    if known is None:
        if len(_used) >= _MOST:
            _used.clear()
        found = set(_walk(code))
        needed, bound = ([name for name, binds in found if binds is which] for which in (False, True))
        known = _used[id(code)] = code, frozenset(needed), frozenset(bound)
    return known


def held(function: types.FunctionType) -> Held:
    """What a function consists of now, for :func:`is_replaced`."""
    return function, function.__code__, function.__defaults__, function.__kwdefaults__


def is_replaced(functions: list[Held]) -> bool:
    """Whether any of them has got other code or defaults since."""
    for function, code, defaults, keyword_defaults in functions:
        if function.__code__ is not code or function.__defaults__ is not defaults or function.__kwdefaults__ is not keyword_defaults:
            return True
    return False


def defaults(function: types.FunctionType) -> list[tuple[str, Any]]:
    """The parameters of a function that need not be passed, and what they are then."""
    code, values = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount][-len(values) :] if values else ()
    return [*zip(positional, values, strict=False), *sorted((function.__kwdefaults__ or {}).items())]


def all_names(code: types.CodeType) -> frozenset[str]:
    """All names that code mentions: of globals, attributes and what it imports; inner functions included."""
    inner = (all_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(code.co_names).union(*inner)


def _walk(code: types.CodeType) -> Iterator[tuple[str, bool]]:
    """Names of globals, and whether they are bound there."""
    kinds = _opcodes()
    for operation, argument, _ in instructions(code):
        if operation in kinds.shifted:
            yield code.co_names[argument >> 1], False
        elif operation in kinds.needing:
            yield code.co_names[argument], False
        elif operation == kinds.store_global:
            yield code.co_names[argument], True
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _walk(constant)


def imports(code: types.CodeType) -> set[tuple[str, int, tuple[str, ...]]]:
    """What code imports when it runs, inner functions included: module, number of leading dots, names that are taken from it."""
    found = set()
    name_of_import = _opcodes().import_name
    before: list[Any] = [NONE, NONE]
    for operation, argument, constant in instructions(code):
        if operation == name_of_import:
            level, names = before
            found.add((code.co_names[argument], level if isinstance(level, int) else 0, names if isinstance(names, tuple) else ()))
        before = [before[1], argument if constant is NONE else constant]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= imports(constant)
    return found


def local_names(code: types.CodeType) -> list[str]:
    """The variables of a function and its closure, by the index that operations give."""
    return [*code.co_varnames, *(name for name in code.co_cellvars if name not in code.co_varnames), *code.co_freevars]


def units(code: types.CodeType) -> Iterator[tuple[int, int]]:
    """``(operation, argument)`` of each unit of code, caches and extensions of arguments included."""
    extend = _opcodes().extend
    extended = 0
    raw = code.co_code
    for position in range(0, len(raw), 2):
        operation = raw[position]
        argument = raw[position + 1] | extended
        extended = argument << 8 if operation == extend else 0
        yield operation, argument


def instructions(code: types.CodeType) -> Iterator[tuple[int, int, Any]]:
    """``(operation, argument, constant)`` of each instruction; with a constant its index, which docstrings shift, is not told.

    What only sets the docstring or line number of an inner class is left out.
    """
    kinds = _opcodes()
    pending: tuple[int, int, Any] | None = None
    for operation, argument in units(code):
        if operation == kinds.extend or operation == 0:  # CACHE
            continue
        is_noted = operation == kinds.store_name and code.co_names[argument] in _SAID_OF_CLASSES
        if pending is not None and not is_noted:
            yield pending
        pending = None
        if operation in kinds.constant:
            pending = operation, 0, code.co_consts[argument]
        elif not is_noted:
            yield operation, argument, NONE
    if pending is not None:
        yield pending


def names_used(code: types.CodeType) -> Iterator[str | None]:
    """For each unit of code, as ``co_positions`` counts them: the variable that it reads or binds, if any."""
    kinds = _opcodes()
    local = local_names(code)
    for operation, argument in units(code):
        names, index = code.co_names, argument
        if operation in kinds.shifted:
            index = argument >> 1
        elif operation in kinds.local:
            names = tuple(local)
        elif operation not in kinds.named:
            yield None
            continue
        yield names[index] if index < len(names) else None


class _Kinds:
    """The operations that say something about names."""

    __slots__ = (
        "constant",
        "extend",
        "import_name",
        "local",
        "named",
        "needing",
        "shifted",
        "store_global",
        "store_name",
    )

    def __init__(self) -> None:
        import opcode  # noqa: PLC0415 - 1 ms; most programs need it late or never

        numbers = opcode.opmap
        named = ("STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "STORE_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        self.shifted = frozenset({numbers["LOAD_GLOBAL"]})  # the argument is twice the index of a name
        self.named = frozenset(numbers[name] for name in named if name in numbers)  # the index of a name that may be a global
        # Of these, those that want it to be there. STORE_NAME binds a name of a class.
        self.needing = self.named - {numbers["STORE_GLOBAL"], numbers["STORE_NAME"]}
        self.store_global = numbers["STORE_GLOBAL"]
        self.constant = frozenset(opcode.hasconst)
        self.local = frozenset({*opcode.haslocal, *opcode.hasfree})  # the index of a variable of the function or its closure
        self.store_name = numbers["STORE_NAME"]
        self.import_name = numbers["IMPORT_NAME"]
        self.extend = opcode.EXTENDED_ARG


def _opcodes() -> _Kinds:
    if not _kinds:
        _kinds.append(_Kinds())
    return _kinds[0]


NONE = object()  # where there is no constant
_kinds: list[_Kinds] = []
_SAID_OF_CLASSES = frozenset({"__doc__", "__firstlineno__"})
