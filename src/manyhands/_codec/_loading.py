"""Which part of an object could not be rebuilt after its journey, and why. Used only after a failure.

The object is rebuilt once more, by an unpickler in Python that puts a stand-in where the first part fails, and goes on. Then the whole
is there, and the way to that part is looked for in it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from manyhands import errors
from manyhands._codec import _advice, _renaming, _steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._pickling import Bytes

_LARGEST = 64 << 20

# What was being rebuilt, as ``decode`` is told: what is to be said of it, and how paths to its parts begin.
FUNCTION, ARGUMENT, ARGUMENTS, CALL, INITIALIZER, RESULT = "function", "argument", "arguments", "call", "initializer", "result"
_SAID = {
    FUNCTION: "the task never ran, since the function that was sent could not be rebuilt in the worker",
    ARGUMENT: "the task never ran, since what was sent to it could not be rebuilt in the worker",
    ARGUMENTS: "the task never ran, since what was sent to it could not be rebuilt in the worker",
    CALL: "the task never ran, since what was sent to it could not be rebuilt in the worker",
    INITIALIZER: "the initializer never ran, since what was sent could not be rebuilt in the worker",
    RESULT: "the task ran, and its result could not be rebuilt here",
}


def add_note(error: BaseException, payload: Bytes, buffers: Sequence[Bytes], what: str = "") -> None:
    """Say on ``error`` which part of the object behind ``payload`` it comes from, and what to do; it is rebuilt once more for that."""
    if len(payload) > _LARGEST or not isinstance(error, Exception) or isinstance(error, errors.ManyhandsError):
        return
    with contextlib.suppress(Exception):  # a class may forbid notes
        part = failed_part(error, payload, buffers)
        if part is not None:
            part = _renaming.part_of(part, what)
            error.add_note(f"{_SAID.get(what, 'raised while an object was unpickled')}: {part.told(': ')}")


def failed_part(error: Exception, payload: Bytes, buffers: Sequence[Bytes]) -> errors.Part | None:
    """The part of an object that could not be rebuilt; None if it can."""
    from manyhands._codec import _trace  # noqa: PLC0415 - it loads much

    witness = _Witness(bytes(payload), [bytes(buffer) for buffer in buffers])
    try:
        root = witness.load()
    except Exception:  # noqa: BLE001 - what fails when something is missing is no news
        root = witness.broken
    if witness.broken is None or type(witness.error) is not type(error):
        return None
    found = _trace.find(root, witness.broken)
    name = witness.name.rpartition(".")[2] if root is witness.broken else _steps.root_name(root)
    way = (name, [] if found is None else found.way())
    reason = f"{witness.doing}, and that raised {_advice.reason(witness.error)}"
    mend = _advice.mend_of_loading(witness.made_by, witness.error)
    return errors.Part(_steps.read(way), witness.name, reason, mend, "" if found is None else _trace.used_at(found), way)


def part_to_blame(obj: object, error: Exception, payload: Bytes, buffers: Sequence[Bytes]) -> errors.Part:
    """The same of ``obj``, which is here; if none is found, all of it."""
    part = failed_part(error, payload, buffers)
    if part is None:
        name = _steps.root_name(obj)
        reason, mend = _advice.reason(error), _advice.mend_of_loading(type(obj), error)
        part = errors.Part(name, _steps.type_name(type(obj)), reason, mend, way=(name, ()))
    part.reason = f"a worker could not rebuild it: {part.reason}"
    return part


class _Broken:
    """Stands for what could not be rebuilt, and puts up with anything."""

    def __call__(self, *_: object, **__: object) -> _Broken:
        return self

    def __setstate__(self, _: object) -> None:
        pass


_Unpickler: Any = pickle._Unpickler  # noqa: SLF001 - the one in Python, which can be looked into


class _Operation(NamedTuple):
    """Of the unpickler. ``taken``: how many objects it takes off the stack; ``fills``: it changes the one below, instead of making one."""

    taken: int
    fills: bool
    told: str  # with the name of the class or callable, and the last that it takes


_WATCHED: dict[bytes, _Operation] = {
    pickle.REDUCE: _Operation(2, False, "{} was called with {}"),
    pickle.NEWOBJ: _Operation(2, False, "{}.__new__ was called with {}"),
    pickle.NEWOBJ_EX: _Operation(3, False, "{}.__new__ was called with the keywords {}"),
    pickle.BUILD: _Operation(1, True, "the state of {} was set ({})"),
    pickle.APPEND: _Operation(1, True, "{} was given {}"),
    pickle.SETITEM: _Operation(2, True, "{} was given {}"),
    pickle.APPENDS: _Operation(0, True, "{} was given its items"),
    pickle.SETITEMS: _Operation(0, True, "{} was given its items"),
    pickle.ADDITEMS: _Operation(0, True, "{} was given its items"),
    pickle.GLOBAL: _Operation(0, False, "it was looked up"),
    pickle.STACK_GLOBAL: _Operation(2, False, "it was looked up"),
}


class _Witness(_Unpickler):  # type: ignore[misc]
    """Notes the first operation that fails, and goes on as well as it can.

    ``broken`` is the object that it was to rebuild, or its stand-in; ``name`` what it is; ``made_by`` its class, or what was to make it.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_Unpickler.dispatch)
    stack: list[Any]
    broken: object = None
    error: Exception
    made_by: object = None
    doing = name = ""
    _sought = ""

    def __init__(self, payload: bytes, buffers: list[bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)

    def find_class(self, module: str, name: str) -> Any:
        self._sought = f"{module}.{name}"
        return super().find_class(module, name)

    def watched(self, operation: _Operation, usual: Callable[[Any], None]) -> None:
        """Do what is usual, or put a stand-in in its place."""
        stack, size, taken = self.stack, len(self.stack), self.stack[-3:]
        try:
            usual(self)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            if operation.taken:
                del stack[size - operation.taken :]
            if not operation.fills:
                self.stack.append(_Broken())
            if self.broken is None:
                self._note(operation, error, taken)

    def _note(self, operation: _Operation, error: Exception, taken: list[Any]) -> None:
        self.broken, self.error = self.stack[-1], error
        if operation.fills:
            self.made_by = type(self.broken)
        elif operation.told != "it was looked up":
            self.made_by = taken[-operation.taken]
        self.name = self._sought if self.made_by is None else _name(self.made_by)
        self.doing = operation.told.format(self.name, _short(taken[-1]) if taken else "")
        if self.name.startswith(_OURS):
            self.name, self.doing = "function or class", "it was put together"
        elif not (self.made_by is None or issubclass(type(self.made_by), type)):
            self.name = f"result of {self.name}"


_OURS = "manyhands._codec."


def _watch(code: bytes, operation: _Operation) -> None:
    usual = _Witness.dispatch[code[0]]
    _Witness.dispatch[code[0]] = lambda self: self.watched(operation, usual)


for _code, _operation in _WATCHED.items():
    _watch(_code, _operation)


def _name(obj: Any) -> str:
    if issubclass(type(obj), type):
        return _steps.type_name(obj)
    return f"{getattr(obj, '__module__', '?')}.{getattr(obj, '__qualname__', type(obj).__qualname__)}"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__, of an object that is not whole
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 100 else f"{text[:97]}..."
