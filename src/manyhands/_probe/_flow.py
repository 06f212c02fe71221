"""Which lines of a code have run as often as others together, by how control flows between them. Pure.

A **place** is an instruction at which it is told that a line runs. From each, control goes on to other places, or the frame ends. Places
from which the same ones are reached belong together: what leaves the one side of such a **meeting** comes to the other, except for
exceptions raised on the way, and for frames that are just on it. So of all these places, one need not be told of; it is what the others
leave.

    for number in range(count):     # its jump back comes from "total"
        total += number

Of generators and coroutines nothing is said: they are left without a word when nobody goes on with them.
"""

from __future__ import annotations

import dis
import inspect
import itertools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

_LONGEST = 20_000  # bytes of code that are looked through
_PAUSES = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ENDS = frozenset({"RETURN_VALUE", "RETURN_CONST", "RERAISE", "INTERPRETER_EXIT"})
_GOES = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})
_BEGINS_NO_LINE = frozenset({"RESUME", "END_FOR", "END_SEND", "END_ASYNC_FOR", "CACHE"})
_SKIPPED = ("END_FOR", "POP_TOP") if sys.version_info >= (3, 13) else ("END_FOR",)
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)

_Node = tuple[str, int]  # "from" a place, "to" a place, or the "way" at an offset
_UNTOLD = ("untold", 0)  # where control comes from, or goes to, and it is not told


class Meeting:
    """Where control goes from some places to others, and nowhere else.

    Attributes:
        sources: offsets of the places from which it goes, each with its line.
        targets: those to which it goes.
        raised: exceptions that were raised on the way.
    """

    __slots__ = ("raised", "sources", "targets")

    def __init__(self) -> None:
        self.sources: dict[int, int] = {}
        self.targets: dict[int, int] = {}
        self.raised = 0


class Flow:
    """How control flows in a code.

    Attributes:
        ways: the meeting that an offset is on the way of.
        into: that to whose targets a place belongs.
        places: of each line, the offsets at which it is told of.
        loops: lines that jump back to themselves: such jumps count as well.
        iterating: offsets at which the end of what is iterated over is no exception.
    """

    def __init__(self, code: CodeType) -> None:
        self.ways: dict[int, Meeting] = {}
        self.into: dict[int, Meeting] = {}
        self.places: dict[int, set[int]] = {}
        self.loops: set[int] = set()
        self.iterating: set[int] = set()
        if not code.co_flags & _PAUSES and len(code.co_code) <= _LONGEST:
            _Walker(code, self).walk()

    @property
    def meetings(self) -> list[Meeting]:
        """All of them."""
        return [meeting for meeting in dict.fromkeys(self.into.values()) if meeting.sources]


class _Walker:
    """Follows control from each place."""

    def __init__(self, code: CodeType, flow: Flow) -> None:
        self._flow = flow
        self._instructions = {each.offset: each for each in dis.get_instructions(code)}
        offsets = [*self._instructions, len(code.co_code)]
        self._after = dict(itertools.pairwise(offsets))
        self._lines = {at: line for start, end, line in code.co_lines() if line is not None for at in range(start, end, 2)}
        self._handlers = {entry.target for entry in dis._parse_exception_table(code)}  # type: ignore[attr-defined]  # noqa: SLF001
        self._begins = self._find_begins()
        self._parents: dict[_Node, _Node] = {}

    def _find_begins(self) -> set[int]:
        """Offsets at which it may be told that a line runs: it differs from the one before, or there is a jump to there."""
        targets = {self._skip_end(each.argval) for each in self._instructions.values() if each.opcode in _JUMPS} | self._handlers
        found, before = set(), None
        for at, each in self._instructions.items():
            line = self._lines.get(at)
            begins_none = each.opname in _BEGINS_NO_LINE
            if line is not None and not begins_none and (line != before or at in targets):
                found.add(at)
            before = None if begins_none else line
        return found

    def _skip_end(self, at: int) -> int:
        """Where a jump leads to: a loop that is over goes on behind the instructions that end it."""
        for name in _SKIPPED:
            if at not in self._instructions or self._instructions[at].opname != name:
                break
            at = self._after[at]
        return at

    def walk(self) -> None:
        """Find the meetings."""
        for start in (0, *self._handlers):
            for kind, at in self._from(start, at_handler=start in self._handlers):
                self._join(_UNTOLD, (kind, at))
        for place in self._begins:
            for kind, at in self._from(place):
                self._join(("from", place), (kind, at))
        self._gather()

    def _from(self, start: int, *, at_handler: bool = False) -> Iterator[_Node]:
        """What is reached from there: places, and what is on the way; an end that is not told of."""
        if at_handler and start in self._begins:
            yield "to", start
        waiting, seen = [start], {start}
        while waiting:
            at = waiting.pop()
            yield "way", at
            following = self._next(at)
            if following is None:
                yield _UNTOLD
                continue
            for after in following:
                if after in self._begins and self._tells(at, after):
                    yield "to", after
                elif after not in seen:
                    seen.add(after)
                    waiting.append(after)

    def _tells(self, at: int, after: int) -> bool:
        """Whether a line begins on this way."""
        return self._lines.get(at) != self._lines[after] or self._instructions[at].opname == "RESUME"

    def _next(self, at: int) -> list[int] | None:
        """Where control may go; None: it leaves the code, or is told of in another way."""
        each = self._instructions.get(at)
        if each is None or each.opname in _ENDS:
            return None
        if each.opname == "RAISE_VARARGS":
            return [] if each.arg else None
        if each.opname in _GOES:
            return [each.argval]
        if each.opcode in _JUMPS:
            return [self._after[at], self._skip_end(each.argval)]
        return [self._after[at]]

    def _join(self, one: _Node, other: _Node) -> None:
        self._parents[self._root(other)] = self._root(one)

    def _root(self, node: _Node) -> _Node:
        while (parent := self._parents.setdefault(node, node)) != node:
            self._parents[node] = self._parents[parent]
            node = parent
        return node

    def _gather(self) -> None:
        flow, found = self._flow, {self._root(_UNTOLD): Meeting()}
        reached = {at for kind, at in self._parents if kind == "to"}
        for at in reached:
            flow.places.setdefault(self._lines[at], set()).add(at)
        for (kind, at), meeting in [(node, found.setdefault(self._root(node), Meeting())) for node in list(self._parents)]:
            if meeting is found[self._root(_UNTOLD)]:
                continue
            if kind == "from" and at in reached:
                meeting.sources[at] = self._lines[at]
            elif kind == "to":
                meeting.targets[at] = self._lines[at]
                flow.into[at] = meeting
            elif kind == "way":
                flow.ways |= dict.fromkeys(range(at, self._after[at], 2), meeting)
        for at, each in self._instructions.items():
            if each.opcode in _JUMPS and each.argval <= at and at in self._lines and self._lines[at] == self._lines.get(each.argval):
                flow.loops.add(self._lines[at])
            if each.opname == "FOR_ITER":
                flow.iterating |= set(range(at, self._after[at], 2))
