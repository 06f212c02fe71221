"""Many arguments, or many results, in one message.

Two forms. Values that are immutable and hold nothing else (numbers, text) go together into **one pickle**, at some 50 ns each. All
others get **a pickle each**, behind a table of lengths: in one pickle, an object that two tasks have in common would arrive as one
object, and what the first task does to it the second would see; and one that cannot be unpickled would take the others with it.
"""

from __future__ import annotations

import pickle
import struct
from itertools import chain

from manyhands._codec._pickling import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from manyhands._codec._pickling import Bytes

# Immutable, and pickled without running anybody's code. Exact types: a subclass may carry anything.
NUMBERS = frozenset({type(None), bool, int, float, complex})
ATOMS = NUMBERS | {str, bytes}
_TEXT = frozenset({str, bytes})
_SHORT = 65536
_LONG = 1 << 18  # text of this length does better alone: it need not be copied into a pickle of others, and through a socket


def are_atoms(values: Sequence[object]) -> bool:
    """Whether all values may share one pickle."""
    return _are_atoms(set(map(type, values)), values)


def rows_of_atoms(rows: Sequence[tuple[object, ...]]) -> bool:
    """Whether all values of all tuples may share one pickle."""
    return _are_atoms(set(map(type, chain.from_iterable(rows))), chain.from_iterable(rows))


def _are_atoms(kinds: set[type], values: Iterable[Any]) -> bool:
    if not kinds <= ATOMS:
        return False
    if kinds <= NUMBERS:
        return True
    texts = values if kinds <= _TEXT else (value for value in values if type(value) in _TEXT)
    return max(map(len, texts), default=0) < _LONG


def is_short_text(value: object) -> bool:
    """Whether a value is text that may share a message with others; a long one goes alone."""
    return type(value) in _TEXT and len(value) < _SHORT  # type: ignore[arg-type]


def join_atoms(values: Sequence[object]) -> bytes:
    """One pickle of a list of atoms, or of tuples of atoms."""
    return pickle.dumps(list(values), PROTOCOL)


def pickle_atoms(value: object) -> bytes:
    """The pickle of one atom, or of one tuple of atoms."""
    return pickle.dumps(value, PROTOCOL)


def split_atoms(payload: Bytes) -> list[object]:
    """The list behind :func:`join_atoms`."""
    values: list[object] = pickle.loads(payload)
    return values


def join_pickles(pickles: Sequence[Bytes]) -> bytes:
    """Pickles behind a table of their lengths."""
    if len(pickles) == 1:
        return bytes(pickles[0])
    table = struct.pack(f"<{len(pickles)}Q", *map(len, pickles))
    return b"".join((table, *pickles))


def split_pickles(payload: Bytes, count: int) -> Iterator[memoryview]:
    """The ``count`` pickles behind :func:`join_pickles`."""
    view = memoryview(payload)
    if count == 1:
        yield view
        return
    position = 8 * count
    for length in struct.unpack_from(f"<{count}Q", payload):
        yield view[position : position + length]
        position += length


def load_again(payload: Bytes, *buffers: Bytes) -> object:
    """What many messages have in common, which was pickled once."""
    return pickle.loads(payload, buffers=buffers)
