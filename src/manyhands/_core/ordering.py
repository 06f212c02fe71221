"""Results in the order of the inputs, as they become available."""

from __future__ import annotations

from typing import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Chunk = tuple[int, list["T"]]

T = TypeVar("T")


class Reorder(Generic[T]):
    """Takes runs of results at their indices, gives them out in order.

    >>> r = Reorder()
    >>> r.put(2, ["c"]); r.put(0, ["a", "b"])
    >>> r.take(), r.take()
    (['a', 'b'], ['c'])
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[T]] = {}
        self.next = 0  # index of the first result that has not been given out

    @property
    def waiting(self) -> bool:
        """Whether any results wait for their turn."""
        return bool(self._waiting)

    def put(self, first: int, values: list[T]) -> None:
        """``values`` are the results ``first``, ``first + 1`` and so on."""
        if values:
            self._waiting[first] = values

    def take(self) -> list[T] | None:
        """The next run of results, or None if it is not there yet."""
        values = self._waiting.pop(self.next, None)
        if values is not None:
            self.next += len(values)
        return values

    def drain(self) -> list[T]:
        """All that is left, in order, gaps or not."""
        waiting, self._waiting = self._waiting, {}
        return [value for first in sorted(waiting) for value in waiting[first]]

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def chunks(self, arriving: Iterator[Chunk[T]]) -> Iterator[Chunk[T]]:
        """Runs of results as they arrive, ``(index of the first, values)``, each in its turn."""
        for first, values in arriving:
            if first == self.next and not self._waiting:
                self.next += len(values)
                yield first, values
            else:
                self.put(first, values)
                while (run := self.take()) is not None:
                    yield self.next - len(run), run
