"""One object to bytes and back.

The C pickler goes first: it is several times faster than anything else. Only what it cannot do, or would do wrongly
(names in ``__main__``, which is another module in a worker), is pickled by value with cloudpickle, which is imported then.
"""

from __future__ import annotations

import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Bytes = bytes | bytearray | memoryview

PROTOCOL = 5

# Buffers from this size on stay out of the pickle, so that the receiver uses them where they have been read to.
OUT_OF_BAND = 65536

_MAIN = b"__main__"
_CLASS_STATE = b"_class_setstate"
_TEXT = frozenset({str, bytes, bytearray})


def encode(obj: object) -> tuple[bytes, Sequence[Bytes]]:
    """``(payload, buffers)`` of an object: a snapshot, independent of what happens to the object later.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    buffers: list[Bytes] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(bytes(raw))
        return False

    try:
        payload = pickle.dumps(obj, PROTOCOL, buffer_callback=keep_in_band)
        if not (_MAIN in payload and type(obj) not in _TEXT):
            return payload, buffers or ()
        first = None
    except Exception as error:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
        first = error
    buffers.clear()
    try:
        return _by_value(obj, first, keep_in_band), buffers
    finally:
        first = None  # or its traceback would keep this frame, and this frame the error


def encode_whole(obj: object) -> bytes:
    """Like :func:`encode`, in one piece.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    try:
        payload = pickle.dumps(obj, PROTOCOL)
    except Exception as error:  # noqa: BLE001 - as above
        return _by_value(obj, error)
    return _by_value(obj, None) if _MAIN in payload else payload


def decode(payload: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """The object behind :func:`encode`. Raises whatever the classes involved raise."""
    return pickle.loads(payload, buffers=buffers)


def decode_result(payload: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """Like :func:`decode`, for what comes back from a worker: classes that are at home here stay as they are.

    A class of ``__main__`` travels with its attributes, as they are in the worker; here they would overwrite the original's.
    """
    if _CLASS_STATE in bytes(payload):
        from manyhands._codec import _at_home  # noqa: PLC0415 - loads cloudpickle

        return _at_home.decode(payload, buffers)
    return pickle.loads(payload, buffers=buffers)


def _by_value(obj: object, error: Exception | None, keep_in_band: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    import cloudpickle  # noqa: PLC0415 - 15 ms, and most programs never need it

    try:
        payload: bytes = cloudpickle.dumps(obj, PROTOCOL, buffer_callback=keep_in_band)
    except Exception as second:  # noqa: BLE001 - as above
        from manyhands._codec import _trace  # noqa: PLC0415 - only after a failure

        try:
            raise _trace.not_serializable(obj, second) from (error or second)
        finally:
            error = None  # as above
    return payload
