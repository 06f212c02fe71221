"""Files of others, loaded as data: numbers, text, containers, arrays, tables, dates, dataclasses that are registered.

**Guarantees**: nothing is imported, looked up or called by a name from the file. A name in it is looked for in a closed table
(``_safe_makers.py``) of what makes data; what is not there ends the loading. ``pickle`` takes no part: the operations of a pickle are
carried out here, those that make and fill containers by themselves, and the few that call something by way of the table.

**Not guaranteed**: that a file asks for little memory, or for no more time than its size suggests.
"""

from __future__ import annotations

import collections
import pickletools
from typing import TYPE_CHECKING, Any

from manyhands._files import _joblib_files
from manyhands._files._safe_makers import Constant, Name, Pending, find
from manyhands.errors import ManyhandsError, NotData, StoreCorrupt, UnknownFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._files._loading import Loading
    from manyhands._files._reading import Contents

_LISTS = frozenset({list, collections.deque})
_TABLES = frozenset({dict, collections.OrderedDict, collections.defaultdict, collections.Counter})


def refuse(_: Any, name: str, begin: bytes) -> Any:
    """A file that is not of manyhands' own format.

    Raises:
        NotData: always; but
        UnknownFormat: if it is none that could be loaded without ``safe`` either.
    """
    if begin and not _joblib_files.is_joblib_file(begin):
        raise UnknownFormat(name, begin)
    reason = "is that of joblib.dump() or pickle: only files of manyhands.dump() can be loaded as data, others may run what is in them"
    raise NotData(name, "its format", reason, "if you trust whoever wrote it, write it anew: manyhands.dump(manyhands.load(path), new)")


def value_of(contents: Contents, _: Loading) -> Any:
    """The object in a file.

    Raises:
        NotData: there is something else in it.
        StoreCorrupt: the operations of the pickle make no sense.
    """
    return carried_out(Machine(contents), contents.source.name)


def carried_out(machine: Machine, name: str) -> Any:
    """What a machine makes of what it was given; ``name``: of the file, or whatever it is.

    Raises:
        NotData, StoreCorrupt: as above.
    """
    try:
        value = machine.run()
        _look_for_names(value, name)
    except (ManyhandsError, MemoryError):
        raise
    except Exception as error:
        raise StoreCorrupt(name, "its pickle", f"{type(error).__name__}: {error}") from error
    return value


def _look_for_names(value: object, file: str) -> None:
    """Names that nothing was made with, in the place of values."""
    found: set[int] = set()
    ahead: list[Any] = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, (Name, Pending)):
            raise NotData(file, str(one))
        kind = type(one)  # not isinstance(): the proxy of a list is none
        if issubclass(kind, (list, tuple, set, frozenset, dict, collections.deque)) and id(one) not in found:
            found.add(id(one))
            ahead += one
            if issubclass(kind, dict):
                ahead += one.values()


class Machine:
    """Carries out a pickle.

    Attributes:
        stack: what has been made; ``marks``: where in it what is open begins; ``memo``: what may be asked for again.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._buffers = contents.of_pickle()
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Its object."""
        for opcode, argument, _ in pickletools.genops(bytes(self._contents.payload)):
            if opcode.name == "STOP":
                break
            if opcode.name in _VALUES:
                self.stack.append(argument)
                continue
            operation = self.operation(opcode.name)
            if operation is None:
                raise NotData(self._contents.source.name, f"the operation {opcode.name}")
            operation(self, argument)
        (value,) = self.stack
        return value

    def operation(self, name: str) -> Callable[[Machine, Any], Any] | None:
        """What is done for an operation of a pickle; None: it is not done."""
        return _OPERATIONS.get(name)

    def since_mark(self) -> list[Any]:
        """What was made since then."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def keep(self, number: int | None) -> None:
        """Put what was made last into the memo."""
        number = len(self.memo) if number is None else number
        made = self.memo[number] = self.stack[-1]
        if isinstance(made, Pending):
            made.numbers.append(number)

    def look_up(self, _: Any) -> None:
        """A name."""
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._found(module, name))

    def _found(self, module: Any, name: Any) -> Any:
        maker = find(str(module), str(name))
        if maker is None:
            raise NotData(self._contents.source.name, f"{module}.{name}")
        return maker.value if isinstance(maker, Constant) else Name(str(module), str(name), maker)

    def call(self, keywords: bool = False) -> None:
        """Make something of what a name stands for and its arguments."""
        given = self.stack.pop() if keywords else None
        args, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or type(args) is not tuple or given:
            raise NotData(self._contents.source.name, f"a call of {name!r}"[:200])
        try:
            self.stack.append(name.maker(self._contents, *args))
        except (ValueError, TypeError) as error:
            raise NotData(self._contents.source.name, str(name), f"cannot be made of what the file has for it ({error})") from error

    def build(self, _: Any) -> None:
        """Give an object its state."""
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, Pending):
            raise NotData(self._contents.source.name, f"a state of {type(made).__name__}")
        try:
            done = self.stack[-1] = made.finish(state)
        except (ValueError, TypeError, KeyError) as error:
            raise NotData(self._contents.source.name, str(made), f"cannot be made of what the file has for it ({error})") from error
        for number in made.numbers:
            self.memo[number] = done

    def extend(self, items: list[Any]) -> None:
        """Add to a list."""
        target = self.stack[-1]
        if type(target) not in _LISTS:
            raise NotData(self._contents.source.name, f"items of {type(target).__name__}")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        """Add to a table: keys and values in turn."""
        target = self.stack[-1]
        if type(target) not in _TABLES:
            raise NotData(self._contents.source.name, f"items of {type(target).__name__}")
        _check_hashable(items[::2])
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def dict_of(self, items: list[Any]) -> None:
        """A table of keys and values in turn."""
        self.stack.append({})
        self.update(items)

    def add(self, items: list[Any]) -> None:
        """Add to a set."""
        target = self.stack[-1]
        if type(target) is not set:
            raise NotData(self._contents.source.name, f"items of {type(target).__name__}")
        _check_hashable(items)
        target.update(items)

    def top(self, count: int) -> list[Any]:
        """Take that many from the stack."""
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def buffer(self, _: Any) -> None:
        """One that is beside the pickle."""
        self.stack.append(memoryview(next(self._buffers)))

    def read_only(self, _: Any) -> None:
        """Not to be written to."""
        self.stack[-1] = memoryview(self.stack[-1]).toreadonly()


_INTEGERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8")
_VALUES = frozenset({*_INTEGERS, *_TEXTS, *_BYTES, "BINFLOAT", "FLOAT"})


def _check_hashable(values: list[Any]) -> list[Any]:
    """Refuse keys whose digest would take for ever, or more stack than there is: tuples in tuples, which Python goes through unchecked."""
    layer, seen, depth = [value for value in values if type(value) in _NESTING], 0, 0
    while layer:
        seen, depth = seen + len(layer), depth + 1
        if depth > _DEEPEST_KEY or seen > _LARGEST_KEYS:
            raise ValueError("keys that are nested too deep")
        layer = [part for value in layer for part in value if type(part) in _NESTING]
    return values


_NESTING = frozenset({tuple, frozenset})
_DEEPEST_KEY, _LARGEST_KEYS = 200, 1_000_000


def _push(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _tuple_of(count: int) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.top(count)))


def _global(machine: Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack += (module, name)
    machine.look_up(None)


_OPERATIONS: dict[str, Callable[[Machine, Any], Any]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_TUPLE": _push(tuple),
    "EMPTY_LIST": _push(list),
    "EMPTY_DICT": _push(dict),
    "EMPTY_SET": _push(set),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.dict_of(machine.since_mark()),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(_check_hashable(machine.since_mark()))),
    "APPEND": lambda machine, _: machine.extend(machine.top(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.top(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    "MEMOIZE": lambda machine, _: machine.keep(None),
    "PUT": lambda machine, number: machine.keep(number),
    "BINPUT": lambda machine, number: machine.keep(number),
    "LONG_BINPUT": lambda machine, number: machine.keep(number),
    "GET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda machine, argument: machine.look_up(argument),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "NEWOBJ_EX": lambda machine, _: machine.call(keywords=True),
    "BUILD": lambda machine, argument: machine.build(argument),
    "NEXT_BUFFER": lambda machine, argument: machine.buffer(argument),
    "READONLY_BUFFER": lambda machine, argument: machine.read_only(argument),
}
