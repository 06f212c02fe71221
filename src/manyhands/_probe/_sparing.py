"""Counting exactly with fewer events: of places that run as often as others together (:mod:`._flow`), one is not told of.

Where a line is not told of, a :class:`_Spared` stands in the list of counts in place of a number. That costs the counter nothing: what it
adds to is asked. When such a line is told of for the next time, the place at which that is so is closed, and its runs are from then on
what the others leave, less those that are under way. The line stays exact, whenever it is read:

- Lines of which several codes that live at the same time have places are left alone, those of generators too.
- Frames that are between places are looked for on the stacks of all threads; exceptions that are raised there are told of.
- What cannot be read at one moment, since other threads run meanwhile, is read again.
- Another tool may have all events begin anew: then the place is closed again, and not counted twice.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from manyhands._probe._counts import NotCounted
from manyhands._probe._flow import Flow, Meeting

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from types import CodeType, FrameType

    from manyhands._probe._counts import Place

_OFTEN = 1000  # runs of a line that is worth it
_MOSTLY = 0.9  # of a line's runs are at the place that is closed; at others, each takes longer
_SHARED = -1
_RARELY = 64
_TRIES = 4
_DEEPEST = 20_000  # frames of a thread

_Flying = dict[Meeting, int]
_T = TypeVar("_T")


class _Rule:
    """What a place's runs are made of: those of lines on the other side of a meeting, less those of the same side.

    Attributes:
        base: what that was when the place was closed; None: it is not yet.
    """

    __slots__ = ("base", "meeting", "minus", "plus", "sign")

    def __init__(self, meeting: Meeting, plus: Iterable[int], minus: Iterable[int], sign: int) -> None:
        self.meeting = meeting
        self.plus = tuple(plus)
        self.minus = tuple(minus)
        self.sign = sign  # what is under way has come from the sources, and to no target
        self.base: int | None = None

    def runs(self, counts: list[Any], flying: _Flying) -> int:
        lost = self.meeting.raised + flying.get(self.meeting, 0)
        plus = sum(total(counts, line, flying) for line in self.plus)
        return plus - sum(total(counts, line, flying) for line in self.minus) - self.sign * lost

    def lines(self) -> tuple[int, ...]:
        return self.plus + self.minus


class _Spared:
    """In the place of a line's count.

    Attributes:
        own: how often it was told of.
        rules: of places that are closed, or are to be, by offset.
    """

    __slots__ = ("_code", "own", "rules")

    def __init__(self, at: int, rule: _Rule, code: _Code) -> None:
        self.own = 0
        self.rules = {at: rule}
        self._code = code

    def __iadd__(self, _one: int) -> _Spared:
        frame = sys._getframe(2)  # behind it is the counter
        rule = self.rules.get(frame.f_lasti) if id(frame.f_code) == self._code.number else None
        if rule is not None:
            if rule.base is None and self._code.close(rule, frame):
                self.own += 1
                raise NotCounted
            if rule.base is not None:  # another thread may just have closed it: that has found this one on its way there
                raise NotCounted
        self.own += 1
        return self

    def open(self, closed: int) -> None:
        """No place is closed any more: so often the line has run at those."""
        self.own += closed
        for rule in self.rules.values():
            rule.base = None
        self.rules = {}

    def closed(self, counts: list[Any], flying: _Flying) -> int:
        """How often the line has run where it was not told of."""
        return sum(rule.runs(counts, flying) - rule.base for rule in list(self.rules.values()) if rule.base is not None)


def total(counts: list[Any], line: int, flying: _Flying) -> int:
    """How often a line has run."""
    count: Any = counts[line]
    return count.own + count.closed(counts, flying) if count.__class__ is _Spared else count


def _totals(counts: list[Any], flying: _Flying) -> list[int]:
    return [total(counts, line, flying) if count.__class__ is _Spared else count for line, count in enumerate(counts)]


class _Code:
    """Code some of whose lines are spared."""

    def __init__(self, code: CodeType, counts: list[Any], sparing: Sparing) -> None:
        self.number = id(code)
        self.flow = Flow(code)
        self.counts = counts
        self.spared: set[int] = set()  # lines
        self._sparing = sparing
        self.is_over = False
        self._left = self.flow.meetings  # that spare nothing yet
        self._wait = self._pause = 1  # times until it is looked for more

    def close(self, rule: _Rule, frame: FrameType) -> bool:
        """From now on a place is not told of. Not if that cannot be: other threads are running.

        Nothing is called between the moment that was read and what is made of it: no other thread runs.
        """
        base, is_one = self._sparing.at_one_moment(self.counts, rule.runs, frame)
        if is_one and rule.base is None and not self.is_over:
            rule.base = base
            return True
        return False

    def choose(self, is_shared: Callable[[int], bool]) -> None:
        """Spare lines that run often, the most frequent first, for each meeting one. Where none is found, it is looked for less often."""
        self._wait -= 1
        if self._wait > 0 or self.is_over:
            return
        now, known = self._sparing.read(self.counts), len(self._left)
        places = [(now[line], at, line, meeting) for meeting in self._left for at, line in (meeting.sources | meeting.targets).items()]
        for runs, at, line, meeting in sorted(places, key=lambda place: place[:2], reverse=True):
            if runs >= _OFTEN and meeting in self._left:
                rule = self._rule(meeting, at, line, is_shared)
                if rule is not None and (len(self.flow.places[line]) == 1 or rule.runs(now, {}) >= _MOSTLY * runs):
                    self._left.remove(meeting)
                    self._spare(at, line, rule)
        self._pause = 1 if len(self._left) < known else min(2 * self._pause, _RARELY)
        self._wait = self._pause

    def _rule(self, meeting: Meeting, at: int, line: int, is_shared: Callable[[int], bool]) -> _Rule | None:
        sides = (meeting.targets, meeting.sources)
        own, other = sides if at in meeting.targets else sides[::-1]
        plus, minus = set(other.values()), {of for place, of in own.items() if place != at}
        if line in plus | minus or at in meeting.targets.keys() & meeting.sources.keys() or self._is_spared(at, line):
            return None
        whole = all(self.flow.places[of] <= side.keys() for side, of in [*((other, of) for of in plus), *((own, of) for of in minus)])
        if not whole or any(of in self.flow.loops or is_shared(of) for of in (*plus, *minus, line)) or self._is_made_of(line, plus | minus):
            return None
        return _Rule(meeting, plus, minus, 1 if own is meeting.targets else -1)

    def _is_spared(self, at: int, line: int) -> bool:
        count: Any = self.counts[line]
        return count.__class__ is _Spared and at in count.rules

    def _is_made_of(self, line: int, others: set[int]) -> bool:
        """Whether the others' counts come from that of the line."""
        waiting, seen = list(others), set(others)
        while waiting:
            count = self.counts[waiting.pop()]
            if count.__class__ is _Spared:
                new = {of for rule in count.rules.values() for of in rule.lines()} - seen
                seen |= new
                waiting += new
        return line in seen

    def _spare(self, at: int, line: int, rule: _Rule) -> None:
        counts = self.counts
        spared, is_new = _Spared(at, rule, self), line not in self.spared
        self.spared.add(line)
        # From here on no other thread runs: nothing is called.
        if not self.is_over and not is_new:
            counts[line].rules[at] = rule
        elif not self.is_over:
            spared.own = counts[line]
            counts[line] = spared

    def end(self) -> None:
        """Each line is told of again, and counted as it is."""
        self.is_over = True
        for line, closed in self._sparing.at_one_moment(self.counts, self._closed)[0].items():
            self.counts[line].open(closed)

    def forget(self) -> None:
        """It is gone: nothing adds to its lines just now."""
        self.end()
        for line in self.spared:
            if self.counts[line].__class__ is _Spared:
                self.counts[line] = self.counts[line].own

    def _closed(self, now: list[Any], flying: _Flying) -> dict[int, int]:
        return {line: now[line].closed(now, flying) for line in list(self.spared) if now[line].__class__ is _Spared}


class _Top(NamedTuple):
    frame: FrameType
    at: int


class Sparing:
    """Which lines are spared. ``armed``: what code there is, by its identity; ``counter``: the function that counts."""

    def __init__(self, armed: Container[int], counter: CodeType) -> None:
        self._armed = armed
        self._counter = counter
        self._codes: dict[int, _Code] = {}
        self._files: set[int] = set()  # lists of counts
        self._owners: dict[str, dict[int, int]] = {}  # the code that a line is of, or that there are several

    def claim(self, code: CodeType, lines: Iterable[int]) -> list[int]:
        """Code is armed that has these lines. Gives the numbers of codes whose lines have to be told of again."""
        owners, number, ended = self._owners.setdefault(code.co_filename, {}), id(code), []
        for line in lines:
            owner = owners.setdefault(line, number)
            if owner != number:
                is_one = owner != _SHARED and owner not in self._armed
                owners[line] = number if is_one else _SHARED
                known = self._codes.get(owner) if not is_one else None
                if known is not None and not known.is_over:
                    ended.append(owner)
                    known.end()
        return ended

    def owners(self, places: Iterable[Place]) -> list[int]:
        """Numbers of the codes that these lines are of, where there is one."""
        found = (self._owners.get(file, {}).get(line, _SHARED) for file, line in places)
        return [number for number in dict.fromkeys(found) if number != _SHARED]

    def spare(self, code: CodeType, counts: list[Any]) -> None:
        """Spare lines of code that runs often."""
        if "greenlet" in sys.modules:  # frames of those that are not running are on no stack
            return
        known = self._codes.get(id(code))
        if known is None:
            known = self._codes[id(code)] = _Code(code, counts, self)
            self._files.add(id(counts))
        owners = self._owners[code.co_filename]
        known.choose(lambda line: owners.get(line) != known.number)

    def end(self) -> None:
        """Nothing is spared any more."""
        for known in list(self._codes.values()):
            known.end()

    def forget(self, number: int) -> None:
        """Code is gone."""
        known = self._codes.pop(number, None)
        if known is not None:
            known.forget()

    def raised(self, code: CodeType, offset: int, exception: BaseException) -> None:
        """An exception comes to a frame, or begins there."""
        known = self._codes.get(id(code))
        if known is None:
            return
        meeting = known.flow.ways.get(offset)
        if meeting is not None and not (offset in known.flow.iterating and isinstance(exception, StopIteration)):
            meeting.raised += 1

    def is_spared(self, counts: list[Any], line: int) -> bool:
        """Whether a line is not told of, at most of its places."""
        return counts[line].__class__ is _Spared

    def read(self, counts: list[Any]) -> list[int]:
        """Counts of a file, all of one moment."""
        if id(counts) not in self._files:
            return counts[:]
        return self.at_one_moment(counts, _totals)[0]

    def at_one_moment(
        self, counts: list[Any], made: Callable[[list[Any], _Flying], _T], current: FrameType | None = None
    ) -> tuple[_T, bool]:
        """What is made of a file's counts and of what is under way, and whether that was one moment: no other thread has run.

        ``current``: is about to count, and is taken as if it had.
        """
        own = threading.get_ident()
        for _ in range(_TRIES):
            before, now = _tops(own), counts[:]
            found = made(now, self._flying(current))
            if _tops(own) == before and counts[:] == now:
                return found, True
        return found, False

    def _flying(self, current: FrameType | None) -> _Flying:
        """How many frames are between places."""
        found: _Flying = {}
        for top in sys._current_frames().values():  # noqa: SLF001 - there is no other way
            frame: FrameType | None = top
            inner = None
            for _ in range(_DEEPEST):
                if frame is None:
                    break
                code = frame.f_code
                known = self._codes.get(id(code))
                if known is not None:
                    # What is just told of has not been counted.
                    where = known.flow.into if inner is self._counter and frame is not current else known.flow.ways
                    meeting = where.get(frame.f_lasti)
                    if meeting is not None:
                        found[meeting] = found.get(meeting, 0) + 1
                inner, frame = code, frame.f_back
        return found


def _tops(own: int) -> dict[int, _Top]:
    return {ident: _Top(frame, frame.f_lasti) for ident, frame in sys._current_frames().items() if ident != own}  # noqa: SLF001 - as above
