"""Arguments, encoded: that is the snapshot. What is large goes into segments, and what comes again is not put there again."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _packing, _passing, _pickling
from manyhands._engine import _parcels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._engine._parcels import Placed
    from manyhands._engine._pool import ProcessPool
    from manyhands._wire._frames import Bytes

    Encoded = tuple[Bytes | Placed, Sequence[Bytes | Placed]]


class Snapshot:
    """A value, encoded when it was read."""

    __slots__ = ("buffers", "payload")

    def __init__(self, payload: Bytes | Placed, buffers: Sequence[Bytes | Placed]) -> None:
        self.payload = payload
        self.buffers = buffers


class Refusal:
    """A value that could not be encoded."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class ArgumentEncoder:
    """Makes snapshots of arguments; what is large goes into segments. ``quiet``: none of the user's code runs between two of them."""

    # Here, so that one for a single call costs little.
    _latest: tuple[object, Encoded] | None = None
    _part: object = None  # the one part of the row before that is no atom
    _again: _Again | None = None  # it, if it is large, and came twice
    _is_small = False

    def __init__(self, pool: ProcessPool, *, quiet: bool = False) -> None:
        self._pool = pool
        self._quiet = quiet
        self._call = object() if quiet else None

    def disturbed(self) -> None:
        """Code of the user's may have run, which may have changed what has been sent."""
        if self._quiet:
            self._call = object()
            self.forget()

    def forget(self) -> None:
        """Let go of what has been sent: who keeps this, for what has become of the call, is not to keep that."""
        self.forget_row()
        self._part = self._again = None

    def forget_row(self) -> None:
        """Let go of the last row; what it has in common with others is kept."""
        self._latest = None

    def snapshot(self, value: object) -> object:
        """A value that can be kept: itself if it cannot change, else a :class:`Snapshot` or :class:`Refusal`."""
        return value if type(value) in _packing.ATOMS else self.encoded(value)

    def snapshot_row(self, row: tuple[object, ...]) -> object:
        """The same for a tuple of arguments."""
        for value in row:
            if type(value) not in _packing.ATOMS:
                return self.snapshot(row)
        return row

    def encoded(self, value: object) -> object:
        """A value that is not kept as it is."""
        try:
            return Snapshot(*self.encode(value))
        except errors.NotSerializable as error:
            return Refusal(error.with_traceback(None))  # which shows nothing of the user's
        except Exception as error:  # noqa: BLE001 - this task fails, the others need not
            return Refusal(error)

    def encode(self, value: object) -> Encoded:
        """Pickle and buffers of a value.

        Raises:
            NotSerializable: it cannot be sent.
        """
        if self._quiet and self._latest is not None and self._latest[0] is value:
            return self._latest[1]
        again = self._repeated(value) if type(value) is tuple else None
        if again is not None:
            value = tuple([part if part is not self._part else again for part in value])  # type: ignore[attr-defined]
        payload, views = _pickling.encode_views(value, "send", _pickling.KNOWN)
        is_plain = self._quiet and _is_plain_data(value)
        if self._quiet and not is_plain:
            self._call = object()  # code of the user's has run, which may have changed what has been sent
        encoded: Encoded = payload, ()
        if views or len(payload) >= _parcels.SHARED:
            encoded = self._pool.depot.place(payload, views, self._call if is_plain else None, again.placed if again else None)
        if _passing.seen[0]:
            encoded = encoded[0], _passing.kept_by(encoded[1])
        if self._quiet:
            self._latest = value, encoded
        return encoded

    def _repeated(self, row: tuple[object, ...]) -> _Again | None:
        """What a row has in common with the one before, if it is large and all the rest are atoms: nothing that could refer to it."""
        parts = [part for part in row if type(part) not in _packing.ATOMS]
        if len(parts) != 1 or parts[0] is not self._part:
            self._part, self._again, self._is_small = parts[0] if len(parts) == 1 else None, None, False
            return None
        if self._is_small or (self._quiet and self._again is not None):
            return self._again
        try:
            payload, views = _pickling.encode_views(parts[0], "send", _pickling.KNOWN)
        except errors.NotSerializable:
            self._part = None
            return None  # the row as a whole tells which argument it is
        if len(payload) < _parcels.SHARED:
            self._is_small = True  # arrays in it are looked after where they are placed
            return None
        if self._again is None or self._again.payload != payload:
            self._again = _Again(payload, self._pool.depot.place_payload(payload))
        self._again.views = views
        return self._again


class _Again:
    """Stands in a row for an object that has been pickled."""

    __slots__ = ("payload", "placed", "views")

    def __init__(self, payload: bytes, placed: Placed | None) -> None:
        self.payload = payload
        self.placed = None if placed is None else (payload, placed)
        self.views: Sequence[memoryview] = ()

    def __reduce__(self) -> Any:
        return _packing.load_again, (pickle.PickleBuffer(self.payload), *map(pickle.PickleBuffer, self.views))


def _is_plain_data(value: object) -> bool:
    """Whether none of the user's code runs when a value is pickled, which could change an array that has been stored."""
    parts = value if type(value) is tuple else (value,)
    if len(parts) == 2 and type(parts[0]) is tuple and type(parts[1]) is dict:  # positional arguments, and those by keyword
        parts = (*parts[0], *parts[1], *parts[1].values())
    return all(type(part) in _packing.ATOMS or type(part).__module__.partition(".")[0] in _PLAIN for part in parts)


_PLAIN = frozenset({"numpy", "pandas", "pyarrow", "torch"})
