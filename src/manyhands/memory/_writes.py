"""Variables that code only changes, and gets nothing from: ``calls.append(x)``, ``seen[x] = 1``, ``count += 1``.

What such a variable holds has no part in the result. Byte code shows it: from where the variable is loaded, its value is followed over the
stack, as far as there is no jump, to what takes it. Whatever is not one of these forms is taken for reading.
"""

from __future__ import annotations

import types
from typing import Any, NamedTuple

from manyhands._codec import _bytecode

# A method of these that is called for nothing but its effect; what the program's own class would do there, nobody knows.
_CHANGING = frozenset(
    {"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "discard", "remove", "clear", "setdefault", "subtract"}
)
_PLAIN = frozenset(
    {
        *(("builtins", name) for name in ("bool", "int", "float", "complex", "str", "bytes", "tuple", "list", "dict", "set", "bytearray")),
        *(("collections", name) for name in ("deque", "Counter", "OrderedDict", "defaultdict")),
        ("numpy", "ndarray"),
    }
)
_ALL_NAMES = frozenset({"locals", "globals", "vars", "eval", "exec", "dir"})  # these read whatever there is


# What puts a value on the stack, and touches none that is there.
_PUSHING = ("LOAD_FAST", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_SMALL_INT", "PUSH_NULL")
_OF_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL"})
_OF_CLOSURE = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "DELETE_DEREF"})


class Uses(NamedTuple):
    """Names of variables that code has from outside, inner functions included: those it reads, and those it only changes."""

    read: frozenset[str]
    changed: frozenset[str]

    def counts(self, name: str, value: Any) -> bool:
        """Whether a variable can have a part in what the code gives."""
        return name in self.read or (name in self.changed and not _is_plain(value))


def of_globals(code: types.CodeType) -> Uses:
    """What code does with the globals that it names."""
    return _uses(code, _OF_GLOBALS, _bytecode.global_names(code))


def of_closure(code: types.CodeType) -> Uses:
    """What code does with the variables of the functions around it."""
    return _uses(code, _OF_CLOSURE, frozenset(code.co_freevars))


def _is_plain(value: Any) -> bool:
    """Whether to change an object runs no code of the program."""
    kind = type(value)
    return (kind.__module__, kind.__qualname__) in _PLAIN


def _uses(code: types.CodeType, loads: frozenset[str], names: frozenset[str]) -> Uses:
    if not _ALL_NAMES.isdisjoint(_bytecode.all_names(code)):
        return Uses(names, frozenset())
    changed: dict[str, bool] = {}
    for name, changes in _found(code, loads):
        changed[name] = changes and changed.get(name, True)
    return Uses(
        frozenset(name for name in names if changed.get(name) is False),
        frozenset(name for name in names if changed.get(name)),
    )


def _found(code: types.CodeType, loads: frozenset[str]) -> list[tuple[str, bool]]:
    """Of each place where a variable is loaded: its name, and whether it is only changed there."""
    steps = _steps(code)
    found = [(step.name, _is_change(steps, index)) for index, step in enumerate(steps) if step.operation in loads]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += _found(constant, loads)
    return found


# ---------------------------------------------------------------- the way of one value over the stack


def _is_change(steps: list[_Step], start: int) -> bool:
    """Whether what is loaded at ``start`` is changed, and nothing else comes of it."""
    if steps[start].effect != 1:  # it is loaded to be called
        return False
    first = start + 1
    if _are(steps, first, "LOAD_METHOD") or _are(steps, first, "LOAD_ATTR"):
        return steps[first].effect == 1 and steps[first].name in _CHANGING and _is_called_for_nothing(steps, first + 1)
    end = _after_operand(steps, first, 1)
    if end is None:
        return False
    if _are(steps, end, "BINARY_OP"):  # variable += operand
        return steps[end + 1].operation in {"STORE_GLOBAL", "STORE_DEREF"} and steps[end + 1].name == steps[start].name
    if _are(steps, end, "COPY", "COPY"):  # variable[key] += operand
        end = _after_operand(steps, end + 3, 3) if _are(steps, end + 2, "BINARY_SUBSCR") else None
        return end is not None and _are(steps, end, "BINARY_OP", "SWAP", "SWAP", "STORE_SUBSCR")
    return _are(steps, end, "STORE_SUBSCR")


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
        if height == below + 1 and step.operation in {"BINARY_OP", "STORE_SUBSCR"}:
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
    if operation == "LOAD_METHOD":  # Python 3.11
        return code.co_names[argument]
    return code.co_names[argument >> 1] if operation == "LOAD_ATTR" else ""


def _effect(operation: int, argument: int) -> int:
    import opcode  # noqa: PLC0415 - as above

    return opcode.stack_effect(operation, argument if operation >= opcode.HAVE_ARGUMENT else None, jump=False)


_END = _Step("", 0, "", 0, jumps=True)


def _are(steps: list[_Step], index: int, *operations: str) -> bool:
    return [step.operation for step in steps[index : index + len(operations)]] == [*operations]
