"""What a pickle holds, for messages, without running anybody's code.

The argument of a task that has ended its worker may end this process as well when it is unpickled: so classes and functions that are not
known to be harmless are replaced by stand-ins which only remember their names and what they were given.
"""

from __future__ import annotations

import io
import mmap
import pickle
import reprlib
from typing import TYPE_CHECKING, Any

from manyhands._codec import _making

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._pickling import Bytes

# Constructors that do nothing but construct.
_HARMLESS = {
    "builtins": {"bytearray", "bytes", "complex", "frozenset", "list", "dict", "object", "range", "set", "slice", "tuple"},
    "collections": {"Counter", "OrderedDict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath"},
    "uuid": {"UUID"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlong = 30


class _StandIn:
    """Takes the place of an object: ``Point(x=1, y=2)``."""

    name = "?"

    def __new__(cls, *args: object, **kwargs: object) -> _StandIn:
        self = object.__new__(cls)
        self.__dict__["_shown"] = [_short.repr(value) for value in args] + [f"{name}={_short.repr(v)}" for name, v in kwargs.items()]
        return self

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 2:  # of a class with slots
            state = {**(state[0] or {}), **(state[1] or {})}
        if isinstance(state, dict):
            self.__dict__["_shown"] += [f"{name}={_short.repr(value)}" for name, value in state.items()]

    def __setitem__(self, *_: object) -> None:
        pass

    def append(self, *_: object) -> None:
        """What the unpickler calls for a list."""

    extend = add = append

    def __call__(self, *_: object, **__: object) -> _StandIn:
        return self

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.__dict__['_shown'][:6])})"


def _stand_in(name: str) -> type[_StandIn]:
    return type(name.rpartition(".")[2], (_StandIn,), {"name": name})


def _name_function(function: _StandIn, state: Any) -> None:
    function.__dict__["_name"] = state[1].get("__name__", function.__dict__.get("_name", "?"))


class _Function(_StandIn):
    def __repr__(self) -> str:
        return f"<function {self.__dict__.get('_name', '?')}>"


def _function(code: Any, *_: object) -> _StandIn:
    made = _Function()
    made.__dict__["_name"] = code.co_name
    return made


# What _making.py makes classes and functions with.
_BY_VALUE: dict[str, Callable[..., object]] = {
    "new_class": lambda _, name, *rest: _stand_in(name),
    "known_member": lambda cls, name: cls(name),
    "new_member": lambda cls, _, key, *rest: cls(key),
    "set_class": lambda cls, *_: cls,
    "code": _making.code,
    "function": _function,
    "inner_function": _function,
    "set_function": _name_function,
}


def _fill(error: _StandIn, parts: Any) -> None:
    state, inner = parts
    error.__dict__["_shown"] += map(_short.repr, inner.get("args", ()))
    error.__setstate__({name: value for name, value in {**inner, **state}.items() if name != "args" and not name.startswith("__")})


# What else of manyhands is in pickles.
_OURS: dict[tuple[str, str], Callable[..., object]] = {
    ("manyhands._codec._definitions", "definition"): lambda _, name, *rest: _stand_in(name),
    ("manyhands._codec._class_references", "known_class"): lambda _, __, name: _stand_in(name),
    ("manyhands._codec._class_references", "original_class"): lambda _, name: _stand_in(name),
    ("manyhands._codec._exceptions", "make_exception"): lambda *parts: parts[-1](),
    ("manyhands._codec._exceptions", "fill"): _fill,
    ("manyhands._codec._exceptions", "link"): lambda error, parts: error.__setstate__(parts[0]),
    ("manyhands._codec._handed", "arrived"): lambda _, make, args: _stand_in(make.name.removeprefix("make_"))(),
    ("manyhands._codec._packing", "load_again"): lambda payload, *buffers: preview(payload, buffers),
    ("manyhands.sharing._arrivals", "arrived"): lambda address, number, module, name, *rest: _stand_in("share")(_stand_in(name)()),
    ("manyhands.sharing._pieces", "_arrived"): lambda *_: None,
    ("manyhands.sharing._arrays", "_arrived"): lambda _, __, shape, ___, dtype, *rest: _stand_in("SharedArray")(shape, dtype),
}


class _Previewer(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The thing of that name if it is harmless, else a stand-in."""
        if name in _HARMLESS.get(module, ()):
            return super().find_class(module, name)
        if module == _making.__name__ and name in _BY_VALUE:
            return _BY_VALUE[name]
        known = _OURS.get((module, name))
        if known is not None:
            return known
        return _stand_in(name)

    def persistent_load(self, _: object) -> object:
        """There are none."""
        return None


def preview(payload: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """Something that looks like what is behind ``payload``."""
    # Copies of the buffers: nothing that is shown may change them.
    return _Previewer(io.BytesIO(payload), buffers=[bytes(buffer) for buffer in buffers]).load()


def outline(payload: Bytes, sizes: Sequence[int]) -> Any:
    """The same with zeros in place of the buffers, whose sizes are given: they take up no memory until somebody reads them."""
    return _Previewer(io.BytesIO(payload), buffers=[mmap.mmap(-1, size) if size else b"" for size in sizes]).load()


_NAMES_CLASSES = b"_class_references", b"load_again"


class _Noting(_Previewer):
    """Notes which classes are named by their tokens."""

    def __init__(self, payload: Bytes, buffers: Sequence[Bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)
        self.keys: list[bytes] = []

    def find_class(self, module: str, name: str) -> Any:
        if name == "known_class" and module == "manyhands._codec._class_references":
            return self._note
        if name == "load_again":
            return self._again
        return super().find_class(module, name)

    def _note(self, token: bytes, version: bytes, name: str) -> type[_StandIn]:
        self.keys.append(token + version)
        return _stand_in(name)

    def _again(self, payload: Bytes, *buffers: Bytes) -> object:
        self.keys += named_classes(payload, buffers)
        return _stand_in("?")()


def named_classes(payload: Bytes, buffers: Sequence[Bytes]) -> list[bytes]:
    """Of the classes in ``payload`` that its receiver has to ask for: what it asks with."""
    if not any(name in bytes(payload) for name in _NAMES_CLASSES):
        return []
    noting = _Noting(payload, buffers)
    try:
        noting.load()
    except Exception:  # noqa: BLE001 - as with messages: what cannot be looked through has no names
        return noting.keys
    return noting.keys


def is_stand_in(kind: type) -> bool:
    """Whether its instances only look like something: their ``repr`` is that of this module."""
    return issubclass(kind, _StandIn)


def show(value: object) -> str:
    """A short text for a value."""
    if isinstance(value, type) and issubclass(value, _StandIn):
        return value.name
    return _short.repr(value)


def name(function: object) -> str:
    """What is called, where that is behind ``payload``."""
    return str(vars(function)["_name"]) if isinstance(function, _Function) else show(function)


def guarded(make: Callable[[], str]) -> str:
    """The text that ``make`` gives; another if it cannot."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - a message must not fail for what it shows
        return "<arguments that cannot be shown>"
