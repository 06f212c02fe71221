"""Counting lines by ``sys.monitoring``, Python 3.12 and later.

Code is armed by local events when it starts for the first time, or is on a stack when counting begins: only what is in chosen files costs anything.
A free number of a tool is taken, none that belongs to debuggers, coverage or profilers; and code is armed again by its own events, since
``restart_events()`` would have all other tools begin anew.
"""

from __future__ import annotations

import functools
import sys
import weakref
from typing import TYPE_CHECKING

from manyhands._probe import _cost
from manyhands._probe._cost import Unavailable

if TYPE_CHECKING:
    from types import CodeType

    from manyhands._probe._counts import Counter
    from manyhands._probe._files import Chosen

NO_MORE = sys.monitoring.DISABLE  # what a counter returns when a line is to be counted no more
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
            sys.monitoring.use_tool_id(tool, _NAME)
        except ValueError:
            continue
        return tool
    taken = ", ".join(str(sys.monitoring.get_tool(tool)) for tool in _TOOLS)
    raise Unavailable(f"all numbers of sys.monitoring that belong to no kind of tool are taken, by {taken}")


class Means:
    """Has a counter called for the lines of chosen files, from :meth:`start` to :meth:`stop`."""

    def __init__(self, counter: Counter, chosen: Chosen) -> None:
        self._counter = counter
        self._chosen = chosen
        self._armed: dict[int, weakref.ref[CodeType]] = {}
        self._tool: int | None = None
        self.uncounted = 0  # codes that there was no room for

    def start(self) -> None:
        """From now on lines are counted.

        Raises:
            Unavailable: they cannot.
        """
        self._tool = tool = free_tool()
        events = sys.monitoring.events
        for event, call in ((events.LINE, self._counter.count), (events.PY_START, self._started), (events.PY_RESUME, self._started)):
            sys.monitoring.register_callback(tool, event, call)
        sys.monitoring.set_events(tool, events.PY_START | events.PY_RESUME)
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
        events = sys.monitoring.events
        sys.monitoring.set_events(tool, 0)
        for code in self._codes():
            sys.monitoring.set_local_events(tool, code, 0)
        for event in (events.LINE, events.PY_START, events.PY_RESUME):
            sys.monitoring.register_callback(tool, event, None)
        sys.monitoring.free_tool_id(tool)
        self._armed.clear()

    def again(self, codes: list[CodeType]) -> None:
        """Lines of these, at which it was said that they are to be counted no more, are counted again."""
        for code in codes:
            self._disarm(code)
            self._arm(code)

    def _codes(self) -> list[CodeType]:
        return [code for reference in list(self._armed.values()) if (code := reference()) is not None]

    def _started(self, code: CodeType, _offset: int) -> object:
        """Code runs for the first time. What was called before is called no more for it."""
        if id(code) not in self._armed and code.co_filename in self._chosen:
            self._choose(code)
        return sys.monitoring.DISABLE

    def _choose(self, code: CodeType) -> None:
        last = max((line for _, _, line in code.co_lines() if line is not None), default=0)
        if len(self._armed) >= _MOST_CODES or not self._counter.has_room(code.co_filename, last):
            self.uncounted += 1
            return
        number, armed = id(code), self._armed
        armed[number] = weakref.ref(code, functools.partial(armed.pop, number))
        self._arm(code)

    def _arm(self, code: CodeType) -> None:
        if self._tool is not None:
            sys.monitoring.set_local_events(self._tool, code, sys.monitoring.events.LINE)

    def _disarm(self, code: CodeType) -> None:
        if self._tool is not None:
            sys.monitoring.set_local_events(self._tool, code, 0)


def cost(counter: Counter) -> float:
    """Nanoseconds that it takes to have one line counted by a counter.

    Raises:
        Unavailable: lines cannot be counted.
    """
    code, monitoring = _cost.turns.__code__, sys.monitoring
    counter.has_room(code.co_filename, code.co_firstlineno + 10)
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
