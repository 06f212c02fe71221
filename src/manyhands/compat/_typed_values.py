"""``Value``, ``Array``, ``RawValue``, ``RawArray``: objects of ``ctypes``, as ``multiprocessing`` gives them, in shared memory of ours.

They travel by any pickle, to any process of this user, at any time; not only to a process that is being started. Their lock is given back
by the kernel when its holder dies.
"""

from __future__ import annotations

import ctypes
import functools
from multiprocessing import sharedctypes
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _pieces

if TYPE_CHECKING:
    from collections.abc import Sequence


class InSharedMemory:
    """Mixed into a class of ``ctypes``: its objects lie in a piece of shared memory."""

    __slots__ = ()

    manyhands_plain: Any
    manyhands_piece: _pieces.Piece

    def __reduce_ex__(self, _: Any) -> Any:
        return _over, (type(self).manyhands_plain, self.manyhands_piece)


class Lock(_pieces.SharedLock):
    """With the names of ``multiprocessing.RLock``."""

    __slots__ = ()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; wait for it if ``block``, at most ``timeout`` seconds. Whether it was taken."""
        return super().acquire(block, None if timeout is None else max(0.0, timeout))

    def is_of(self, piece: object) -> bool:
        """Whether it is that of a piece of memory."""
        return self._piece is piece

    def __reduce__(self) -> Any:
        return Lock, (self._piece,)


class _Travelling:
    """Mixed into a wrapper of ``multiprocessing``."""

    __slots__ = ()

    _obj: Any
    _lock: Any

    def __reduce__(self) -> Any:
        return synchronized, (self._obj, self._lock)


@functools.cache
def _shared_class(plain: Any) -> Any:
    return type(plain.__name__, (InSharedMemory, plain), {"__module__": plain.__module__, "manyhands_plain": plain})


@functools.cache
def _travelling_class(wrapper: Any, is_own_lock: bool) -> Any:
    own: dict[str, Any] = {"__module__": wrapper.__module__}
    if is_own_lock and wrapper in _READING:
        own |= _READING[wrapper]
    return type(wrapper.__name__, (_Travelling, wrapper), own)


def _read_value(self: Any) -> Any:
    return self._obj.manyhands_piece.read(lambda: self._obj.value)


def _set_value(self: Any, value: Any) -> None:
    with self._lock:
        self._obj.value = value


def _read_item(self: Any, index: Any) -> Any:
    return self._obj.manyhands_piece.read(lambda: self._obj[index])


# Reading waits for who has the lock, without taking it.
_READING: dict[Any, dict[str, Any]] = {
    sharedctypes.Synchronized: {"value": property(_read_value, _set_value)},
    sharedctypes.SynchronizedArray: {"__getitem__": _read_item},
    sharedctypes.SynchronizedString: {"__getitem__": _read_item, "value": property(_read_value, _set_value)},
}


def _over(plain: Any, piece: _pieces.Piece) -> Any:
    made = _shared_class(plain).from_buffer(memoryview(piece.words).cast("B"))
    made.manyhands_piece = piece
    return made


def _new(kind: Any) -> Any:
    return _over(kind, _pieces.new(ctypes.sizeof(kind)))


def _type(typecode_or_type: Any) -> Any:
    codes: Any = sharedctypes.typecode_to_type  # type: ignore[attr-defined]
    return codes.get(typecode_or_type, typecode_or_type)


def raw_value(typecode_or_type: Any, *args: Any) -> Any:
    """See :func:`manyhands.compat.multiprocessing.RawValue`."""
    made = _new(_type(typecode_or_type))
    made.__init__(*args)
    return made


def raw_array(typecode_or_type: Any, size_or_initializer: int | Sequence[Any]) -> Any:
    """See :func:`manyhands.compat.multiprocessing.RawArray`."""
    kind = _type(typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new(kind * size_or_initializer)
    made = _new(kind * len(size_or_initializer))
    made.__init__(*size_or_initializer)
    return made


def with_lock(made: Any, lock: Any) -> Any:
    """A value or array with a lock around it: its own, or that of the caller's; False: none."""
    if lock is False:
        return made
    if lock is True or lock is None:
        lock = Lock(made.manyhands_piece)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r:.80} has no method 'acquire'")
    return synchronized(made, lock)


def synchronized(made: Any, lock: Any) -> Any:
    """What ``multiprocessing`` puts around a value or array."""
    wrapper: Any = sharedctypes.synchronized(made, lock)
    kind: Any = type(wrapper)
    return _travelling_class(kind, type(lock) is Lock and lock.is_of(getattr(made, "manyhands_piece", None)))(made, lock)
