"""Functions of ``__main__`` in a worker share one set of global variables, as they do at home.

A function that travels by value brings the values of the globals it names. In a worker they all live in its ``__main__`` module, so that
what an initializer or one task sets, another finds. A value stays what the worker's tasks have made of it, until the program sends
another: then functions that were sent with the old one keep seeing that one, and those sent with the new one the new.

What a function only binds it does not bring. Where it has done so, that is what the next function finds which brings a value for
the first time; and what the initializer binds is the worker's own for good.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types

from manyhands._codec import _bytecode, _making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from manyhands._codec._pickling import Bytes

# Have no state of their own, or keep it where all copies find it: the newest is as good as any other.
_MISSING = object()
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)


class MainGlobals:
    """The globals of ``__main__`` in this worker, in as many versions as functions that it knows were sent with."""

    def __init__(self) -> None:
        self._versions: dict[int, dict[str, object]] = {}  # function: name: version
        self._active: dict[str, object] = {}
        self._kept: dict[tuple[str, object], object] = {}  # values that are not active
        self._entered: int | None = None
        self._bound: dict[str, object] = {}  # names that functions bind: what they were when the first of them came
        self._own: frozenset[str] = frozenset()  # those that the initializer binds

    def load(self, number: int, payload: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
        """What ``payload`` holds: a function, to be known as ``number``; and make its globals the active ones."""
        unpickler = _MainUnpickler(payload, buffers)
        try:
            loaded = unpickler.load()
        finally:
            unpickler.restore()
            unpickler.memo.clear()  # it holds a method of its own, and with it all that was loaded, until the garbage collector comes
        variables = _variables()
        for name in unpickler.bound:
            self._bound.setdefault(name, variables.get(name, _MISSING))
        if not number:
            self._own = unpickler.bound
        if number in self._versions:
            self.enter(number)  # another copy of a function that is known
        elif unpickler.sent:
            versions = self._versions[number] = {name: _version(number, value) for name, value in unpickler.sent.items()}
            for name, version in versions.items():
                if self._active.get(name) != version:
                    self._kept.setdefault((name, version), unpickler.sent[name])
            self.enter(number)
        return loaded

    def enter(self, number: int) -> None:
        """A function is going to run: its globals are those that it was sent with."""
        versions = self._versions.get(number)
        if versions is None or number == self._entered:
            return
        self._entered = number
        variables = _variables()
        for name, version in versions.items():
            before = self._active.get(name)
            if before == version:
                continue
            if (before is None or name in self._own) and self._is_set_here(name, variables):
                self._active[name] = version
                self._kept.pop((name, version), None)
                continue
            if before is not None and name in variables:
                self._kept[name, before] = variables[name]
            if (name, version) in self._kept:
                variables[name] = self._kept.pop((name, version))
            self._active[name] = version

    def _is_set_here(self, name: str, variables: dict[str, Any]) -> bool:
        """Whether a function that binds a name, and brings no value, has done so."""
        return name in self._bound and variables.get(name, self._bound[name]) is not self._bound[name]

    def forget(self, number: int) -> None:
        """A function will not run again: what only it was sent with can go."""
        if self._versions.pop(number, None) is None:
            return
        used = {item for versions in self._versions.values() for item in versions.items()}
        self._kept = {key: value for key, value in self._kept.items() if key in used}


def bound_by(values: Iterable[object]) -> frozenset[str]:
    """The names of globals of ``__main__`` that functions among these bind, or those of ``__main__`` that they call."""
    names: frozenset[str] = frozenset()
    for function in _functions(values, set()):
        names |= _bytecode.bound_names(function.__code__)
    return names


def _functions(values: Iterable[object], seen: set[int]) -> Iterator[types.FunctionType]:
    for value in values:
        if isinstance(value, functools.partial):
            yield from _functions((value.func, *value.args), seen)
        elif isinstance(value, types.FunctionType) and value.__globals__ is _variables() and id(value) not in seen:
            seen.add(id(value))
            yield value
            yield from _functions([value.__globals__.get(name) for name in _bytecode.global_names(value.__code__)], seen)


def _version(number: int, value: object) -> object:
    """Equal for values that were equal when they were sent."""
    if isinstance(value, _CODE):
        return number
    from manyhands._codec import _digests, _pickling  # noqa: PLC0415 - most functions bring no such value

    try:
        payload, views = _pickling.encode_views(value)
    except Exception:  # noqa: BLE001 - __reduce__ may raise anything
        return number
    if not views:
        return _digests.of(payload)
    if any(hasattr(view.obj, "is_shared_memory") for view in views):  # it is what all processes make of it
        return number
    import xxhash  # noqa: PLC0415 - most functions hold nothing large, of which a copy would take longer than all else

    return _digests.of(payload), *map(xxhash.xxh3_128_digest, views)


class _MainUnpickler(pickle.Unpickler):
    """Makes functions of ``__main__`` on this process's ``__main__``; ``sent`` are the globals that came with them.

    They are in their places while it loads, since methods may be called then; :meth:`restore` puts back what was there.
    """

    def __init__(self, payload: Bytes, buffers: Sequence[Bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)
        self.sent: dict[str, object] = {}
        self.bound: frozenset[str] = frozenset()
        self._before: dict[str, object] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        if module == _making.__name__:
            if name == "main_namespace":
                return _variables
            if name == "set_function":
                return self._set_function
        return super().find_class(module, name)

    def _set_function(self, function: types.FunctionType, state: tuple[dict[str, Any], ...]) -> None:
        variables, *rest = state
        if function.__globals__ is _variables():
            self.bound |= _bytecode.bound_names(function.__code__)
            for name, value in variables.items():
                self.sent[name] = value
                self._before.setdefault(name, function.__globals__.get(name, _MISSING))
        _making.set_function(function, (variables, *rest))  # type: ignore[arg-type]

    def restore(self) -> None:
        """The globals are again what they were before."""
        variables = _variables()
        for name, value in self._before.items():
            if value is _MISSING:
                variables.pop(name, None)
            else:
                variables[name] = value


def _variables() -> dict[str, Any]:
    return sys.modules["__main__"].__dict__
