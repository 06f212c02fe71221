"""Tasks that are of no call of manyhands: of pools of ``multiprocessing`` and ``concurrent.futures``, told by who runs them.

As with calls, those that take a millisecond or more are told one by one, others together, at each look.
"""

from __future__ import annotations

import itertools
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands._codec._exceptions import text_of
from manyhands._core.naming import function_name
from manyhands._core.slowest import LEAST
from manyhands._probe import _segment as told
from manyhands.watch import _arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from manyhands.watch._telling import Teller

_WORTH_SHOWING = 50_000_000  # nanoseconds that a task has run
_LOW = 0xFFFFFFFF


class Worker:
    """A process or a thread that runs such tasks, one after the other. Used by that alone, but for :meth:`look`.

    Attributes:
        teller: what tells of its process.
    """

    def __init__(self, teller: Teller, number: int) -> None:
        self.teller = teller
        self._probe = teller.probe
        self._number = number
        self._indices = itertools.count()
        # The task that runs: which one it is of those here, its number, when it began, and what is called. One object, so that it is
        # seen whole.
        self.current: tuple[int, int, int, Callable[..., object], tuple[Any, ...], Mapping[str, Any]] | None = None
        self._shown = -1  # which of them has been told as running
        self._quick: dict[int, list[int]] = {}  # by function: tasks, nanoseconds, when the first began, when the last ended
        self._lock = threading.Lock()

    def begin(self, function: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any], number: int | None = None) -> None:
        """It takes up a task, the ``number``-th that was submitted, where that is known, from 0; else those here are numbered."""
        index = next(self._indices)
        self.current = index, index if number is None else number, time.monotonic_ns(), function, args, kwargs

    def end(self, count: int = 1, error: BaseException | None = None, trace: str = "") -> None:
        """The task has ended, in which ``count`` calls were made; by an error, or well. ``trace``: where, if the error does not tell."""
        if self.current is None:
            return
        now = time.monotonic_ns()
        _, number, begun, function, args, kwargs = self.current
        self.current = None
        name = self._probe.text(function_name(function))
        place = self._number << 32 | name
        if error is not None:
            key = self.teller.error(error, function_name(function), text_of(error), trace=trace)
            self._probe.write(told.TASK_FAILED, now, 0, number << 16 | 1 << 1, self._probe.text(key), place, begun)
            call = partial(_in_words, function, args, kwargs)
            self.teller.tell_given(key, number, (self._number, begun), call, error)
        elif now - begun >= LEAST:
            self._probe.write(told.TASKS_DONE, now, 0, (number & _LOW) << 32 | count, place, begun, now - begun)
        else:
            with self._lock:
                quick = self._quick.setdefault(name, [0, 0, begun, now])
                quick[0] += count
                quick[1] += now - begun
                quick[3] = now

    def at(self) -> tuple[int, int]:
        """The task that it is at, counted from 1, and since when; 0: none."""
        current = self.current
        return (0, 0) if current is None else (current[0] + 1, current[2])

    def look(self) -> None:
        """Tell what has come since the last time. For the sampler's thread."""
        with self._lock:
            quick, self._quick = self._quick, {}
        for name, (count, lasted, begun, ended) in quick.items():
            self._probe.write(told.TASKS_DONE, ended, 0, count, self._number << 32 | name, begun, lasted)
        current = self.current
        if current is None or current[0] == self._shown or time.monotonic_ns() - current[2] < _WORTH_SHOWING:
            return
        self._shown, number, begun, function, args, kwargs = current
        text = self._probe.text
        arguments = _arguments.of_call(args, kwargs) if self._probe.wants.get("arguments") else ""
        self._probe.write(told.RUNNING, begun, self._number, number & _LOW, text(function_name(function)), text(arguments), 1)


def _in_words(function: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return f"{function_name(function)}({_arguments.of_call(args, kwargs)})"
