"""Which parts of an object cannot be pickled, why, and how to mend it. Used only after a failure, so it may take its time.

The walk goes where the pickler would: through containers, and through what rules, ``__reduce_ex__`` and ``__getstate__`` give. It asks each
object once, with a list of its own instead of recursion, so that cycles, depth and size do no harm. No property is evaluated.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import re
import time
import types
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._codec import _advice, _bytecode, _making, _mended, _naming, _pickling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = tuple[str, Any]  # how a path goes on, and to what

_SECONDS = 5.0  # an object graph may be endless: what is not found until then is not looked for any further
_DEEP = 300  # levels from which on a RecursionError is explained by depth
_MOST_SHOWN = 20
_DEEPEST_HEAVY = 4
_WEIGHTY = 1_000_000
_PLAIN_ATOMS = frozenset({type(None), bool, int, float, complex})
_AFTER_NAME = re.compile("'(?=[.\\[])")
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, type(Ellipsis), type(NotImplemented)})


class _Node(NamedTuple):
    """An object on the walk."""

    value: Any
    step: str
    parent: _Node | None
    depth: int

    def path(self) -> str:
        steps = []
        node: _Node | None = self
        while node is not None:
            steps.append(node.step)
            node = node.parent
        return _AFTER_NAME.sub("' ", "".join(reversed(steps)))

    def functions(self) -> Iterator[tuple[types.FunctionType, str]]:
        """The functions that the path goes through, the last first, and the name by which it goes on."""
        child, node = self, self.parent
        while node is not None:
            if isinstance(node.value, types.FunctionType) and child.step.startswith(" → "):
                yield node.value, child.step.split("'")[1]
            child, node = node, node.parent


def not_serializable(obj: object, error: BaseException) -> errors.NotSerializable:
    """The error that names all parts of ``obj`` that cannot be pickled, the ways to them, and how to mend it."""
    parts = find_parts(obj, error)
    return errors.NotSerializable(root_name(obj), parts)


def find_parts(obj: object, error: BaseException | None = None) -> list[errors.Part]:
    """All parts that cannot be pickled; if none is found, what ``error`` says of the whole."""
    walk = _Walk(obj)
    parts = walk.run()
    if parts or error is None:
        return parts
    node = walk.deepest if isinstance(error, RecursionError) and walk.deepest.depth > _DEEP else walk.root
    return [_part(node, error)]


def _part(node: _Node, error: BaseException) -> errors.Part:
    path = node.path()
    if isinstance(error, RecursionError):
        if len(path) > 200:
            path = f"{path[:80]} ... {path[-40:]}"
        reason = f"it is nested {node.depth} levels deep, which pickle cannot follow"
        return errors.Part(path, type_name(node.value), reason, "pass what it holds as a flat list", _used_at(node))
    return errors.Part(path, type_name(node.value), _advice.reason(error), _advice.mend(node.value, error), _used_at(node))


def of_loading(obj: object, error: BaseException) -> errors.Part:
    """The part that an object is which can be pickled, but not unpickled."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("raised while")]
    reason = "; ".join([f"it cannot be unpickled again: {_advice.reason(error)}", *notes])
    return errors.Part(root_name(obj), type_name(obj), reason, "have __reduce__ or __getstate__ give what __init__ or __setstate__ takes")


def heavy_parts(obj: object, limit: int) -> list[tuple[str, int]]:
    """``(path, bytes)`` of the parts of more than ``limit`` bytes; of what consists of such parts, only those."""
    walk = _Walk(obj)
    found: list[tuple[str, int]] = []
    waiting = [walk.root]
    end = time.monotonic() + _SECONDS
    while waiting and time.monotonic() < end:
        node = waiting.pop()
        children = [
            _Node(child, step, node, node.depth + 1)
            for step, child in _steps_or_none(walk, node.value)
            if type(child) not in _PLAIN_ATOMS and size_of(child) > limit
        ]
        if children and node.depth < _DEEPEST_HEAVY:
            waiting += children
        elif node is not walk.root:
            found.append((node.path(), size_of(node.value)))
    return sorted(found, key=lambda entry: -entry[1])


def _steps_or_none(walk: _Walk, value: Any) -> list[Step]:
    try:
        found = [] if type(value) in _ATOMS else walk.steps(value)
        return [(step, child) for step, child in found if "__reduce__" not in step]  # the user knows no such part
    except Exception:  # noqa: BLE001 - what can be sent need not be taken apart
        return []


def size_of(obj: object) -> int:
    """Bytes that it takes to send an object."""
    try:
        payload, buffers = _pickling.encode(obj)
    except errors.NotSerializable:
        return 0
    return len(payload) + sum(map(len, buffers))


class _Walk:
    def __init__(self, obj: object) -> None:
        self.root = _Node(obj, root_name(obj), None, 0)
        self.deepest = self.root
        self._encoder = _pickling.dry_encoder()
        self._waiting: deque[_Node] = deque([self.root])
        self._seen: dict[int, Any] = {id(obj): obj}  # they are kept, so that an id stays its own
        self._parts: list[errors.Part] = []

    def run(self) -> list[errors.Part]:
        """Walk."""
        end = time.monotonic() + _SECONDS
        while self._waiting and len(self._parts) < _MOST_SHOWN:
            node = self._waiting.popleft()
            if node.depth > self.deepest.depth:
                self.deepest = node
            self._look_into(node)
            if time.monotonic() > end:
                break
        return self._parts

    def _look_into(self, node: _Node) -> None:
        try:
            steps = self.steps(node.value)
        except RecursionError:
            return
        except Exception as error:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
            self._parts.append(_part(node, error))
            return
        for step, child in steps:
            if type(child) in _ATOMS or id(child) in self._seen:
                continue
            self._seen[id(child)] = child
            self._waiting.append(_Node(child, step, node, node.depth + bool(step)))

    def steps(self, value: Any) -> list[Step]:
        """The parts of an object, as the pickler would meet them."""
        kind = type(value)
        if kind is dict:
            return list(_of_dict(value))
        if kind in (list, tuple):
            return [(f"[{index}]", part) for index, part in enumerate(value)]
        if kind in (set, frozenset):
            return [("{...}", part) for part in value]
        if kind is pickle.PickleBuffer:
            return []
        reduced = self._encoder.reducer_override(value)
        if reduced is NotImplemented:
            if isinstance(value, type | types.FunctionType):
                _check_name(value)
                return []
            reduce = copyreg.dispatch_table.get(kind)
            reduced = value.__reduce_ex__(_pickling.PROTOCOL) if reduce is None else reduce(value)
        if isinstance(reduced, str):
            return []
        _check(reduced)
        return list(_of_reduced(value, reduced))


def _check_name(value: Any) -> None:
    if value in _SINGLETON_TYPES or _naming.found_by_name(value):
        return
    msg = f"{value.__module__}.{value.__qualname__} does not lead to it"
    raise _advice.NotFound(msg)


_SINGLETON_TYPES = (type(None), type(NotImplemented), type(Ellipsis))


def _check(reduced: Any) -> None:
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6 or not callable(reduced[0]) or not isinstance(reduced[1], tuple):
        msg = f"its __reduce__ gives {reduced!r:.60}, which is neither a text nor a tuple of a callable, its arguments, and what follows"
        raise TypeError(msg)


# ------------------------------------------------------------ how a path goes on


def _of_dict(value: dict[Any, Any], form: str = "[{!r}]") -> Iterator[Step]:
    for key, part in list(value.items()):
        shown = _short(key)
        yield (f".{key}" if form == "." and isinstance(key, str) else f"[{shown}]"), part
        yield f".key({shown})", key


def _short(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001 - a user's __repr__
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _of_reduced(value: Any, reduced: tuple[Any, ...]) -> Iterator[Step]:
    make, args, *rest = reduced
    namer = _NAMERS.get(make)
    if namer is not None:
        yield from namer(value, reduced)
        return
    if isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from ((f".keywords[{name!r}]", part) for name, part in value.keywords.items())
        yield from _of_dict(value.__dict__, ".")
        return
    if isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
        return
    if make is not copyreg.__newobj__ and not isinstance(make, type):  # type: ignore[attr-defined] # typeshed has it not
        yield ".__reduce__()[0]", make
    yield from _of_arguments(value, make, args)
    yield from _of_state(rest)


def _of_arguments(value: Any, make: Any, args: tuple[Any, ...]) -> Iterator[Step]:
    for index, part in enumerate(args):
        if part is type(value):
            yield ".__class__", part
        elif isinstance(value, BaseException):
            yield f".args[{index}]", part
        elif not (make is type(value) or make is copyreg.__newobj__):  # type: ignore[attr-defined]
            yield (f".__reduce__()[1][{index}]", part)
        else:
            yield f"[{index - (make is not type(value))}]", part


def _of_state(rest: list[Any]) -> Iterator[Step]:
    if len(rest) > 0 and rest[0] is not None:
        state = rest[0]
        states = (
            state if isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, dict | None) for part in state) else (state,)
        )
        for part in states:
            if isinstance(part, dict):
                yield from _of_dict(part, ".")
            elif part is not None:
                yield ".__getstate__()", part
    if len(rest) > 1 and rest[1] is not None:
        yield from ((f"[{index}]", part) for index, part in enumerate(islice(rest[1], 10**6)))
    if len(rest) > 2 and rest[2] is not None:
        for key, part in islice(rest[2], 10**6):
            yield f"[{_short(key)}]", part
            yield f".key({_short(key)})", key


def _of_function(fn: types.FunctionType, reduced: tuple[Any, ...]) -> Iterator[Step]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield f" → variable '{name}'", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    variables, attributes, own, *_ = reduced[2]
    for name in sorted(variables):
        yield f" → global '{name}'", variables[name]
    for name, part in zip(reversed(fn.__code__.co_varnames[: fn.__code__.co_argcount]), reversed(fn.__defaults__ or ()), strict=False):
        yield f" → default of '{name}'", part
    for name, part in (fn.__kwdefaults__ or {}).items():
        yield f" → default of '{name}'", part
    for name in attributes.keys() - {"__defaults__", "__kwdefaults__"}:
        yield f".{name}", attributes[name]
    yield from _of_dict(own, ".")


def _of_class(cls: type, reduced: tuple[Any, ...]) -> Iterator[Step]:
    for base in cls.__bases__:
        yield f" → base '{base.__name__}'", base
    attributes = reduced[2][0] if len(reduced) > 2 else {}
    yield from _of_dict(attributes, ".")
    if reduced[0] is _making.new_enum:
        for name, member, state in reduced[1][4]:
            yield f".{name}", member
            yield from ((f".{name}.{key}", part) for key, part in state.items())


def _of_module(module: types.ModuleType, reduced: tuple[Any, ...]) -> Iterator[Step]:
    yield from _of_dict(reduced[2], ".")


_NAMERS: dict[Any, Callable[[Any, tuple[Any, ...]], Iterator[Step]]] = {
    _making.function: _of_function,
    _making.inner_function: _of_function,
    _making.new_class: _of_class,
    _making.new_enum: _of_class,
    _making.new_module: _of_module,
}

# ------------------------------------------------------------ names and places


def _used_at(node: _Node) -> str:
    """``app.py:12: model.fit(x)``: the line of the last function on the path that uses what the path goes on with."""
    for fn, name in node.functions():
        line = _line_of(fn.__code__, name)
        if line is not None:
            import linecache  # noqa: PLC0415 - only after a failure

            file = fn.__code__.co_filename
            text = linecache.getline(file, line, fn.__globals__).strip()
            return f"{file}:{line}" + (f": {text}" if text else "")
    return ""


def _line_of(code: types.CodeType, name: str) -> int | None:
    for used, position in zip(_bytecode.names_used(code), code.co_positions(), strict=False):
        if used == name and position[0] is not None:
            return position[0]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            line = _line_of(constant, name)
            if line is not None:
                return line
    return None


def root_name(obj: object) -> str:
    """What to call an object at the start of a path."""
    if isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
        return obj.__qualname__
    return type(obj).__name__


def type_name(obj: object) -> str:
    """``module.Class`` of an object, without ``builtins``."""
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def readable(size: int) -> str:
    """``16.0 MB`` for a number of bytes."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def warn_of_weight(fn: object, name: str) -> None:
    """Say once that a function is heavy, and what makes it so."""
    parts = [f"{path.partition(' → ')[2] or path}, {readable(size)}" for path, size in heavy_parts(fn, _WEIGHTY)[:3]]
    what = f": {'; '.join(parts)}" if parts else ""
    _mended.warn_once(f"{name}() takes {readable(size_of(fn))} to each worker, and again whenever it has changed{what}")
