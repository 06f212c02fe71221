"""How often lines have run, by file and line: what is called for each line, and what is told of it.

Counts are in plain lists, one for each file, by line number. They are written by whatever thread runs a line, and read by the one that
samples: Python's lock is only given up at the end of a call and where a loop goes back, and there is neither between reading a count and
writing it. No code object is a key anywhere: its hash, which is one of all of its byte code, takes longer than all else.

A counter of a level is called with a code object and a line, as ``sys.monitoring`` does it.
"""

from __future__ import annotations

import opcode
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType

    from manyhands._probe._sparing import Sparing

NO_LOOPS: Mapping[int, int] = {}
_RESUME = opcode.opmap["RESUME"]
_LONGEST = 1_000_000  # lines of a file


Place = tuple[str, int]  # a file, and a line of it


class Calls(NamedTuple):
    """Functions of a counter that share what they know of the favourite code."""

    line: Callable[[CodeType, int], object]
    jumped: Callable[[CodeType, int, int], object]
    favour: Callable[[CodeType | None, Mapping[int, int]], None]


class News(NamedTuple):
    """A line has run ``runs`` times more, at ``at``, or just now if that is 0.

    Attributes:
        error: one standard deviation of what is estimated of that; 0: it is exact.
        bias: by how much it may be wrong in the same direction each time.
    """

    file: str
    line: int
    runs: int
    at: int = 0
    error: int = 0
    bias: int = 0


def told_of(code: CodeType) -> set[int]:
    """Lines of code that may be told of: all but one that has only its beginning."""
    begin = 2 * code.co_code[::2].find(_RESUME) + 2
    return {line for _, end, line in code.co_lines() if line is not None and end > begin}


class Counter:
    """What all levels have in common.

    Attributes:
        files: by name; the lists only grow, in place.
        count: called for each line.
        jumped: called for each jump, if the counter has something that is quicker than ``elsewhere``.
        elsewhere: called for other jumps than those that are known of the favourite code.
        rest: called for code of which nothing is to be told until it is in ``again``.
        again: code whose lines are to be counted again.
        calls: how often something else than a line was told of, where that is so.
        weights: of lines that cost more to be counted than others, by how much.
    """

    count: Callable[[CodeType, int], object]
    jumped: Callable[[CodeType, int, int], object] | None = None
    elsewhere: Callable[[CodeType, int, int], object]
    rest: Callable[[CodeType], None]

    def __init__(self) -> None:
        self.files: dict[str, list[int]] = {}
        self.again: list[CodeType] = []
        self.calls = 0
        self.weights: dict[Place, float] = {}
        self._told: dict[str, list[int]] = {}

    def has_room(self, file: str, lines: int) -> bool:
        """Whether a file's lines up to that one can be counted."""
        counts = self.files.setdefault(file, [])  # at once: several threads may begin with a file
        missing = lines + 1 - len(counts)
        if missing > 0:
            if lines >= _LONGEST:
                return False
            counts += [0] * missing
        return True

    def favour(self, code: CodeType | None, loops: Mapping[int, int] = NO_LOOPS) -> None:
        """The code that runs most, as far as is known; it is looked for first. ``loops``: offsets to which is jumped back in a line."""

    def is_closed(self, file: str, line: int) -> bool:
        """Whether a line is not to be counted just now."""
        return False

    def have_all_run(self, file: str, lines: Iterable[int]) -> bool:
        """Whether nothing new can be told of these lines."""
        return False

    def open(self) -> None:
        """A window opens: all lines are counted again."""

    def looked(self, places: Callable[[], list[Place]]) -> None:
        """A look at the threads, which are at these places. Called by the thread that samples."""

    def news(self) -> list[News]:
        """What has not been told yet; that is the end of a window. Code in :attr:`again` has to be armed for the next one.

        For one thread at a time.
        """
        return list(self._differences())

    def told(self, news: list[News]) -> int:
        """How often a counter was called for that."""
        return sum(each.runs for each in news if not each.error)

    def _now(self, counts: list[int]) -> list[int]:
        return counts[:]

    def _differences(self) -> Iterator[News]:
        for file, counts in list(self.files.items()):
            now = self._now(counts)
            told = self._told.get(file)
            if now == told:
                continue
            told = self._told.setdefault(file, [])
            told += [0] * (len(now) - len(told))
            for line, count in enumerate(now):
                if count > told[line]:
                    yield News(file, line, count - told[line])
                    told[line] = count


class NotCounted(Exception):
    """A line counts by others from now on: it is not to be told of at that place."""


class Exact(Counter):
    """Each line is counted each time; :mod:`._sparing` makes that cheaper."""

    def __init__(self, no_more: object = None) -> None:
        super().__init__()
        self.sparing: Sparing | None = None
        self.count, self.jumped, self._favour = _exactly(self, no_more)

    def favour(self, code: CodeType | None, loops: Mapping[int, int] = NO_LOOPS) -> None:
        self._favour(code, loops)

    def told(self, news: list[News]) -> int:
        if self.sparing is None:
            return super().told(news)
        return sum(each.runs for each in news if not self.sparing.is_spared(self.files[each.file], each.line))

    def _now(self, counts: list[int]) -> list[int]:
        return counts[:] if self.sparing is None else self.sparing.read(counts)


def _exactly(counter: Counter, no_more: object) -> Calls:
    files = counter.files
    favourite: CodeType | None = None
    favoured: list[int] = []
    favoured_loops = NO_LOOPS

    def count(code: CodeType, line: int) -> object:
        try:
            if code is favourite:
                favoured[line] += 1
            else:
                files[code.co_filename][line] += 1
        except NotCounted:
            return no_more
        return None

    def jumped(code: CodeType, offset: int, to: int) -> object:
        if code is favourite and to in favoured_loops:
            favoured[favoured_loops[to]] += 1
            return None
        return counter.elsewhere(code, offset, to)

    def favour(code: CodeType | None, loops: Mapping[int, int]) -> None:
        nonlocal favourite, favoured, favoured_loops
        # In this order no line is counted in another file, wherever the thread is stopped.
        favourite = None
        if code is not None:
            favoured, favoured_loops = files[code.co_filename], loops
            favourite = code

    return Calls(count, jumped, favour)


class Touch(Counter):
    """Which lines have run, and when first. ``no_more``: what tells that a place in the code is not to be asked about again."""

    def __init__(self, no_more: object, _cost: object = None) -> None:
        super().__init__()
        files = self.files
        self._first: deque[tuple[str, int, int, int]] = deque()
        first = self._first

        def count(code: CodeType, line: int) -> object:
            file = code.co_filename
            if not files[file][line]:
                files[file][line] = 1
                first.append((file, line, 1, time.monotonic_ns()))
            return no_more

        self.count = count

    def is_closed(self, file: str, line: int) -> bool:
        return self.files[file][line] > 0

    def have_all_run(self, file: str, lines: Iterable[int]) -> bool:
        counts = self.files[file]
        return all(counts[line] for line in lines)

    def news(self) -> list[News]:
        return [News(*self._first.popleft()) for _ in range(len(self._first))]
