"""A result as a pickle, with its large buffers beside it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.memory._entry import LARGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    Bytes = bytes | bytearray | memoryview

# In the pickles of objects that plain pickle takes, and would store a reference of.
_REFERENCES = (b"multiprocessing.shared_memory", b"multiprocessing.managers", b"manyhands.sharing._pieces", b"manyhands.sharing._arrivals")


def pickled(value: Any, function: str) -> tuple[bytes, Sequence[Bytes]]:
    """Pickle and buffers of a result of ``function``; those of less than :data:`LARGE` may be among them.

    Plain pickle does what it can: classes of a script go by name, and are the script's own in its next run. What it cannot do (lambdas,
    closures, classes made in functions) goes by value.

    Raises:
        NotStorable: with the path to the part that cannot be pickled.
    """
    if not (type(value) in {bytes, bytearray} and len(value) >= LARGE):  # plain pickle would have them in the pickle
        views: list[Bytes] = []

        def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
            try:
                raw = buffer.raw()
            except BufferError:  # neither in C nor in Fortran order
                return True
            if raw.nbytes < LARGE:
                return True
            views.append(raw)
            return False

        try:
            payload = pickle.dumps(value, 5, buffer_callback=keep_in_band)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything; if it is not mended now, it comes again
            pass
        else:
            if not any(name in payload for name in _REFERENCES):
                return payload, views
        views.clear()
    return _by_value(value, function)


def _by_value(value: Any, function: str) -> tuple[bytes, Sequence[Bytes]]:
    from manyhands._codec import _kept  # noqa: PLC0415 - most results are plain

    try:
        return _kept.encode_views(value)
    except errors.NotSerializable as error:
        refusal = errors.NotStorable(function, error.parts, error.more)
    raise refusal
