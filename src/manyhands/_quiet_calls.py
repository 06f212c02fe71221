"""Whether calls can be read without running any code of the user's: then nobody changes an argument while the next call is read.

So it is for lists, and for generator expressions like ``delayed(f)(a, i) for i in range(n)``: over what is there beforehand, with a body
that does nothing but load names and constants, call :func:`~manyhands.delayed` and what that returns, and build tuples. It is read
off the bytecode, of CPython 3.11 to 3.13, by going through it once with marks in place of values. What is not known is not quiet.
"""

from __future__ import annotations

import opcode
from types import CodeType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Mark = object

_ARRAYS_OF_ITEMS: Final[frozenset[type]] = frozenset({type(iter([])), type(iter(()))})
_DICT_ITEMS: Final[type] = type(iter({}.items()))
_PLAIN_ITERATORS: Final[frozenset[type]] = frozenset(
    {
        type(iter(range(0))),
        type(iter(range(1 << 80))),
        type(iter("")),
        type(iter("\u0100")),
        type(iter(b"")),
        type(iter({})),
        type(iter({}.values())),
    }
)
_ROWS: Final = frozenset({tuple, list})

# Besides those that have a method. Before the body and in it:
_IDLE: Final = frozenset({"CACHE", "NOP", "RESUME", "COPY_FREE_VARS", "RETURN_GENERATOR", "PRECALL", "EXTENDED_ARG"})
# Behind it: nothing there runs code of the user's, or it is not reached.
_AFTER: Final = frozenset(
    {"CACHE", "NOP", "END_FOR", "POP_TOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "CALL_INTRINSIC_1", "RERAISE", "EXTENDED_ARG"}
)


class _Null:
    """What is beside a function on the stack."""


class _Any:
    """Any object."""


class _Constant:
    """A number, text, or a tuple of such."""


class _Row:
    """A tuple that Python has made."""

    def __init__(self, parts: list[Mark]) -> None:
        self.parts = parts


class _Items:
    """An item of a list or a tuple."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator


class _Object:
    """What a name stands for."""

    def __init__(self, value: object) -> None:
        self.value = value


class _Table:
    """A dictionary that the expression has made."""


class _Call:
    """A call, noted."""


class _Noting:
    """What ``delayed`` returns."""


class _NotQuiet(Exception):
    pass


NULL, ANY, CONSTANT, NOTING, CALL, TABLE = _Null(), _Any(), _Constant(), _Noting(), _Call(), _Table()


def is_quiet(iterable: object, delayed: object, kind: type) -> bool:
    """Whether iterating runs no code of the user's. ``delayed`` is what notes calls, ``kind`` the type of what it returns."""
    if type(iterable) in _ROWS:
        return all(map(_is_call, iterable))  # type: ignore[call-overload]
    if type(iterable) is not GeneratorType:
        return False
    frame, code = iterable.gi_frame, iterable.gi_code
    if frame is None or iterable.gi_running or iterable.gi_suspended:
        return False
    if code.co_name != "<genexpr>" or code.co_varnames[:1] != (".0",) or code.co_argcount != 1:
        return False
    try:
        _Reading(code, frame, delayed, kind).body()
    except _NotQuiet:
        return False
    return True


def _is_call(call: Any) -> bool:
    return type(call) is tuple and len(call) == 3 and type(call[1]) is tuple and type(call[2]) is dict


class _Reading:
    """Goes through the code of a generator expression."""

    def __init__(self, code: CodeType, frame: FrameType, delayed: object, kind: type) -> None:
        self._code = code
        self._frame = frame
        self._variables = frame.f_locals
        self._delayed = delayed
        self._kind = kind
        self._stack: list[Mark] = []
        self._local: dict[str, Mark] = {}
        self._keywords = False
        self._loops = 0

    def body(self) -> None:
        """Raise :class:`_NotQuiet` at what may run code of the user's."""
        instructions = _instructions(self._code.co_code)
        for name, argument in instructions:
            if name == "JUMP_BACKWARD":
                break
            if name in _IDLE:
                continue
            step: Callable[[_Reading, int], None] | None = _STEPS.get(name)
            if step is None:
                raise _NotQuiet
            step(self, argument)
        if self._loops != 1 or not all(name in _AFTER for name, _ in instructions):
            raise _NotQuiet

    def pop_top(self, _: int) -> None:
        if self._stack:  # else what the generator began with
            self._pop()

    def push_null(self, _: int) -> None:
        self._stack.append(NULL)

    def load_const(self, _: int) -> None:
        self._stack.append(CONSTANT)

    def load_global(self, argument: int) -> None:
        name, variables, builtins = self._code.co_names[argument >> 1], self._frame.f_globals, self._frame.f_builtins
        if type(variables) is not dict or type(builtins) is not dict:
            raise _NotQuiet
        mark = _Object(variables[name] if name in variables else builtins.get(name))
        self._stack += [NULL, mark] if argument & 1 else [mark]

    def load_deref(self, argument: int) -> None:
        name = _local_names(self._code)[argument]
        self._stack.append(_Object(self._variables[name]) if name in self._variables else ANY)

    def load_fast(self, argument: int) -> None:
        name = self._code.co_varnames[argument]
        if name == ".0":
            self._stack.append(_item(self._variables[name]))
        elif name in self._local:
            self._stack.append(self._local[name])
        else:
            raise _NotQuiet

    def load_fast_load_fast(self, argument: int) -> None:
        self.load_fast(argument >> 4)
        self.load_fast(argument & 15)

    def store_fast(self, argument: int) -> None:
        self._local[self._code.co_varnames[argument]] = self._pop()

    def store_fast_store_fast(self, argument: int) -> None:
        self.store_fast(argument >> 4)
        self.store_fast(argument & 15)

    def store_fast_load_fast(self, argument: int) -> None:
        self.store_fast(argument >> 4)
        self.load_fast(argument & 15)

    def for_iter(self, _: int) -> None:
        """What was pushed in place of the iterator is its item."""
        self._loops += 1

    def unpack_sequence(self, count: int) -> None:
        row = self._pop()
        if isinstance(row, _Items):
            if not all(type(item) in _ROWS for item in row.iterator.__reduce__()[1][0]):
                raise _NotQuiet
            self._stack += [ANY] * count
        elif isinstance(row, _Row):
            self._stack += reversed(row.parts)
        else:
            raise _NotQuiet

    def build_tuple(self, count: int) -> None:
        self._stack.append(_Row(self._pop_many(count)))

    def build_list(self, count: int) -> None:
        self._pop_many(count)
        self._stack.append(ANY)

    def build_map(self, count: int) -> None:
        if not all(key is CONSTANT for key in self._pop_many(2 * count)[::2]):  # others have a hash of their own
            raise _NotQuiet
        self._stack.append(TABLE)

    def build_const_key_map(self, count: int) -> None:
        self._pop_many(count + 1)
        self._stack.append(TABLE)

    def kw_names(self, _: int) -> None:
        self._keywords = True

    def call_kw(self, count: int) -> None:
        self._pop()
        self._keywords = True
        self.call(count)

    def call(self, count: int) -> None:
        self._pop_many(count)
        pair = self._pop_many(2)
        callees = [mark for mark in pair if mark is not NULL]
        if len(callees) != 1:
            raise _NotQuiet
        self._stack.append(self._called(callees[0], count))
        self._keywords = False

    def _called(self, callee: Mark, count: int) -> Mark:
        if callee is NOTING or (isinstance(callee, _Object) and type(callee.value) is self._kind):
            return CALL
        if isinstance(callee, _Object) and callee.value is self._delayed and count == 1 and not self._keywords:
            return NOTING
        raise _NotQuiet

    def yield_value(self, _: int) -> None:
        """What is yielded is a call; in its place comes what is sent."""
        mark = self._pop()
        written_out = isinstance(mark, _Row) and len(mark.parts) == 3 and isinstance(mark.parts[1], _Row) and mark.parts[2] is TABLE
        if mark is not CALL and not written_out:
            raise _NotQuiet
        self._stack.append(ANY)

    def _pop(self) -> Mark:
        return self._pop_many(1)[0]

    def _pop_many(self, count: int) -> list[Mark]:
        if len(self._stack) < count:
            raise _NotQuiet
        at = len(self._stack) - count
        taken = self._stack[at:]
        del self._stack[at:]
        return taken


_STEPS: Final = {name.upper(): getattr(_Reading, name) for name in vars(_Reading) if not name.startswith("_") and name != "body"}


def _item(iterator: Any) -> Mark:
    """A mark for what an iterator gives."""
    kind = type(iterator)
    if kind in _ARRAYS_OF_ITEMS:
        return _Items(iterator) if len(iterator.__reduce__()) > 2 else ANY  # else it is exhausted
    if kind in _PLAIN_ITERATORS:
        return ANY
    if kind is _DICT_ITEMS:
        return _Row([ANY, ANY])
    if kind is zip:
        return _Row([_item(inner) for inner in iterator.__reduce__()[1]])
    if kind is enumerate:
        return _Row([ANY, _item(iterator.__reduce__()[1][0])])
    raise _NotQuiet


def _local_names(code: CodeType) -> tuple[str, ...]:
    """The names of variables by the number that LOAD_DEREF has."""
    cells = tuple(name for name in code.co_cellvars if name not in code.co_varnames)
    return (*code.co_varnames, *cells, *code.co_freevars)


def _instructions(code: bytes) -> Iterator[tuple[str, int]]:
    extended = 0
    for at in range(0, len(code), 2):
        name = opcode.opname[code[at]]
        argument = extended | code[at + 1]
        extended = argument << 8 if name == "EXTENDED_ARG" else 0
        yield name, argument
