"""Counting lines by ``sys.monitoring``, Python 3.12 and later.

Code is armed by local events when it starts for the first time, or is on a stack when counting begins: only what is in chosen files costs anything.
A free number of a tool is taken, none that belongs to debuggers, coverage or profilers; and code is armed again by its own events, since
``restart_events()`` would have all other tools begin anew.
"""

from __future__ import annotations

import bisect
import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._probe import _cost
from manyhands._probe._cost import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from manyhands._probe._counts import Counter
    from manyhands._probe._files import Chosen

monitoring: Any = getattr(sys, "monitoring", None)  # none in Python 3.11, where this is not used but looked through
NO_MORE = TOUCHED = monitoring.DISABLE  # what a counter returns when a line is to be counted no more
_TOOLS = (3, 4)  # numbers that belong to no kind of tool
_NAME = "manyhands"
_MOST_CODES = 20_000  # that are armed at a time; functions that are sent by value are new code each time


def free_tool() -> int:
    """A tool number that is ours from now on.

    Raises:
        Unavailable: others have taken them.
    """
    for tool in _TOOLS:
        try:
            monitoring.use_tool_id(tool, _NAME)
        except ValueError:
            continue
        return tool
    taken = ", ".join(str(monitoring.get_tool(tool)) for tool in _TOOLS)
    raise Unavailable(f"all numbers of sys.monitoring that belong to no kind of tool are taken, by {taken}")


class Means:
    """Has a counter called for the lines of chosen files, from :meth:`start` to :meth:`stop`."""

    def __init__(self, counter: Counter, chosen: Chosen) -> None:
        self._counter = counter
        self._chosen = chosen
        self._armed: dict[int, _Armed] = {}
        self._tool: int | None = None
        self.uncounted = 0  # codes that there was no room for

    def start(self) -> None:
        """From now on lines are counted.

        Raises:
            Unavailable: they cannot.
        """
        self._tool = tool = free_tool()
        events = monitoring.events
        starts = (events.PY_START, self._started), (events.PY_RESUME, self._started)
        for event, call in ((events.LINE, self._counter.count), (events.JUMP, _jumped(self._armed, self._counter)), *starts):
            monitoring.register_callback(tool, event, call)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME)
        for frame in list(sys._current_frames().values()):  # noqa: SLF001 - there is no other way
            while frame is not None:
                self._started(frame.f_code, 0)
                frame = frame.f_back  # type: ignore[assignment]

    def stop(self) -> None:
        """No line is counted any more, and nothing is left of it."""
        tool, self._tool = self._tool, None
        if tool is None:
            return
        self._counter.favour(None)
        events = monitoring.events
        monitoring.set_events(tool, 0)
        for code in self._codes():
            monitoring.set_local_events(tool, code, 0)
        for event in (events.LINE, events.JUMP, events.PY_START, events.PY_RESUME):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
        self._armed.clear()

    def again(self, codes: list[CodeType]) -> None:
        """Lines of these, at which it was said that they are to be counted no more, are counted again."""
        for code in codes:
            self._disarm(code)
            self._arm(code)

    def _codes(self) -> list[CodeType]:
        return [code for armed in list(self._armed.values()) if (code := armed.code()) is not None]

    def _started(self, code: CodeType, _offset: int) -> object:
        """Code runs for the first time. What was called before is called no more for it."""
        if id(code) not in self._armed and code.co_filename in self._chosen:
            self._choose(code)
        return monitoring.DISABLE

    def _choose(self, code: CodeType) -> None:
        lines = [(start, line) for start, _, line in code.co_lines() if line is not None]
        last = max((line for _, line in lines), default=0)
        if len(self._armed) >= _MOST_CODES or not self._counter.has_room(code.co_filename, last):
            self.uncounted += 1
            return
        number, armed = id(code), self._armed
        armed[number] = _Armed(weakref.ref(code, functools.partial(armed.pop, number)), lines, {})
        self._arm(code)

    def _arm(self, code: CodeType) -> None:
        if self._tool is not None:
            monitoring.set_local_events(self._tool, code, monitoring.events.LINE | monitoring.events.JUMP)

    def _disarm(self, code: CodeType) -> None:
        if self._tool is not None:
            monitoring.set_local_events(self._tool, code, 0)


class _Armed(NamedTuple):
    """Code whose lines are counted.

    Attributes:
        lines: its offsets at which one begins, each with its number.
        loops: offsets to which is jumped back in the same line, with that.
    """

    code: weakref.ref[CodeType]
    lines: list[tuple[int, int]]
    loops: dict[int, int]

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
        return count(code, line)

    return jumped


def cost(counter: Counter) -> float:
    """Nanoseconds that it takes to have one line counted by a counter.

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
    return _cost.each(min(plain), min(counted))
