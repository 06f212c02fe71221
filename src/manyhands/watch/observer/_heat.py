"""Where time goes: by line, and by stack. Pure: what is seen goes in, tables come out."""

from __future__ import annotations

import math
from typing import NamedTuple

from manyhands._probe import _files

_COMMAND = "/bin/manyhands"  # where the program's main thread begins, under ``manyhands run``
Place = tuple[str, int]  # a file, and a line of it


class Line:
    """What is known of one line.

    Attributes:
        seen: how often a thread was seen there.
        runs: how often it has run, as far as that has been counted.
        time: nanoseconds that it, or what it has called, took.
        own: the part of that in which it was the innermost line.
        last: when it was seen last, in nanoseconds.
        variance, bias: of what is estimated of ``runs``: errors that are different each time, and such as may all have one direction.
    """

    __slots__ = ("bias", "last", "own", "runs", "seen", "time", "variance")

    def __init__(self) -> None:
        self.seen = self.runs = self.time = self.own = self.last = self.variance = self.bias = 0

    @property
    def hits(self) -> int:
        """How often it has run; where that has not been counted, how often it was seen."""
        return self.runs or self.seen

    @property
    def error(self) -> float:
        """By how much ``hits`` may be wrong; 0: it is exact, or no count."""
        return 2 * math.sqrt(self.variance) + self.bias


class FileHeat(NamedTuple):
    """A file, and how hot it is; ``counts``: what its hits are, see :meth:`Heat.counts`."""

    path: str
    hits: int
    own: int
    last: int
    counts: str


class Heat:
    """Of one run, or of one process of it."""

    def __init__(self) -> None:
        self.files: dict[str, dict[int, Line]] = {}
        self.paths: list[str] = []  # of the files; what a page calls them by is the place in here
        self._numbers: dict[str, int] = {}
        self._counted: dict[str, bool] = {}  # files in which lines are counted, and whether each time

    def seen(self, stack: tuple[Place, ...], at: int, lasted: int, *, looks: int = 1) -> None:
        """A thread was at a stack, whose innermost frame is the first, for so many nanoseconds until ``at``.

        ``looks``: that found it there.
        """
        been: set[Place] = set()
        for place in stack:
            if place in been:  # a recursion
                continue
            been.add(place)
            line = self._line(place)
            line.seen += looks
            line.time += lasted
            line.last = max(line.last, at)
        if stack:
            self._line(stack[0]).own += lasted

    def counted(self, place: Place, runs: int, at: int, *, error: int = 0, bias: int = 0, is_touch: bool = False) -> None:
        """A line has run so often since it was told of last. Of an estimate: its standard deviation and its bias.

        ``is_touch``: only its first run was told of.
        """
        self._counted[place[0]] = self._counted.get(place[0], False) or not is_touch
        line = self._line(place)
        line.runs += runs
        line.last = max(line.last, at)
        line.variance += error * error
        line.bias += bias

    def counts(self, path: str) -> str:
        """What the hits of a file's lines are: "runs" of them, processes that have "touched" them, or "looks" that found a thread there."""
        return {True: "runs", False: "touched", None: "looks"}[self._counted.get(path)]

    def by_file(self) -> list[FileHeat]:
        """The files, hottest first: the program's own before those of libraries, and none of manyhands'."""
        found = [
            FileHeat(
                path,
                sum(line.hits for line in lines.values()),
                sum(line.own for line in lines.values()),
                max(line.last for line in lines.values()),
                self.counts(path),
            )
            for path, lines in self.files.items()
            if _is_shown(path, lines)
        ]
        return sorted(found, key=lambda file: (_files.is_own(file.path), file.own, file.hits), reverse=True)

    def number(self, path: str) -> int:
        """What a page calls a file by."""
        return self._numbers[path]

    def _line(self, place: Place) -> Line:
        path, number = place
        lines = self.files.get(path)
        if lines is None:
            lines = self.files[path] = {}
            self._numbers[path] = len(self.paths)
            self.paths.append(path)
        line = lines.get(number)
        if line is None:
            line = lines[number] = Line()
        return line


def _is_shown(path: str, lines: dict[int, Line]) -> bool:
    """Not manyhands' own files, nor code that is in none and takes no time: named tuples are made of such."""
    if path.startswith((_files.OURS, "<frozen ")) or path.endswith(_COMMAND):
        return False
    return path != "<string>" or any(line.own for line in lines.values())
