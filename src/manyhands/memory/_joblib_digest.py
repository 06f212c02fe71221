"""The digest that ``joblib.Memory`` tells a call by, made without joblib: the name of the folder that its result is in.

That is the MD5 of a pickle (protocol 3, by the pickler that is written in Python) of the arguments by their names, in which dicts and sets
are sorted, strings are written wherever they occur, and arrays stand by class, dtype, shape and strides; what is in them is digested before
the pickle. Another version of joblib, numpy or Python may digest some objects otherwise: then nothing is found, and never another call's.

Refused here is what that pickle does not tell apart: functions and classes of the user's own, which are in it by name alone, whatever their
code is by now; arrays of other classes than numpy's own two (of a masked array, the mask is not looked at); dtypes among others in a list,
whose place is not noted.
"""

from __future__ import annotations

import decimal
import hashlib
import inspect
import io
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands.memory import _packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Pickler = pickle.Pickler
else:
    Pickler = pickle._Pickler  # noqa: SLF001 - the one in Python, as joblib has it: its methods can be replaced

_PROTOCOL = 3
_ORDERED_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Unknown(Exception):
    """No digest of joblib's tells what this is."""


class _ConsistentSet:
    """What a set is in joblib's pickles: its items in order, under joblib's names."""

    def __init__(self, items: Any) -> None:
        try:
            self._sequence = sorted(items)
        except (TypeError, decimal.InvalidOperation):
            self._sequence = sorted(_digest(item) for item in items)


class _MyHash:
    """What a method is there."""

    def __init__(self, *parts: Any) -> None:
        self.args = parts


def arguments_digest(
    function: Callable[..., Any], ignore: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, maps: bool
) -> bytes:
    """Of a call; ``maps``: files that are mapped count as arrays.

    Raises:
        Unknown: there is none that can be relied on.
    """
    try:
        return bytes.fromhex(_digest(_by_name(function, ignore, args, kwargs), maps=maps))
    except Unknown:
        raise
    except Exception as error:  # what cannot be pickled, or whose own methods fail
        raise Unknown(f"{type(error).__name__}: {error}") from error


def _by_name(function: Callable[..., Any], ignore: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as joblib digests them: ``*`` those that have no parameter, ``**`` those that none is named like."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in parameters):
        raise Unknown("joblib does not look at parameters that are given by place only")
    in_places = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    named = [parameter.name for parameter in parameters if parameter.kind in _ORDERED_BY_NAME]
    found = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    found.update(zip(in_places, args, strict=False))
    found.update({name: value for name, value in kwargs.items() if name in named})
    if any(name not in found for name in named):
        raise Unknown("an argument is missing")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        found["**"] = {name: value for name, value in kwargs.items() if name not in named}
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        found["*"] = list(args[len(in_places) :])
    return {name: value for name, value in found.items() if name not in ignore}


def _digest(value: Any, *, maps: bool = False) -> str:
    return _Digesting(maps).of(value)


class _Digesting(Pickler):
    def __init__(self, maps: bool) -> None:
        self._stream = io.BytesIO()
        super().__init__(self._stream, _PROTOCOL)
        self._hashed = hashlib.md5(usedforsecurity=False)
        self._numpy = sys.modules.get("numpy")
        self._maps = maps
        self._parts: list[Any] = []  # tuples that are of a class's own making, in which everything has its place

    def of(self, value: Any) -> str:
        self.dump(value)
        self._hashed.update(self._stream.getvalue())
        return self._hashed.hexdigest()

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, types.MethodType | types.BuiltinMethodType):
            obj = _parts_of_method(obj)
        elif self._numpy is not None:
            if isinstance(obj, self._numpy.dtype):
                self._hashed.update(b"_HASHED_DTYPE")
                self._hashed.update(pickle.dumps(obj))
                return
            if isinstance(obj, self._numpy.ndarray) and not obj.dtype.hasobject:
                obj = self._described(obj)
            elif type(obj) in (list, tuple) and len(obj) > 1:
                self._refuse_dtypes_in(obj)
        super().save(obj, save_persistent_id)  # type: ignore[misc] # of the pickler in Python

    def save_reduce(self, func: Any, args: Any, state: Any = None, *more: Any, **named: Any) -> None:
        self._parts += args, state
        super().save_reduce(func, args, state, *more, **named)  # type: ignore[misc] # as above

    def _refuse_dtypes_in(self, items: Any) -> None:
        dtype = self._numpy.dtype  # type: ignore[union-attr] # it was looked at
        if any(isinstance(item, dtype) for item in items) and not any(items is part for part in self._parts):
            raise Unknown("joblib does not note where in a list a dtype is")

    def _described(self, array: Any) -> tuple[type, tuple[Any, ...]]:
        np: Any = self._numpy
        kind = type(array)
        if kind is not np.ndarray and kind is not np.memmap:
            raise Unknown(f"of a {kind.__name__}, joblib digests the bytes alone")
        in_order = array if array.flags.c_contiguous else array.T
        flat = in_order if array.shape and array.flags.forc else array.flatten()
        self._hashed.update(memoryview(flat.view("uint8")))
        if self._maps:
            kind = np.ndarray
        parts = "HASHED", array.dtype, array.shape, array.strides
        self._parts.append(parts)
        return kind, parts

    def memoize(self, obj: Any) -> None:
        if not isinstance(obj, bytes | str):
            super().memoize(obj)  # type: ignore[misc] # as above

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if obj is _ConsistentSet or obj is _MyHash:
            self.write(pickle.GLOBAL + f"joblib.hashing\n{obj.__name__}\n".encode())  # type: ignore[attr-defined] # as above
            self.memoize(obj)
            return
        self._refuse_own(obj, name or getattr(obj, "__qualname__", None) or obj.__name__)
        super().save_global(obj, name)  # type: ignore[misc] # as above

    def _refuse_own(self, obj: Any, name: str) -> None:
        module = pickle.whichmodule(obj, name)  # type: ignore[attr-defined] # it is not in the stubs
        if _packages.is_own(module):
            raise Unknown(f"{module}.{name} is in joblib's digest by its name alone")

    def save_set(self, obj: Any) -> None:
        super().save(_ConsistentSet(obj))  # type: ignore[misc] # as above

    def _batch_setitems(self, items: Iterable[tuple[Any, Any]], *more: Any) -> None:
        held = list(items)
        super()._batch_setitems(self._sorted(held), *more)  # type: ignore[misc] # as above

    @staticmethod
    def _sorted(items: list[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        try:
            return iter(sorted(items))
        except TypeError:
            return iter(sorted((_digest(key), value) for key, value in items))

    if not TYPE_CHECKING:
        dispatch = {**Pickler.dispatch, set: save_set, **dict.fromkeys((type, types.BuiltinFunctionType, types.FunctionType), save_global)}


def _parts_of_method(method: Any) -> _MyHash:
    name = getattr(method, "__func__", method).__name__
    holder = method.__self__
    if isinstance(holder, types.ModuleType):
        return _MyHash(name, holder.__name__)
    return _MyHash(name, holder) if holder is None else _MyHash(name, holder, type(holder))
