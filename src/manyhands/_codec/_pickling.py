"""One object to bytes and back.

One pass of the C pickler. It asks :class:`Encoder` about each object that is more than a container or an atom; what would not be found in
a worker under its name (names of ``__main__``, which is another module there, among them) is pickled by value (``_by_value.py``).
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType

from manyhands._codec._naming import found_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from manyhands._codec._by_value import Namespace

    Bytes = bytes | bytearray | memoryview
    Rule = Callable[["Encoder", Any], Any]

PROTOCOL = 5

# Buffers from this size on stay out of the pickle, so that the receiver uses them where they have been read to.
OUT_OF_BAND = 65536

_MAIN = b"__main__"
_CALLS = b"_making"
_TEXT = frozenset({str, bytes, bytearray})

_MOST = 4000


def by_name_or_value(encoder: Encoder, obj: Any) -> Any:
    """The rule for functions and classes."""
    if found_by_name(obj):
        return NotImplemented
    from manyhands._codec import _by_value  # noqa: PLC0415 - most programs never need it

    return _by_value.function(encoder, obj) if type(obj) is FunctionType else _by_value.class_(encoder, obj)


# What has been looked up in _rules.py, for all encoders: the lookup takes longer than the call.
_rules: dict[type, Rule | None] = {FunctionType: by_name_or_value, type: by_name_or_value}


class Encoder(pickle.Pickler):
    """Pickles one object."""

    def __init__(self, file: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=buffer_callback)
        self._namespaces: dict[tuple[int, bool], Namespace] = {}

    def reducer_override(self, obj: Any) -> Any:
        """What pickle is to do with an object; NotImplemented: what it does by default."""
        kind = type(obj)
        try:
            rule = _rules[kind]
        except KeyError:
            rule = _look_up(kind)
        return NotImplemented if rule is None else rule(self, obj)

    def namespace(self, variables: dict[str, Any], *, light: bool = False) -> Namespace:
        """The one that stands for ``variables`` in this pickle; ``light``: without the rest of their module."""
        key = id(variables), light
        found = self._namespaces.get(key)
        if found is None:
            from manyhands._codec._by_value import Namespace  # noqa: PLC0415 - who calls this has loaded it

            found = self._namespaces[key] = Namespace(variables, light=light)
        return found


class _CarefulEncoder(Encoder):
    """For what names ``__main__`` in its pickle: objects that want to be pickled as a name of the program are not."""

    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if reduced is not NotImplemented or isinstance(obj, (type, FunctionType)):
            return reduced
        import copyreg  # noqa: PLC0415 - pickle has loaded it

        reduce = copyreg.dispatch_table.get(type(obj))
        reduced = obj.__reduce_ex__(PROTOCOL) if reduce is None else reduce(obj)
        if isinstance(reduced, str) and getattr(obj, "__module__", None) == "__main__":
            from manyhands._codec._by_value import named_object  # noqa: PLC0415 - rare

            return named_object(obj)
        return reduced


def _look_up(kind: type) -> Rule | None:
    from manyhands._codec._rules import rule_for  # noqa: PLC0415 - numbers, text and their containers need none

    if len(_rules) >= _MOST:
        _rules.clear()
    rule = _rules[kind] = rule_for(kind)
    return rule


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

    payload = _encode(obj, keep_in_band, buffers)
    return payload, buffers or ()


def encode_whole(obj: object) -> bytes:
    """Like :func:`encode`, in one piece.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    return _encode(obj)


def can_encode(obj: object) -> bool:
    """Whether :func:`encode` would succeed."""
    try:
        _dump(Encoder, obj, None)
    except Exception:  # noqa: BLE001 - that is the question
        return False
    return True


def decode(payload: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """The object behind :func:`encode`. Raises whatever the classes involved raise.

    Classes that travel by value are those that they are here already, if they are from here or have come before.
    """
    return pickle.loads(payload, buffers=buffers)


def is_made(payload: Bytes) -> bool:
    """Whether anything in a payload travels by value."""
    return _CALLS in bytes(payload)


def _encode(obj: object, keep_in_band: Callable[[pickle.PickleBuffer], bool] | None = None, buffers: list[Bytes] | None = None) -> bytes:
    try:
        payload = _dump(Encoder, obj, keep_in_band)
        if _MAIN in payload and type(obj) not in _TEXT:
            if buffers:
                buffers.clear()
            payload = _dump(_CarefulEncoder, obj, keep_in_band)
    except Exception as error:
        from manyhands._codec import _trace  # noqa: PLC0415 - only after a failure

        raise _trace.not_serializable(obj, error) from error
    return payload


def _dump(make: type[Encoder], obj: object, keep_in_band: Callable[[pickle.PickleBuffer], bool] | None) -> bytes:
    file = io.BytesIO()
    make(file, keep_in_band).dump(obj)
    return file.getvalue()
