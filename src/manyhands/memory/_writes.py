"""Variables that code only changes, and gets nothing from: ``calls.append(x)``, ``seen[x] = 1``, ``count += 1``.

What such a variable holds has no part in the result. Byte code shows it: from where the variable is loaded, its value is followed over the
stack, as far as there is no jump, to what takes it. Whatever is not one of these forms is taken for reading.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._codec import _bytecode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What is called for nothing but its effect, and takes effect whatever there is before. In these classes alone: what the program's own class
# would do there, nobody knows.
_CHANGING = frozenset({"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "discard", "clear", "setdefault"})
# What changes a state, besides: with what success, or which result, is a matter of what there was.
_CHANGING_ANYHOW = _CHANGING | {"remove", "pop", "popleft", "popitem", "subtract", "move_to_end", "sort", "reverse", "rotate"}
_TABLES = frozenset({("builtins", "dict"), *(("collections", name) for name in ("OrderedDict", "defaultdict", "Counter"))})
_COUNTERS = frozenset({("collections", "defaultdict"), ("collections", "Counter")})
_SEVERAL = _TABLES | {("builtins", "list"), ("builtins", "set"), ("builtins", "bytearray"), ("collections", "deque")}
_SCALARS = frozenset(("builtins", name) for name in ("bool", "int", "float", "complex", "str", "bytes"))
_Kinds = frozenset[tuple[str, str]]
_READ: _Kinds = frozenset()  # in no class is it a mere change
_MADE_ANEW = frozenset({"__init__", "__new__", "__set_name__", "__setstate__", "__post_init__"})
_ALL_NAMES = frozenset({"locals", "globals", "vars", "eval", "exec", "dir"})  # these read whatever there is


# What puts a value on the stack, and touches none that is there.
_PUSHING = ("LOAD_FAST", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_SMALL_INT", "PUSH_NULL")
_OF_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL"})
_OF_OBJECTS = frozenset({"LOAD_ATTR"})
_OF_CLOSURE = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "DELETE_DEREF"})


class Uses(NamedTuple):
    """Names of variables that code has from outside, inner functions included, and does nothing but change: if they are of these classes.

    None: of whichever class, for nobody looks.
    """

    changed: dict[str, _Kinds | None]

    def counts(self, name: str, value: Any) -> bool:
        """Whether a variable can have a part in what the code gives."""
        kind = type(value)
        kinds = self.changed.get(name, _READ)
        return kinds is not None and (kind.__module__, kind.__qualname__) not in kinds


def of_globals(code: types.CodeType) -> Uses:
    """What code does with the globals that it names."""
    return _uses(code, _OF_GLOBALS, ())


def of_closure(code: types.CodeType) -> Uses:
    """What code does with the variables of the functions around it."""
    return _uses(code, _OF_CLOSURE, code.co_freevars)


def changed_in_closure(code: types.CodeType) -> frozenset[str]:
    """Variables of the functions around code that hold a state: somewhere, it changes what is in them."""
    return frozenset(_touched(code, _OF_CLOSURE))


@functools.lru_cache(1000)
def changed_by_methods(cls: type) -> frozenset[str]:
    """Attributes that hold a state of an object: a method sets them, or changes what is in them, once it has been made."""
    found: set[str] = set()
    for base in cls.__mro__:
        for name, method in [*vars(base).items()]:
            if isinstance(method, types.FunctionType) and name not in _MADE_ANEW:
                found |= _set_as_attributes(method.__code__) | _touched(method.__code__, _OF_OBJECTS)
    return frozenset(found)


def _uses(code: types.CodeType, loads: frozenset[str], names: Iterable[str]) -> Uses:
    if not _ALL_NAMES.isdisjoint(_bytecode.all_names(code)):
        return Uses({})
    changed: dict[str, _Kinds | None] = dict.fromkeys(names)
    for steps in _all_steps(code):
        for index, step in enumerate(steps):
            if step.operation in loads:
                kinds, before = _of_change(steps, index), changed.get(step.name)
                changed[step.name] = kinds if before is None else kinds & before
    return Uses(changed)


def _touched(code: types.CodeType, loads: frozenset[str]) -> set[str]:
    return {
        step.name for steps in _all_steps(code) for index, step in enumerate(steps) if step.operation in loads and _is_touched(steps, index)
    }


def _set_as_attributes(code: types.CodeType) -> set[str]:
    return {step.name for steps in _all_steps(code) for step in steps if step.operation in {"STORE_ATTR", "DELETE_ATTR"}}


def _all_steps(code: types.CodeType) -> Iterator[list[_Step]]:
    yield _steps(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_steps(constant)


# ---------------------------------------------------------------- the way of one value over the stack


def _of_change(steps: list[_Step], start: int) -> _Kinds:
    """Of which classes what is loaded at ``start`` has to be for nothing to come of it but a change."""
    if steps[start].effect != 1:  # it is loaded to be called
        return _READ
    first = start + 1
    if _are(steps, first, "LOAD_METHOD") or _are(steps, first, "LOAD_ATTR"):
        is_change = steps[first].effect == 1 and steps[first].name in _CHANGING and _is_called_for_nothing(steps, first + 1)
        return _READ if not is_change else _SEVERAL - {("collections", "deque")} if steps[first].name == "insert" else _SEVERAL
    end = _after_operand(steps, first, 1)
    if end is None:
        return _READ
    if _are(steps, end, "BINARY_OP"):  # variable += operand
        is_change = steps[end + 1].operation in {"STORE_GLOBAL", "STORE_DEREF"} and steps[end + 1].name == steps[start].name
        return _SCALARS if is_change else _READ
    if _are(steps, end, "COPY", "COPY"):  # variable[key] += operand
        end = _after_operand(steps, end + 3, 3) if _are(steps, end + 2, "BINARY_SUBSCR") else None
        return _COUNTERS if end is not None and _are(steps, end, "BINARY_OP", "SWAP", "SWAP", "STORE_SUBSCR") else _READ
    return _TABLES if _are(steps, end, "STORE_SUBSCR") else _READ


def _is_touched(steps: list[_Step], start: int) -> bool:
    """Whether what is in a variable is changed at a place, whatever else comes of it there."""
    first = start + 1
    if _are(steps, first, "LOAD_METHOD") or _are(steps, first, "LOAD_ATTR"):
        return steps[first].name in _CHANGING_ANYHOW
    end = _after_operand(steps, first, 1)
    return end is not None and (_are(steps, end, "STORE_SUBSCR") or _are(steps, end, "DELETE_SUBSCR") or _are(steps, end, "COPY", "COPY"))


def _is_called_for_nothing(steps: list[_Step], index: int) -> bool:
    """Whether the result of a method is thrown away. It and its object are on the stack; the arguments follow."""
    height = 2
    while height > 1:
        if steps[index].jumps:
            return False
        height += steps[index].effect
        index += 1
    return height == 1 and _are(steps, index, "POP_TOP")


def _after_operand(steps: list[_Step], index: int, below: int) -> int | None:
    """The step that takes one more value and those ``below`` it, if nothing else has touched these before."""
    height = below
    if not steps[index].operation.startswith(_PUSHING):
        return None
    while True:
        step = steps[index]
        if height == below + 1 and step.operation in {"BINARY_OP", "STORE_SUBSCR", "DELETE_SUBSCR"}:
            return index
        if step.operation in {"COPY", "SWAP"} and step.argument > height - below:
            return index
        height += step.effect
        if step.jumps or height <= below:
            return None
        index += 1


class _Step(NamedTuple):
    operation: str
    argument: int
    name: str  # of the variable or attribute, if any
    effect: int  # how much higher the stack is after it
    jumps: bool


def _steps(code: types.CodeType) -> list[_Step]:
    import opcode  # noqa: PLC0415 - 1 ms; programs without a cache need none

    leaping = frozenset({*opcode.hasjrel, *opcode.hasjabs})
    steps = []
    for (operation, argument), variable in zip(_bytecode.units(code), _bytecode.names_used(code), strict=True):
        if operation in {0, opcode.EXTENDED_ARG}:  # 0: CACHE
            continue
        said = opcode.opname[operation]
        name = _name_of_method(code, said, argument) if variable is None else variable
        steps.append(_Step(said, argument, name, _effect(operation, argument), operation in leaping))
    return [*steps, _END]


def _name_of_method(code: types.CodeType, operation: str, argument: int) -> str:
    if operation in {"LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"} or (operation == "LOAD_ATTR" and sys.version_info < (3, 12)):
        return code.co_names[argument]
    return code.co_names[argument >> 1] if operation == "LOAD_ATTR" else ""


def _effect(operation: int, argument: int) -> int:
    import opcode  # noqa: PLC0415 - as above

    return opcode.stack_effect(operation, argument if operation >= opcode.HAVE_ARGUMENT else None, jump=False)


_END = _Step("", 0, "", 0, jumps=True)


def _are(steps: list[_Step], index: int, *operations: str) -> bool:
    return [step.operation for step in steps[index : index + len(operations)]] == [*operations]
