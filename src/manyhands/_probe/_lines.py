"""Counting lines by ``sys.monitoring``, Python 3.12 and later.

Code is armed by local events when it starts for the first time, or is on a stack when counting begins: only what is in chosen files costs
anything. A free number of a tool is taken, none that belongs to debuggers, coverage or profilers; and code is armed again by its own
events, since
``restart_events()`` would have all other tools begin anew.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import opcode
import statistics
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._probe import _cost
from manyhands._probe._cost import Unavailable
from manyhands._probe._counts import Exact, told_of
from manyhands._probe._sparing import Sparing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from manyhands._probe._counts import Counter, Place
    from manyhands._probe._files import Chosen

monitoring: Any = getattr(sys, "monitoring", None)  # none in Python 3.11, where this is not used but looked through
NO_MORE = monitoring.DISABLE  # what a counter returns when a line is to be counted no more
# Since Python 3.13, a line that begins where its function does is only told of to a tool that is called for the function's start as well.
_WITH_START = sys.version_info >= (3, 13)
_MAY_SPARE = sys.version_info < (3, 14)  # how control flows is known of these
_OF_JUMPS, _OF_STARTS = 1.0, 2.0  # what these lines cost beside others, measured
_RESUME = opcode.opmap["RESUME"]
_TOOLS = (3, 4)  # numbers that belong to no kind of tool
_NAME = "manyhands"
_MOST_TIME = 5_000_000  # nanoseconds, for looking what can be spared; what is left comes next time
_MOST_CODES = 20_000  # that are armed at a time; functions that are sent by value are new code each time


def free_tool(but: int = 0) -> int:
    """A tool number that is ours from now on. ``but``: the one that is taken last.

    Raises:
        Unavailable: others have taken them.
    """
    for tool in sorted(_TOOLS, key=lambda tool: tool == but):
        try:
            monitoring.use_tool_id(tool, _NAME)
        except ValueError:
            continue
        return tool
    taken = ", ".join(str(monitoring.get_tool(tool)) for tool in _TOOLS)
    raise Unavailable(f"all numbers of sys.monitoring that belong to no kind of tool are taken, by {taken}")


class Means:
    """Has a counter called for the lines of chosen files, from :meth:`start` to :meth:`stop`.

    Attributes:
        uncounted: codes that there was no room for.
    """

    def __init__(self, counter: Counter, chosen: Chosen) -> None:
        self._counter = counter
        self._chosen = chosen
        self._armed: dict[int, _Armed] = {}
        self._tool: int | None = None  # is called for lines
        self._finder: int | None = None  # is called when code starts for the first time; the same, if there is only one
        self._sparing: Sparing | None = None
        self.uncounted = 0
        counter.elsewhere, counter.rest = _jumped(self._armed, counter), self._disarm

    def start(self) -> None:
        """From now on lines are counted.

        Raises:
            Unavailable: they cannot.
        """
        events = monitoring.events
        # Code that has started is not told of any more under that number, unless it has run meanwhile.
        self._tool = self._finder = free_tool(but=_State.finder)
        if _WITH_START:
            with contextlib.suppress(Unavailable):
                self._tool = free_tool()
        self._register(
            self._tool,
            {
                events.LINE: self._counter.count,
                events.JUMP: self._counter.jumped or self._counter.elsewhere,
                events.PY_START: self._entered,
            },
        )
        self._register(self._finder, dict.fromkeys((events.PY_START, events.PY_RESUME), self._started))
        if isinstance(self._counter, Exact) and _MAY_SPARE and (self._tool != self._finder or not _WITH_START):
            self._sparing = self._counter.sparing = Sparing(self._armed, self._counter.count.__code__)
            self._register(self._tool, {events.RAISE: self._sparing.raised})
        monitoring.set_events(self._finder, events.PY_START | events.PY_RESUME)
        _State.finder = self._finder
        for frame in list(sys._current_frames().values()):  # noqa: SLF001 - there is no other way
            while frame is not None:
                self._started(frame.f_code, 0)
                frame = frame.f_back  # type: ignore[assignment]

    def _register(self, tool: int, calls: dict[int, Callable[..., object] | None]) -> None:
        for event, call in calls.items():
            monitoring.register_callback(tool, event, call)

    def stop(self) -> None:
        """No line is counted any more, and nothing is left of it."""
        tool, finder = self._tool, self._finder
        if tool is None or finder is None:
            return
        self._tool = self._finder = None
        self._counter.favour(None)
        if self._sparing is not None:
            self._sparing.end()
        for each in {tool, finder}:
            monitoring.set_events(each, 0)
        events = monitoring.events
        for code in self._codes():
            # Of what rests as well: only a change makes it forget that it is not to be told of.
            list(map(monitoring.set_local_events, (tool, tool), (code, code), (events.LINE, 0)))
        for each in {tool, finder}:
            self._register(each, dict.fromkeys((events.LINE, events.JUMP, events.PY_START, events.PY_RESUME, events.RAISE)))
            monitoring.free_tool_id(each)
        self._armed.clear()

    def again(self, codes: list[CodeType]) -> None:
        """Lines of these, at which it was said that they are to be counted no more, are counted again."""
        tool, change = self._tool, monitoring.set_local_events
        for code in codes:
            entry = self._armed.get(id(code))
            if tool is not None and entry is not None:
                # As one call, so that no other thread runs while nothing is counted.
                list(map(change, (tool, tool), (code, code), (0, entry.events)))

    def favour(self, codes: list[CodeType]) -> None:
        """These run most, as far as is known; the first one is that of the main thread, if there is one."""
        entry = self._armed.get(id(codes[0]))
        if entry is not None:
            self._counter.favour(codes[0], entry.loops)

    def spare(self, places: Iterable[Place]) -> None:
        """These run often, the first one most: they are not to be told of where that can be spared."""
        if self._sparing is None or self._tool is None or not (numbers := self._sparing.owners(places)):
            return
        # From now on exceptions are told of, of all code: that cannot be had for some.
        monitoring.set_events(self._tool, monitoring.get_events(self._tool) | monitoring.events.RAISE)
        until = time.thread_time_ns() + _MOST_TIME
        for number in numbers:
            entry = self._armed.get(number)
            if entry is not None and (code := entry.code()) is not None and time.thread_time_ns() < until:
                self._sparing.spare(code, self._counter.files[code.co_filename])

    def settle(self) -> None:
        """Ask for nothing more of code of which nothing new can be told: what is asked for costs a little, even where it is not told."""
        for entry in list(self._armed.values()):
            code = entry.code() if entry.events else None
            if code is not None and self._counter.have_all_run(code.co_filename, entry.told):
                self._disarm(code)
                entry.events = 0

    def _codes(self) -> list[CodeType]:
        return [code for armed in list(self._armed.values()) if (code := armed.code()) is not None]

    def _started(self, code: CodeType, _offset: int) -> object:
        """Code runs for the first time, or a generator goes on. This is called no more for it."""
        if id(code) in self._armed:
            self._arm(code)  # another thread has found it at the same time, and is just about to
        elif code.co_filename in self._chosen:
            self._choose(code)
        return monitoring.DISABLE

    def _entered(self, code: CodeType, _offset: int) -> object:
        """A function is called whose first line begins where it does."""
        return monitoring.DISABLE if self._counter.is_closed(code.co_filename, code.co_firstlineno) else None

    def _choose(self, code: CodeType) -> None:
        lines = [(start, line) for start, _, line in code.co_lines() if line is not None]
        last = max((line for _, line in lines), default=0)
        if len(self._armed) >= _MOST_CODES or not self._counter.has_room(code.co_filename, last):
            self.uncounted += 1
            return
        number = id(code)
        entry = _Armed(weakref.ref(code, functools.partial(self._forget, number)), lines, code.co_firstlineno)
        entry.events = self._events(code, entry)
        self._armed[number] = entry
        if self._sparing is not None:
            self._tell_again(self._sparing.claim(code, told_of(code)))
        self._arm(code)

    def _tell_again(self, numbers: list[int]) -> None:
        self.again([code for number in numbers if (entry := self._armed.get(number)) is not None and (code := entry.code()) is not None])

    def _forget(self, number: int, _reference: object) -> None:
        self._armed.pop(number, None)
        if self._sparing is not None:
            self._sparing.forget(number)

    def _events(self, code: CodeType, entry: _Armed) -> int:
        """What is to be told of code."""
        events: int = monitoring.events.LINE | monitoring.events.JUMP
        if self._tool != self._finder:
            start = 2 * code.co_code[::2].find(_RESUME)
            if entry.line(start) == entry.line(start + 2):
                events |= monitoring.events.PY_START
                self._counter.weights[code.co_filename, code.co_firstlineno] = _OF_STARTS
        return events

    def _arm(self, code: CodeType) -> None:
        entry = self._armed.get(id(code))
        if self._tool is not None and entry is not None:
            monitoring.set_local_events(self._tool, code, entry.events)

    def _disarm(self, code: CodeType) -> None:
        if self._tool is not None:
            monitoring.set_local_events(self._tool, code, 0)


class _State:
    finder = 0  # the number that was called last when code started


class _Armed:
    """Code whose lines are counted.

    Attributes:
        lines: its offsets at which one begins, each with its number.
        loops: offsets to which is jumped back in the same line, with that.
        told: lines that run if it does. The first one may have nothing but its beginning.
        events: what is told of it.
    """

    __slots__ = ("code", "events", "lines", "loops", "told")

    def __init__(self, code: weakref.ref[CodeType], lines: list[tuple[int, int]], first: int) -> None:
        self.code = code
        self.lines = lines
        self.loops: dict[int, int] = {}
        self.told = frozenset(line for _, line in lines if line != first) or frozenset((first,))
        self.events = 0

    def line(self, offset: int) -> int:
        """That an offset belongs to."""
        at = bisect.bisect_right(self.lines, offset, key=lambda entry: entry[0]) - 1
        return self.lines[at][1] if at >= 0 else 0


def _jumped(armed: dict[int, _Armed], counter: Counter) -> Callable[[CodeType, int, int], object]:
    """What is called for a jump: one that goes back in its own line is one more run of it, as of a comprehension."""
    count = counter.count

    def jumped(code: CodeType, offset: int, to: int) -> object:
        known = armed.get(id(code))
        if known is None:
            return NO_MORE
        line = known.loops.get(to)
        if line is None:
            line = known.line(to)
            if to > offset or line != known.line(offset):
                return NO_MORE
            known.loops[to] = line
            counter.weights[code.co_filename, line] = _OF_JUMPS
        return count(code, line)

    return jumped


def cost(counter: Counter) -> _cost.Measured:
    """What it takes to have one line counted by a counter.

    Raises:
        Unavailable: lines cannot be counted.
    """
    code = _cost.turns.__code__
    counter.has_room(code.co_filename, code.co_firstlineno + 10)
    counter.favour(code)
    tool, line = free_tool(), monitoring.events.LINE
    monitoring.register_callback(tool, line, counter.count)

    def timed(events: int) -> int:
        monitoring.set_local_events(tool, code, events)
        return _cost.timed()

    try:
        plain, counted = zip(*((timed(0), timed(line)) for _ in range(8)), strict=True)
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, line, None)
        monitoring.free_tool_id(tool)
    return _cost.each(statistics.median(plain), statistics.median(counted))
