"""Iterating over shared containers: live, in chunks that grow, with the container's own errors.

The owner takes out of an iterator what there is, and not the end: that is asked for when the caller has been through all of it, since it
may have changed the container meanwhile. Unless there was no time to: then the loop is one that ran before whatever comes next.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from itertools import islice
from operator import length_hint
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _values
from manyhands.sharing._values import ATOMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.sharing._operations import Teller
    from manyhands.sharing._table import Entry

    Chunk = tuple[list[Any], Any, int]

_FIRST_CHUNK = 16
_LARGEST_CHUNK = 4096
_CONTAINERS: tuple[Any, ...] = ((), [], {}, {}.values(), {}.items(), set(), deque(), "", "é", b"", bytearray(), range(0), range(1 << 70))
_REVERSIBLE: tuple[Any, ...] = ([], {}, {}.values(), {}.items(), deque())
ITERATORS = frozenset({*map(type, map(iter, _CONTAINERS)), *map(type, map(reversed, _REVERSIBLE))})
_FIXED = frozenset({tuple, str, bytes, range, frozenset})
_CHANGED: dict[Any, str] = {dict: "dictionary", defaultdict: "dictionary", Counter: "dictionary", set: "Set"}  # these words are Python's

# With these it makes no difference when an iteration begins: it does so with the first item. Before that, list() asks for their length.
LATE = frozenset({"list", "dict", "set", "bytearray"})

MORE, SEEN, END = range(3)  # what follows on a chunk: more; nothing, as it is now; nothing
_NS = 2000  # no message gets there and back in so short a time


class Cursor:
    """An iteration over a shared container that another process is in the midst of."""

    __slots__ = ("iterator", "size")

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator
        self.size = _FIRST_CHUNK

    def take(self) -> tuple[list[Any], int]:
        """The next items, and what follows on them. Raises what the iterator raises."""
        wanted = min(self.size, max(1, length_hint(self.iterator, self.size)))
        items = list(islice(self.iterator, wanted))
        self.size = min(2 * self.size, _LARGEST_CHUNK)
        if len(items) < wanted:
            return items, END
        return items, MORE if length_hint(self.iterator, 1) else SEEN


# ---------------------------------------------------------------- in the owner


def iterate(teller: Teller, caller: int, entry: Entry, _: str, args: tuple[Any, ...], __: Any) -> Any:
    """``(items, cursor, what follows)``; without a cursor, what follows is asked for by how many there have been: ``args``.

    What the user's code brings forth is not asked for beforehand.
    """
    entry.monitor.enter(caller)
    try:
        if args:
            items, follows = _resumed(entry.obj, *args)
            return _told(teller, entry, items, None, follows)
        iterator = iter(entry.obj)
        if type(iterator) not in ITERATORS:
            return teller.value(([], teller.mention(iterator, entry), MORE))
        cursor = Cursor(iterator)
        items, follows = cursor.take()
        if follows == SEEN and (type(entry.obj) in _FIXED or entry.kind.is_box):
            follows = END
        is_counted = type(entry.obj) is list or (type(entry.obj) in _CHANGED and follows != MORE)
        return _told(teller, entry, items, None if is_counted or follows == END else cursor, follows)
    finally:
        entry.monitor.leave()


def more(teller: Teller, caller: int, entry: Entry, _: str, __: Any, ___: Any) -> Any:
    """``(items, None, what follows)``, of a cursor."""
    entry.monitor.enter(caller)
    try:
        items, follows = entry.obj.take()
        return _told(teller, entry, items, None, follows)
    finally:
        entry.monitor.leave()


def _resumed(obj: Any, count: int) -> tuple[list[Any], int]:
    """What comes behind so many items."""
    if type(obj) is list:
        size = min(max(count, _FIRST_CHUNK), _LARGEST_CHUNK)
        items = obj[count : count + size] if count >= 0 else []
        return items, END if not items else MORE if count + size < len(obj) else SEEN
    if len(obj) != count:
        raise RuntimeError(f"{_CHANGED.get(type(obj), 'container')} changed size during iteration")
    return [], END


def _told(teller: Teller, entry: Entry, items: list[Any], cursor: Cursor | None, follows: int) -> Any:
    is_plain = ATOMS.issuperset(map(type, items))
    if is_plain and cursor is None:
        return teller.atom((items, None, follows))
    if not is_plain:
        items = [item if _values.is_immutable(item) else teller.mention(item, entry) for item in items]
    return teller.value((items, None if cursor is None else teller.mention(cursor, entry), follows))


# ---------------------------------------------------------------- in the process of the caller


def chunks(ask: Callable[[int], Chunk], first: Chunk | None, *, is_here: bool) -> Iterator[Any]:
    """Item after item; ``ask(count)`` gives those behind so many. ``first``: those that have been asked for."""
    count = 0
    items, _, follows = first or ask(0)
    begun = 0 if first else perf_counter_ns()  # of what was there before, nobody knows how long ago that was
    while True:
        yield from items
        if follows == END or (follows == SEEN and perf_counter_ns() - begun < _NS and not is_here):
            return
        count += len(items)
        items, _, follows = ask(count)
        begun = perf_counter_ns()
