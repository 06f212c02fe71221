"""Which part of an object could not be rebuilt after its journey, and why. Used only after a failure.

The object is rebuilt once more, by an unpickler in Python that puts a stand-in where a part fails, and goes on. Then the whole is there,
and the ways to those parts are looked for in it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import types
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from manyhands import errors
from manyhands._codec import _advice, _handed, _making, _pickling, _renaming, _steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._pickling import Bytes

_LARGEST = 64 << 20
_SECONDS = 1.0  # that looking for what stands beside may take

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
        for part in failed_parts(error, payload, buffers)[:1]:  # the others did not get their turn
            part = _renaming.part_of(part, what)
            error.add_note(f"{_SAID.get(what, 'raised while an object was unpickled')}: {part.told(': ')}")


def failed_parts(error: BaseException | None, payload: Bytes, buffers: Sequence[Bytes]) -> list[errors.Part]:
    """The parts of an object that could not be rebuilt, of which the first raised ``error``, if that is known; none if they can."""
    witness = _Witness(bytes(payload), [bytes(buffer) for buffer in buffers])
    try:
        root = witness.load()
    except Exception:  # noqa: BLE001 - what fails when something is missing is no news
        root = witness.failed[0].broken if witness.failed else None
    if error is not None and (not witness.failed or type(witness.failed[0].error) is not type(error)):
        return []
    return [_part(root, failed) for failed in witness.failed]


def _part(root: object, failed: _Failed) -> errors.Part:
    from manyhands._codec import _trace  # noqa: PLC0415 - it loads much

    found = _trace.find(root, failed.broken)
    name = failed.name.rpartition(".")[2] if root is failed.broken else _steps.root_name(root)
    way = (name, [] if found is None else found.way())
    reason = f"{failed.doing}, and that raised {_advice.reason(failed.error)}"
    mend = _advice.mend_of_loading(failed.made_by, failed.error)
    return errors.Part(_steps.read(way), failed.name, reason, mend, "" if found is None else _trace.used_at(found), way)


# ------------------------------------------------------------ before the journey


def parts_to_blame(obj: object, error: BaseException, payload: Bytes, buffers: Sequence[Bytes]) -> list[errors.Part]:
    """Those of ``obj``, which is here and could not be rebuilt; if none is found, all of it."""
    parts = failed_parts(error, payload, buffers)
    if not parts:
        name = _steps.root_name(obj)
        reason, mend = _advice.reason(error), _advice.mend_of_loading(type(obj), error)
        parts = [errors.Part(name, _steps.type_name(type(obj)), reason, mend, way=(name, ()))]
    return [_foretold(part) for part in parts]


def parts_beside(obj: object) -> list[errors.Part]:
    """What of ``obj`` could not be rebuilt, if it were not for the parts that cannot even be pickled."""
    from manyhands._codec import _trace  # noqa: PLC0415 - as above

    search = _trace.Search(obj, _SECONDS)
    search.run()
    file = io.BytesIO()
    encoder = _Lenient(file)
    encoder.left_out = {id(node.value): node.value for node, _ in search.blamed}
    try:
        encoder.dump(obj)
        rehearse(file.getvalue())
    except HasFinalizer:
        return []
    except Exception:  # noqa: BLE001 - __reduce__ and __setstate__ may raise anything
        parts = failed_parts(None, file.getvalue(), ()) if file.tell() else []
        return [_foretold(part) for part in parts]
    return []


def _foretold(part: errors.Part) -> errors.Part:
    part.reason = f"a worker could not rebuild it: {part.reason}"
    return part


class _Lenient(_pickling.Encoder):
    """Puts stand-ins in the places of objects."""

    left_out: dict[int, object]

    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__ == _OF_MEMORY:
            raise TypeError("what is not in the pickle cannot be rebuilt from it")
        return (_Broken, ()) if id(obj) in self.left_out else super().reducer_override(obj)


class HasFinalizer(Exception):
    """The class of an object has a ``__del__``: what it does when a copy goes, it does to what the original owns."""


def rehearse(payload: Bytes, buffers: Sequence[Bytes] = ()) -> bool:
    """Rebuild an object as a worker would, to see whether that works. True if functions or classes come with their code.

    Raises:
        HasFinalizer: nothing was rebuilt.
        BaseException: whatever the classes involved raise.
    """
    rehearsal = _Rehearsal(io.BytesIO(payload), buffers=buffers)
    try:
        rehearsal.load()
    finally:
        for copy in rehearsal.opened:
            copy.close()
    return rehearsal.brings_code


class _Rehearsal(pickle.Unpickler):
    brings_code = False
    opened: Sequence[Any] = ()  # what has a descriptor of its own

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found is _handed.arrived:
            return self._arrived
        if module == _making.__name__:
            self.brings_code = self.brings_code or name in _MAKERS
            if found is _making.new_class:
                return lambda *args: _without_finalizer(_making.new_class(*args))
        return _without_finalizer(found)

    def _arrived(self, *parts: Any) -> Any:
        made = _handed.arrived(*parts)
        self.opened = (*self.opened, made)
        return made


_MAKERS = frozenset(maker.__name__ for maker in (_making.code, _making.new_class))


def _without_finalizer(found: Any) -> Any:
    if issubclass(type(found), type) and isinstance(getattr(found, "__del__", None), types.FunctionType):
        raise HasFinalizer(found.__qualname__)
    return found


# ------------------------------------------------------------ the witness


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


class _Failed(NamedTuple):
    """An operation that failed."""

    broken: object  # what was to be rebuilt, or its stand-in
    name: str
    made_by: object  # its class, or what was to make it
    doing: str
    error: BaseException


class _Witness(_Unpickler):  # type: ignore[misc]
    """Notes the operations that fail, and goes on as well as it can."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_Unpickler.dispatch)
    stack: list[Any]
    _sought = ""

    def __init__(self, payload: bytes, buffers: list[bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)
        self.failed: list[_Failed] = []

    def find_class(self, module: str, name: str) -> Any:
        self._sought = f"{module}.{name}"
        return super().find_class(module, name)

    def watched(self, operation: _Operation, usual: Callable[[Any], None]) -> None:
        """Do what is usual, or put a stand-in in its place."""
        stack, size, taken = self.stack, len(self.stack), self.stack[-3:]
        try:
            usual(self)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            if operation.taken:
                del stack[size - operation.taken :]
            if not operation.fills:
                self.stack.append(_Broken())
            if len(self.failed) < _MOST and not (self.failed and _holds_stand_in(taken)):
                self._note(operation, error, taken)

    def _note(self, operation: _Operation, error: BaseException, taken: list[Any]) -> None:
        broken, made_by = self.stack[-1], None
        if operation.fills:
            made_by = type(broken)
        elif operation.told != "it was looked up":
            made_by = taken[-operation.taken]
        name = self._sought if made_by is None else _name(made_by)
        doing = operation.told.format(name, _short(taken[-1]) if taken else "")
        if name.startswith(_OURS):
            name, doing = "function or class", "it was put together"
        elif not (made_by is None or issubclass(type(made_by), type)):
            name = f"result of {name}"
        self.failed.append(_Failed(broken, name, made_by, doing, error))


def _holds_stand_in(values: list[Any]) -> bool:
    """Whether an operation may have failed because another did."""
    inner = [part for value in values if type(value) in {tuple, list} for part in value]
    inner += [part for value in values if type(value) is dict for part in value.values()]
    return any(type(value) is _Broken for value in (*values, *inner))


_MOST = 20  # parts that are told
_OF_MEMORY = "manyhands.sharing._pieces"  # goes beside the pickle
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
