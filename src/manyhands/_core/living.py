"""Objects that somebody may still hold, found without keeping them alive."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# So many are kept track of before those that have gone are looked for.
_LEAST = 64


class Living(Generic[T]):
    """All that have been added and that still exist.

    For any thread. Not a set or dictionary of ``weakref``: those run Python code whenever an object goes, into which a signal's handler may
    raise, and cannot be looked through while another thread adds something.
    """

    def __init__(self) -> None:
        self._found: dict[int, ref[T]] = {}
        self._numbers = itertools.count()
        self._most = _LEAST

    def add(self, item: T) -> None:
        """There is one more."""
        found = self._found
        found[next(self._numbers)] = ref(item)
        if len(found) > self._most:
            for number, other in list(found.items()):
                if other() is None:
                    found.pop(number, None)
            self._most = 2 * len(found) + _LEAST

    def __iter__(self) -> Iterator[T]:
        """Those that are there now."""
        for found in list(self._found.values()):
            item = found()
            if item is not None:
                yield item
