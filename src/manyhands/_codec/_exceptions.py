"""An exception taken apart, and put together without what its author wrote to construct it, whose signature need not fit ``args``.

Its state is its ``__dict__``. *Inside* is what it has in slots, by name: those of its classes, the interpreter's among them, like
``OSError.errno``. When it is an argument or a result, ``args``, ``__cause__`` and ``__context__`` go with that.
"""

from __future__ import annotations

import builtins
import contextlib
import copyreg
import io
import types

from manyhands import errors
from manyhands._codec import _pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from manyhands._codec._pickling import Encoder

    State = dict[str, Any]

_LONGEST_CHAIN = 50  # causes of causes in a row: pickle follows them by recursion
_MEMBERS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_COMMON = frozenset({object, BaseException, BaseExceptionGroup})
_NOTHING = object()
# The object of an AttributeError may be anything, and large; the interpreter's own pickling leaves it out, too.
_LEFT_OUT = frozenset({(AttributeError, "obj")})


class _Probe(_pickling.Encoder):
    """Tries whether objects can be pickled, each of them once; exceptions without what led to them."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(io.BytesIO(), lambda _: None, encoder.on_stale)
        self.brings_buffers = encoder.brings_buffers
        self._too_deep = ""

    def obstacle(self, error: BaseException) -> str:
        """Why ``error`` cannot be pickled; empty if it can."""
        if self._too_deep:  # where there is one of these there are many, each of them at the depth of the last
            return self._too_deep
        try:
            self.dump(error)
        except Exception as second:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
            self.clear_memo()
            reason = f"it cannot be sent to another process: {name_of(second)}: {text_of(second)}"
            if isinstance(second, RecursionError):
                self._too_deep = reason
            return reason
        return ""


# ------------------------------------------------------------ apart


def exception(encoder: Encoder, value: BaseException) -> Any:
    """The rule for exceptions: as their author says, if he says so; else rebuilt without his ``__init__``."""
    cls = type(value)
    links = {} if isinstance(encoder, _Probe) else _links(encoder, value)
    if says_itself(cls):
        return _as_it_says(value, links) if links else NotImplemented
    args, group = of_base(value, "args"), group_of(value)
    inner = {**inside(value), **links}
    if not _is_plain(cls):
        return make_exception, (*_needed(cls, args, group), cls), (vars(value), {"args": args, **inner}), None, None, fill
    return (cls, group or args, (vars(value), inner), None, None, fill) if inner else NotImplemented


def says_itself(cls: type[BaseException]) -> bool:
    """Whether the author of a class says how it is pickled."""
    owner = next(base for base in cls.__mro__ if "__reduce__" in vars(base) or "__reduce_ex__" in vars(base))
    return cls in copyreg.dispatch_table or not _is_builtin(owner)


def _as_it_says(value: BaseException, links: State) -> Any:
    reduce = copyreg.dispatch_table.get(type(value))
    reduced = value.__reduce_ex__(_pickling.PROTOCOL) if reduce is None else reduce(value)
    if isinstance(reduced, str) or len(reduced) > 3:
        return NotImplemented
    make, args, *state = reduced
    return make, args, (state[0] if state else None, links), None, None, link


def inside(value: BaseException) -> State:
    """What is in the slots of its classes."""
    found = {}
    for base in reversed(type(value).__mro__):
        slotted = "__slots__" in vars(base)
        if base not in _COMMON and (slotted or _is_builtin(base)):
            for name, member in vars(base).items():
                held = _held(member, value)
                # An empty slot of the interpreter's reads as None, and would not be empty if that were put there.
                if held is not _NOTHING and (slotted or held is not None) and (base, name) not in _LEFT_OUT:
                    found[name] = held
    return found


def _held(member: object, value: BaseException) -> Any:
    if not isinstance(member, _MEMBERS) or member.__name__ in {"__dict__", "__weakref__"}:
        return _NOTHING
    try:
        return member.__get__(value)
    except AttributeError:  # not assigned
        return _NOTHING


def _links(encoder: Encoder, value: BaseException) -> State:
    """What led to an exception; in the place of what cannot travel, or goes on and on, its text."""
    found: State = {}
    for name in ("__cause__", "__context__"):
        linked = of_base(value, name)
        if linked is not None:
            reason = _obstacle(encoder, linked) if _length(linked) % _LONGEST_CHAIN else "too much led to it"
            found[name] = _stand_in(linked, reason) if reason else linked
    if found or of_base(value, "__suppress_context__"):
        found["__suppress_context__"] = of_base(value, "__suppress_context__")
    return found


def _length(error: BaseException | None) -> int:
    """How many there are in the chain of what led to an exception, with itself."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        cause = of_base(error, "__cause__")
        error = of_base(error, "__context__") if cause is None else cause
    return len(seen)


def _obstacle(encoder: Encoder, linked: BaseException) -> str:
    """Why it cannot travel; empty if it can."""
    probe: _Probe | None = encoder.__dict__.get("probe")
    if probe is None:
        probe = encoder.__dict__["probe"] = _Probe(encoder)
    return probe.obstacle(linked)


def _stand_in(error: BaseException, reason: str) -> errors.RemoteError:
    return errors.RemoteError(type_name=name_of(error), text=text_of(error), traceback="", reason=reason)


# ------------------------------------------------------------ together


def make_exception(*parts: Any) -> BaseException:
    """An exception of the class that comes last, by what of its constructor is not Python."""
    *args, cls = parts
    base = _constructor(cls)
    made: BaseException = base.__new__(cls, *args)
    if args:
        base.__init__(made, *args)
    return made


def together(
    cls: type[BaseException], args: Sequence[Any], state: State, inner: State, group: tuple[str, list[Any]] | None
) -> BaseException:
    """An exception; of a ``group`` the message and the members are given, and ``args`` follow them."""
    made = make_exception(*_needed(cls, args, group), cls)
    fill(made, (state, {"args": (*(group or ()), *args), **inner}))
    return made


def fill(error: BaseException, parts: tuple[State, State]) -> None:
    """Put state and inside in their places; not by assignment, which a class may forbid."""
    state, inner = parts
    for name, held in inner.items():
        put(error, name, held)
    if state and type(error).__setstate__ is not BaseException.__setstate__:
        error.__setstate__(state)
    else:
        error.__dict__.update(state)


def link(error: BaseException, parts: tuple[Any, State]) -> None:
    """The same for one whose state its author gives."""
    state, links = parts
    if state is not None:
        error.__setstate__(state)
    fill(error, ({}, links))


def put(error: BaseException, name: str, held: object) -> None:
    """Fill one slot of a class of ``error``; leave those alone that cannot be filled."""
    for base in type(error).__mro__:
        member = vars(base).get(name)
        if isinstance(member, _MEMBERS):
            with contextlib.suppress(AttributeError, TypeError):
                member.__set__(error, held)
            return


# ------------------------------------------------------------ what an exception is


def of_base(error: BaseException, name: str) -> Any:
    """An attribute that all exceptions have, whatever their class has made of it."""
    return vars(BaseException)[name].__get__(error)


def group_of(error: BaseException) -> tuple[str, list[BaseException]] | None:
    """Message and members of a group; None for others."""
    if not isinstance(error, BaseExceptionGroup):
        return None
    own = vars(BaseExceptionGroup)
    return own["message"].__get__(error), list(own["exceptions"].__get__(error))


def name_of(error: BaseException) -> str:
    """``module.Class``, without ``builtins``."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ in {"builtins", "__main__"} else f"{cls.__module__}.{cls.__qualname__}"


def text_of(error: BaseException) -> str:
    """Its text, whatever its ``__str__`` does."""
    try:
        return "" + str.__str__(str(error))
    except BaseException as second:  # noqa: BLE001 - a user's __str__
        return f"<its text cannot be had: {type(second).__name__}>"


def _needed(cls: type[BaseException], args: Sequence[Any], group: tuple[str, list[Any]] | None) -> Sequence[Any]:
    """What the part of the constructor that is not Python cannot do without: of the interpreter's classes, only groups need anything."""
    return group or (() if _is_builtin(_constructor(cls)) else args)


def _constructor(cls: type) -> Any:
    """The base whose ``__new__`` is not Python; it is the only one of them that fits."""
    base: Any = cls
    while not isinstance(vars(base).get("__new__"), types.BuiltinFunctionType):
        base = base.__base__
    return base


def _is_plain(cls: type[BaseException]) -> bool:
    """Whether no Python is run when one is made."""
    return isinstance(cls.__init__, types.WrapperDescriptorType) and isinstance(cls.__new__, types.BuiltinFunctionType)


def _is_builtin(cls: type) -> bool:
    return vars(builtins).get(cls.__name__) is cls
