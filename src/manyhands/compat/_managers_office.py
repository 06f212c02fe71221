"""What a manager under the standard library's names has in its process: an object that makes others, and what holds each of them.

A proxy asks its :class:`Held` to call a method. What that returns is sent by value, as there. Nothing here imports ``multiprocessing``,
which takes longer than all else that such a process does when it starts.
"""

from __future__ import annotations

import hmac
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from manyhands import errors
from manyhands.sharing import _primitives, _table
from manyhands.sharing._waiting import Shareable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Of what ``BaseManager.register`` keeps: callable, exposed, method_to_typeid.
    Registry = Mapping[str, tuple[Any, Any, Any]]


class Held(Shareable):
    """An object of a manager, with the names that may be called.

    Attributes:
        typeid: under which it was made.
    """

    def __init__(self, office: Office, obj: Any, typeid: str, exposed: tuple[str, ...], typeids: Mapping[str, str]) -> None:
        self.manyhands_target = obj  # what is taken back when nobody reads the answer is taken back by that
        self.typeid = typeid
        self._office = office
        self._exposed = exposed
        self._typeids = typeids

    def names(self) -> tuple[str, ...]:
        """What may be called."""
        return self._exposed

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """A method's result; if that is to have a proxy, what holds it."""
        obj = self.manyhands_target
        if name not in self._exposed or (method := getattr(obj, name, None)) is None:
            return self._otherwise(name)
        result = method(*args, **kwargs)
        typeid = self._typeids.get(name)
        return result if typeid is None else self._office.create(typeid, result)

    def _otherwise(self, name: str) -> Any:
        fallback = _FALLBACKS.get(name)
        if fallback is not None:
            return fallback(self.manyhands_target)
        try:
            if name in self._exposed:
                getattr(self.manyhands_target, name)
            msg = f"method {name!r} of {type(self.manyhands_target)!r} object is not in exposed={set(self._exposed)!r}"
            raise AttributeError(msg)
        except AttributeError:
            _raise_as_text()


_FALLBACKS: dict[str, Callable[[Any], Any]] = {"__str__": str, "__repr__": repr, "#GETVALUE": lambda obj: obj}


class Office(Shareable):
    """Makes what is registered."""

    def __init__(self, registry: Registry, authkey: bytes) -> None:
        self._registry = registry
        self._authkey = bytes(authkey)

    def create(self, typeid: str, /, *args: Any, **kwargs: Any) -> Held:
        """A new object, or what its callable gives; without a callable, the one argument.

        Raises:
            RemoteError: with the traceback of whatever went wrong.
        """
        try:
            factory, exposed, typeids = self._registry[typeid]
            if factory is not None:
                obj = factory(*args, **kwargs)
            elif len(args) == 1 and not kwargs:
                obj = args[0]
            else:
                msg = "Without callable, must have one non-keyword argument"
                raise ValueError(msg)
            names = tuple(_public_methods(obj) if exposed is None else exposed)
            return Held(self, obj, typeid, names + tuple(typeids or ()), typeids or {})
        except Exception:  # noqa: BLE001 - as the standard library's
            _raise_as_text()

    def is_known(self, authkey: bytes) -> bool:
        """Whether that is its key."""
        return hmac.compare_digest(bytes(authkey), self._authkey)

    def number_of_objects(self) -> int:
        """How many objects there are that somebody has a proxy of."""
        return len(_all_held())

    def debug_info(self) -> str:
        """A line for each of them."""
        return "\n".join(
            f"  {entry.number:x}:       refcount={entry.holds}\n    {str(entry.obj.manyhands_target)[:75]}" for entry in _all_held()
        )


def _all_held() -> list[_table.Entry]:
    return [entry for entry in _table.here.table.snapshot() if isinstance(entry.obj, Held) and entry.holds > 0]


def _public_methods(obj: Any) -> list[str]:
    return [name for name in dir(obj) if not name.startswith("_") and callable(getattr(obj, name))]


def new_condition(lock: Any = None) -> _primitives.Condition:
    """A condition; its lock is that of a proxy."""
    held = getattr(lock, "_held", None)
    return _primitives.Condition(lock if held is None else held.manyhands_target)


def _raise_as_text() -> NoReturn:
    from multiprocessing.managers import RemoteError  # noqa: PLC0415 - see above

    raise RemoteError(traceback.format_exc()) from None


class _State:
    office: Office | None = None
    opening = threading.Lock()


def open_office(registry: Registry, authkey: bytes, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> Office:
    """In the process of a manager: begin."""
    warnings.simplefilter("ignore", errors.LockAbandoned)  # who is to be told is elsewhere, and knows no such thing
    if initializer is not None:
        initializer(*initargs)
    with _State.opening:
        _State.office = Office(registry, authkey)
    return _State.office


def visit(authkey: bytes) -> Office:
    """In the process of a manager: for who has come by its address.

    Raises:
        AuthenticationError: with another key.
    """
    if _State.office is None or not _State.office.is_known(authkey):
        from multiprocessing import AuthenticationError  # noqa: PLC0415 - see above

        msg = "digest received was wrong"
        raise AuthenticationError(msg)
    return _State.office
