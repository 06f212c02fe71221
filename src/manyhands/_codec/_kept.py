"""Pickles that are kept: what they hold has to be there when this process, its files and its memory are gone.

What goes to a task may be named instead of copied: an open file by its path, shared memory by a token, a mapped file by where it is. Kept,
such a name would lead to something else, or nowhere; so it is refused, or goes by value. Nor does a secret go into what is kept.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _pickling
from manyhands._codec._mended import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = "it is an open file: what would be stored is its path, not what is in it"
_BY_VALUE = "as pickle has it"
_SHARED = "it is memory that processes share: what would be stored is where it is, not what is in it"
# By the names of classes, which need not be loaded; of their subclasses, too.
_REFUSED: dict[tuple[str, str], str] = {
    **{("io", name): _FILE for name in ("TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom", "FileIO")},
    **{("_io", name): _FILE for name in ("TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom", "FileIO")},
    ("numpy", "memmap"): _BY_VALUE,
    ("tempfile", "_TemporaryFileWrapper"): _FILE,
    ("manyhands.sharing._arrays", "SharedArray"): _SHARED,
    ("manyhands._wire._shared", "SharedLock"): _SHARED,
    ("manyhands.sharing._pieces", "Piece"): _SHARED,
    ("multiprocessing.shared_memory", "SharedMemory"): _SHARED,
    ("manyhands.sharing._proxies", "Proxy"): "it stands for an object of a process, which ends: what would be stored is where that is",
    (
        "multiprocessing.managers",
        "BaseProxy",
    ): "it stands for an object of a process of its own, which ends: what would be stored is its address",
}


class Kept(_pickling.Encoder):
    """For what is kept."""

    is_kept = True

    def reducer_override(self, obj: Any) -> Any:
        reason = _reason_of(obj)
        if reason == _BY_VALUE:
            return NotImplemented
        is_shared = reason != _SHARED or getattr(obj, "_piece", obj) is not None  # what is computed from a shared array is not
        if not reason or not is_shared or _is_standard_stream(obj):
            return super().reducer_override(obj)
        raise Refused(reason, of=obj)


def check_not_open(obj: object, mend: str) -> None:
    """
    Raises:
        Refused: it is an open file, of which a pickle has the path alone.
    """
    if _reason_of(obj) == _FILE and not _is_standard_stream(obj):
        raise Refused(_FILE, mend, of=obj)


_reasons: dict[type, str] = {}


def _reason_of(obj: object) -> str:
    reason = _reasons.get(type(obj))
    if reason is None:
        reason = _reasons[type(obj)] = _reason(type(obj))
    return reason


def _reason(kind: type) -> str:
    names = ((cls.__module__, cls.__qualname__) for cls in kind.__mro__)
    return next((_REFUSED[name] for name in names if name in _REFUSED), "")


def _is_standard_stream(obj: object) -> bool:
    return any(obj is getattr(sys, name, None) for name in ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"))


class CarefulKept(Kept, _pickling.CarefulEncoder):
    """The same for what names ``__main__``."""


_ENCODERS = (Kept, CarefulKept)


def encode_views(value: object) -> tuple[bytes, Sequence[memoryview]]:
    """Like :func:`manyhands._codec._pickling.encode_views`, of a result.

    Raises:
        NotSerializable: with the path to the part that cannot be kept.
    """
    return _pickling.encode_views(value, is_result=True, encoders=_ENCODERS)


def encode_whole(value: object) -> bytes:
    """The same in one piece.

    Raises:
        NotSerializable: as above.
    """
    return _pickling.encode_whole(value, is_result=True, encoders=_ENCODERS)
