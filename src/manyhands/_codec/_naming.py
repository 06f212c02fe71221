"""Names: what a module has under a name, and which globals code uses."""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Code by its id, so that equal code of different functions is not compared byte by byte; the code is kept, so that its id stays its own.
_used: dict[int, tuple[types.CodeType, frozenset[str]]] = {}
_MOST = 5000


def found_by_name(obj: object) -> bool:
    """Whether a function or class is what its module has under its qualified name. Never so for ``__main__``: a worker's is another."""
    name = getattr(obj, "__module__", None)
    if name == "__main__" or not isinstance(name, str):
        return False
    found: object = sys.modules.get(name)
    if found is None:
        return False
    try:
        for step in obj.__qualname__.split("."):  # type: ignore[attr-defined] # functions and classes have one
            found = getattr(found, step)
    except AttributeError:
        return False
    return found is obj


def global_names(code: types.CodeType) -> frozenset[str]:
    """The names of globals that code reads or binds, that of inner functions and classes included."""
    known = _used.get(id(code))
    if known is None:
        if len(_used) >= _MOST:
            _used.clear()
        known = _used[id(code)] = code, frozenset(_walk(code))
    return known[1]


def _walk(code: types.CodeType) -> Iterator[str]:
    names, extended = code.co_names, 0
    instructions = code.co_code
    shifted, plain, extend = _opcodes()
    for position in range(0, len(instructions), 2):
        operation = instructions[position]
        argument = instructions[position + 1] | extended
        extended = argument << 8 if operation == extend else 0
        if operation in shifted:
            yield names[argument >> 1]
        elif operation in plain:
            yield names[argument]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _walk(constant)


def _opcodes() -> tuple[frozenset[int], frozenset[int], int]:
    """Those whose argument is twice the index of a global's name, those whose argument is the index, and EXTENDED_ARG."""
    if not _numbers:
        import opcode  # noqa: PLC0415 - 1 ms; most programs need it late or never

        numbers = opcode.opmap
        plain = ("STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "STORE_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        _numbers.append(
            (frozenset({numbers["LOAD_GLOBAL"]}), frozenset(numbers[name] for name in plain if name in numbers), opcode.EXTENDED_ARG)
        )
    return _numbers[0]


_numbers: list[tuple[frozenset[int], frozenset[int], int]] = []
