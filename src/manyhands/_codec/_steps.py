"""What an object consists of, as the pickler would meet it, under names that its user knows; and how a path of such names reads.

A step is ``(kind, name)``, and is made into text only where somebody reads it. No property of the object is evaluated.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import types
from itertools import islice
from typing import TYPE_CHECKING, Any

from manyhands._codec import _making

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    Step = tuple[str, Any]
    Child = tuple[Step, Any]  # how a path goes on, and to what
    Way = tuple[str, Sequence[Step]]  # what the path starts at, and its steps

# Kinds of steps. These are named with what they are ...
VARIABLE, GLOBAL, DEFAULT, BASE, METACLASS = "variable", "global", "default of", "base", "metaclass"
ARROWS = frozenset({VARIABLE, GLOBAL, DEFAULT, BASE, METACLASS})
# ... and these as in Python; of INNER, the user knows nothing.
ATTRIBUTE, ITEM, CELL, KEY, ELEMENT, SELF, INNER, LEFT_OUT = "attribute", "item", "cell", "key", "element", "self", "inner", "left out"

PLAIN_ATOMS = frozenset({type(None), bool, int, float, complex})
ATOMS = frozenset({*PLAIN_ATOMS, str, bytes, bytearray, type(Ellipsis), type(NotImplemented)})

_FIRST, _LAST = 6, 4  # steps of a long path that are shown
_LONGEST = 400
_MOST_ITEMS = 10**6


# ------------------------------------------------------------ how a path reads


def read(way: Way) -> str:
    """``fit → global 'model' .cfg['lock']``."""
    root, steps = way
    text, gap = root, " " in root
    for kind, name in steps:
        if kind in ARROWS:
            text += f" → {kind} '{name}'"
        else:
            text += f"{' ' if gap else ''}{_FORMS[kind](name)}"
        gap = kind in ARROWS
    return text if len(text) <= _LONGEST else f"{text[:250]} ... {text[-120:]}"


def shown(step: Step) -> Step:
    """A step that needs no object of the user's."""
    kind, name = step
    if kind == CELL:
        return kind, tuple(map(short, name))
    return kind, short(name) if kind in {ITEM, KEY} else str(name)


def shortened(steps: list[Step]) -> list[Step]:
    """Not more of them than one reads."""
    return steps if len(steps) <= _FIRST + _LAST + 1 else [*steps[:_FIRST], (LEFT_OUT, ""), *steps[-_LAST:]]


_FORMS: dict[str, Callable[[Any], str]] = {
    ATTRIBUTE: lambda name: f".{name}",
    ITEM: lambda key: f"[{key}]",
    CELL: lambda keys: "".join(f"[{key}]" for key in keys),
    KEY: lambda key: f".key({key})",
    ELEMENT: lambda _: "{...}",
    INNER: lambda text: text,
    SELF: lambda _: " → self",
    LEFT_OUT: lambda _: " ... ",
}


def short(key: Any) -> str:
    """The text of a key."""
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001 - a user's __repr__
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def root_name(obj: object) -> str:
    """What to call an object at the start of a path."""
    kind = type(obj)
    if issubclass(kind, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return obj.__qualname__  # type: ignore[attr-defined, no-any-return]
    return "array" if is_named(kind, "numpy", "ndarray") else kind.__name__


def type_name(cls: type) -> str:
    """``module.Class``, without ``builtins``."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


# ------------------------------------------------------------ containers


def of_container(value: Any, known: Collection[type]) -> Iterator[Child] | None:
    """The parts of a plain container, but for those of ``known`` classes; None: it is none."""
    kind = type(value)
    if kind is dict:
        return of_dict(value, ITEM, known)
    if kind in {list, tuple}:
        return (((ITEM, index), part) for index, part in enumerate(value) if type(part) not in known)
    if kind in {set, frozenset}:
        return (((ELEMENT, ""), part) for part in list(value) if type(part) not in known)
    return None


def of_dict(value: dict[Any, Any], kind: str, known: Collection[type] = ()) -> Iterator[Child]:
    """Values and keys; ``kind`` is that of text that leads to a value: an attribute, or an item."""
    for key, part in list(value.items()):
        if type(part) not in known:
            yield (kind if type(key) is str else ITEM, key), part
        if type(key) not in known and type(key) not in ATOMS:
            yield (KEY, key), key


# ------------------------------------------------------------ what a rule or __reduce__ gives


def of_reduced(value: Any, reduced: tuple[Any, ...]) -> Iterator[Child]:
    """The parts of an object that is taken apart."""
    make, args, *rest = reduced
    kind = type(value)
    namer = _NAMERS.get(make)
    if namer is not None:
        yield from namer(value, reduced)
        return
    if issubclass(kind, functools.partial):
        yield from _of_partial(value)
        return
    if kind is types.MethodType:
        yield (SELF, ""), value.__self__
        yield (ATTRIBUTE, "__func__"), value.__func__
        return
    with contextlib.suppress(Exception):  # there may be odd ones
        yield from list(_of_table(value))
    if make is not copyreg.__newobj__ and type(make) is not type:  # type: ignore[attr-defined] # typeshed has it not
        yield (INNER, ".__reduce__()[0]"), make
    yield from _of_arguments(value, make, args)
    yield from _of_state(rest)


def _of_partial(value: Any) -> Iterator[Child]:
    yield (ATTRIBUTE, "func"), value.func
    yield from (((ATTRIBUTE, f"args[{index}]"), part) for index, part in enumerate(value.args))
    yield from (((ATTRIBUTE, f"keywords[{name!r}]"), part) for name, part in value.keywords.items())
    yield from of_dict(value.__dict__, ATTRIBUTE)


def _of_arguments(value: Any, make: Any, args: tuple[Any, ...]) -> Iterator[Child]:
    for index, part in enumerate(args):
        if part is type(value):
            yield (ATTRIBUTE, "__class__"), part
        elif issubclass(type(value), BaseException):
            yield (ATTRIBUTE, f"args[{index}]"), part
        elif not (make is type(value) or make is copyreg.__newobj__):  # type: ignore[attr-defined]
            yield (INNER, f".__reduce__()[1][{index}]"), part
        else:
            yield (ITEM, index - (make is not type(value))), part


def _of_state(rest: list[Any]) -> Iterator[Child]:
    if len(rest) > 0 and rest[0] is not None:
        state = rest[0]
        slotted = isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, dict | None) for part in state)
        for part in state if slotted else (state,):
            if isinstance(part, dict):
                yield from of_dict(part, ATTRIBUTE)
            elif part is not None:
                yield (INNER, ".__getstate__()"), part
    if len(rest) > 1 and rest[1] is not None:
        yield from (((ITEM, index), part) for index, part in enumerate(islice(rest[1], _MOST_ITEMS)))
    if len(rest) > 2 and rest[2] is not None:
        for key, part in islice(rest[2], _MOST_ITEMS):
            yield (ITEM, key), part
            yield (KEY, key), key


# ------------------------------------------------------------ what travels by value


def _of_function(fn: types.FunctionType, reduced: tuple[Any, ...]) -> Iterator[Child]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield (VARIABLE, name), cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    variables, attributes, own, *_ = reduced[2]
    for name in sorted(variables):
        yield (GLOBAL, name), variables[name]
    for name, part in zip(reversed(fn.__code__.co_varnames[: fn.__code__.co_argcount]), reversed(fn.__defaults__ or ()), strict=False):
        yield (DEFAULT, name), part
    for name, part in (fn.__kwdefaults__ or {}).items():
        yield (DEFAULT, name), part
    for name in attributes.keys() - {"__defaults__", "__kwdefaults__"}:
        yield (ATTRIBUTE, name), attributes[name]
    yield from of_dict(own, ATTRIBUTE)


def _of_class(cls: type, reduced: tuple[Any, ...]) -> Iterator[Child]:
    for base in cls.__bases__:
        yield (BASE, base.__name__), base
    yield (METACLASS, type(cls).__name__), type(cls)
    attributes = reduced[2][0] if len(reduced) > 2 else {}
    yield from of_dict(attributes, ATTRIBUTE)


def _of_module(_: types.ModuleType, reduced: tuple[Any, ...]) -> Iterator[Child]:
    yield from of_dict(reduced[2], ATTRIBUTE)


_NAMERS: dict[Any, Callable[[Any, tuple[Any, ...]], Iterator[Child]]] = {
    _making.function: _of_function,
    _making.inner_function: _of_function,
    _making.new_class: _of_class,
    _making.new_module: _of_module,
}


# ------------------------------------------------------------ arrays and tables, whose insides nobody knows


def is_named(kind: type, package: str, name: str) -> bool:
    """Whether a class, or one that it is derived from, has that name in that package, which need not be loaded."""
    return any(cls.__name__ == name and cls.__module__.partition(".")[0] == package for cls in kind.__mro__)


def _of_table(value: Any) -> Iterable[Child]:
    kind = type(value)
    if is_named(kind, "numpy", "ndarray"):
        return _of_array(value)
    if is_named(kind, "pandas", "DataFrame"):
        return _of_frame(value)
    if is_named(kind, "pandas", "Series"):
        return _of_series(value)
    if is_named(kind, "pandas", "Index"):
        return _of_objects(value, range(len(value)))
    return ()


def _of_array(value: Any) -> Iterator[Child]:
    if value.dtype == object:
        for place, part in zip(_places(value.shape), value.flat, strict=True):
            if type(part) not in ATOMS:
                yield (ITEM, _Place(place)), part


def _places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    import itertools  # noqa: PLC0415 - only for arrays of objects

    return itertools.product(*map(range, shape))


class _Place(tuple[int, ...]):
    """Where in an array: reads as ``2, 5``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return ", ".join(map(str, self))


def _of_frame(frame: Any) -> Iterator[Child]:
    labels = frame.index
    for number, column in enumerate(frame.columns):
        values = frame.iloc[:, number]
        if values.dtype == object:
            for row, part in enumerate(values.array):
                if type(part) not in ATOMS:
                    yield (CELL, (column, labels[row])), part
    yield (ATTRIBUTE, "columns"), frame.columns
    yield (ATTRIBUTE, "index"), labels
    yield (ATTRIBUTE, "attrs"), frame.attrs


def _of_series(series: Any) -> Iterator[Child]:
    yield from _of_objects(series, series.index)
    yield (ATTRIBUTE, "index"), series.index
    yield (ATTRIBUTE, "attrs"), series.attrs


def _of_objects(column: Any, labels: Iterable[Any]) -> Iterator[Child]:
    if column.dtype == object:
        for label, part in zip(labels, column.array, strict=True):
            if type(part) not in ATOMS:
                yield (ITEM, label), part
