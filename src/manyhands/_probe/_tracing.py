"""Counting lines by ``sys.settrace``, Python 3.11.

A trace function is called for each call of any function, and for each line of those in chosen files. So it is only set while something is
to be counted: at level "auto", in windows some times a second, which the function itself closes when its budget is spent. The main thread
is made to set it by a pending call of the interpreter's, which runs between two byte codes; other threads set it as they begin. A thread
that has another trace function, of a debugger or of coverage, is left alone.

At level "exact" it is set all the time, and costs what ``sys.settrace`` costs: see the table in :mod:`._levels`.
"""

from __future__ import annotations

import contextlib
import ctypes
import statistics
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands._probe import _cost
from manyhands._probe._files import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

    from manyhands._probe._counts import Counter, Place

NO_MORE = object()  # what a counter returns when no line is to be counted any more
_USUAL = _cost.Measured(200.0, 25.0)
_DEEPEST = 1000  # frames of a stack that is under way when counting begins


class Means:
    """Has a counter called for the lines of chosen files, from :meth:`start` to :meth:`stop`.

    Attributes:
        uncounted: threads that were left alone, since others trace them.
    """

    def __init__(self, counter: Counter, chosen: Chosen) -> None:
        self._counter = counter
        self._chosen = chosen
        self._is_on = self._is_open = False
        self.uncounted = 0
        # Bound once, so that it can be told by identity whether a thread's trace function is this one.
        self._called = self._call
        self._line = _liner(counter, self)

    def start(self) -> None:
        """From now on lines are counted."""
        self._is_on = self._is_open = True
        if threading.gettrace() is None:
            threading.settrace(self._called)
        in_main_thread(self._switch_on)
        if threading.current_thread() is not threading.main_thread() and self._is_within():
            self._switch_on()

    def _is_within(self) -> bool:
        """Whether the thread that calls runs code that is counted."""
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as above
        while frame is not None and frame.f_code.co_filename not in self._chosen:
            frame = frame.f_back
        return frame is not None

    def stop(self) -> None:
        """No line is counted any more. Other threads than this one and the main thread notice at their next call."""
        self._is_on = self._is_open = False
        if threading.gettrace() is self._called:
            threading.settrace(None)
        in_main_thread(self._switch_off)

    def pause(self) -> None:
        """This thread counts no more, until the next window. Only the main thread can be told when that is; others stay ready."""
        self._is_open = False
        if threading.current_thread() is threading.main_thread() and sys.gettrace() is self._called:
            sys.settrace(None)

    def favour(self, codes: list[CodeType]) -> None:
        """These run most, as far as is known."""
        self._counter.favour(codes[0])

    def spare(self, places: Iterable[Place]) -> None:
        """These run often. Single places cannot be left out."""

    def settle(self) -> None:
        """Ask for nothing more of code of which nothing new can be told: that is asked each time it is called."""

    def again(self, _codes: list[CodeType]) -> None:
        """A new window opens."""
        if self._is_on:
            self._is_open = True
            in_main_thread(self._switch_on)

    def _switch_on(self) -> None:
        if not self._is_on:
            return
        if sys.gettrace() not in {None, self._called}:
            self.uncounted += 1
            return
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no other way
        for _ in range(_DEEPEST):
            if frame is None:
                break
            if frame.f_trace is None and self._is_counted(frame.f_code):
                frame.f_trace = self._line
            frame = frame.f_back
        sys.settrace(self._called)

    def _switch_off(self) -> None:
        if sys.gettrace() is self._called:
            sys.settrace(None)
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as above
        while frame is not None:
            if frame.f_trace is self._line:
                frame.f_trace = None
            frame = frame.f_back

    def _is_counted(self, code: CodeType) -> bool:
        file = code.co_filename
        if file not in self._chosen:
            return False
        if file in self._counter.files:
            return True
        return self._counter.has_room(file, code.co_firstlineno)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if not self._is_open:
            if not self._is_on:
                sys.settrace(None)
            return None
        if not self._is_counted(frame.f_code):
            self._counter.calls += 1
            return None
        self._counter.calls += 2  # its end is told of as well
        return self._line


def _liner(counter: Counter, tracing: Means) -> Callable[..., Any]:
    count = counter.count

    def line(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
        if event == "line":
            try:
                said = count(frame.f_code, frame.f_lineno)
            except IndexError:
                if not counter.has_room(frame.f_code.co_filename, frame.f_lineno + 100):
                    return None
                said = count(frame.f_code, frame.f_lineno)
            if said is NO_MORE:
                tracing.pause()
                return None
        return line

    return line


def in_main_thread(call: Callable[[], None]) -> None:
    """Have something called by the main thread: at once if it is this one, else between two byte codes of it."""
    if threading.current_thread() is threading.main_thread():
        call()
        return
    _pending.append(call)
    ctypes.pythonapi.Py_AddPendingCall(_run_pending, None)  # when too many wait, one of those runs this as well


_pending: deque[Callable[[], None]] = deque()


def _run_all(_argument: object) -> int:
    while _pending:
        with contextlib.suppress(Exception):  # watching ends nothing
            _pending.popleft()()
    return 0


_run_pending = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_run_all)


def cost(counter: Counter) -> _cost.Measured:
    """What it takes to have one line counted by a counter, in this thread."""
    if sys.gettrace() is not None:
        return _USUAL
    line = _liner(counter, Means(counter, Chosen(lambda _: False)))
    counter.has_room(_cost.turns.__code__.co_filename, _cost.turns.__code__.co_firstlineno + 10)

    def timed(trace: Callable[..., Any] | None) -> int:
        sys.settrace(trace)
        try:
            return _cost.timed()
        finally:
            sys.settrace(None)

    plain, counted = zip(
        *((timed(None), timed(lambda frame, _event, _arg: line if frame.f_code is _cost.turns.__code__ else None)) for _ in range(8)),
        strict=True,
    )
    return _cost.each(statistics.median(plain), statistics.median(counted))
