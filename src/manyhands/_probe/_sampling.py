"""The thread that looks where the others are.

It waits on the socket to the observer, so that what that asks for is done at once, and its end is noticed. A look takes some microseconds
for each thread, twenty times a second; the look itself makes the thread that has Python's lock give it up for a moment. A process that does
nothing is looked at less and less often, down to twice a second.

Processor times are asked of the kernel by the number of the thread: unlike ``pthread_getcpuclockid``, that is safe for one that is just
ending.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands._probe import _segment
from manyhands._probe._clock import of_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from manyhands._probe._link import Link
    from manyhands._probe._naming import Names
    from manyhands._probe._segment import Writer

_SLOWEST, _SOONEST = 0.5, 0.002  # seconds between two looks
_CALM = 20  # looks at which nothing had happened, before they become rarer
_MOST_THREADS = 64
_WORTH_SAYING = 100_000  # nanoseconds of processor time
_SAYS_AGAIN = 450_000_000  # nanoseconds after which a task is said to be still where it was: where it waits is known before it goes on
_MASK = (1 << 64) - 1
_ENDS_WITHIN = 1.0  # seconds; it may be in the midst of what the observer has asked for


class _Seen:
    """What is known of a thread."""

    __slots__ = ("cpu", "looked", "number", "said", "stack")

    def __init__(self, number: int, cpu: int) -> None:
        self.number = number  # the kernel's
        self.cpu = cpu
        self.stack = -1
        self.looked = 0  # at which look it was there last
        self.said = 0  # when its stack was told last


class Sampler:
    """``obey(message)`` does what the observer asks for; it is called by the thread of this one.

    Attributes:
        boundaries: ids of code objects that call what is to be shown: their frames, and those outside, are not. In a process that has
            any, a main thread that is in none of them is idle.
        callers: ids of code objects that call tasks in other threads than the main one. A thread that is in one of them is at a task.
        own: how files begin whose frames are none of a task, directly inside a boundary.
        task: gives the number of the task that runs, and since when; None: there are no tasks.
        before: called at each look, by the same thread; ``first``: once, before all looks.
        next: gives the seconds until a look is needed, which may be sooner than it would come.
        last: called when it looks no more, whoever has ended it.
    """

    def __init__(self, writer: Writer, link: Link, names: Names, obey: Callable[[dict[str, Any]], None], rate: float) -> None:
        self._writer = writer
        self._link = link
        self._names = names
        self._obey = obey
        self._interval = 1.0 / rate
        self._seen: dict[int, _Seen] = {}
        self._looks = 0
        self._calm = 0
        self._is_over = False
        self.boundaries: set[int] = set()
        self.callers: set[int] = set()
        self.own: tuple[str, ...] = ()
        self.task: Callable[[], tuple[int, int]] | None = None
        self.before: list[Callable[[], None]] = []
        self.next: Callable[[], float] | None = None
        self.first: Callable[[], None] | None = None
        self.last: list[Callable[[], object]] = []

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="manyhands-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more. When it returns, the thread has ended, unless that is the one that calls."""
        self._is_over = True
        self._link.rouse()
        if self._thread is not threading.current_thread():
            self._thread.join(_ENDS_WITHIN)

    def run(self) -> None:
        """Look, until the observer has gone or :meth:`stop` is called."""
        try:
            if self.first is not None:
                self.first()
            self._look_on()
        except OSError:  # it has gone
            pass
        finally:
            if not self._is_over:
                self._is_over = True
                self._link.close()
            for tell in self.last:
                with contextlib.suppress(Exception):  # watching ends nothing
                    tell()

    def _look_on(self) -> None:
        poll = select.poll()
        poll.register(self._link.socket, select.POLLIN)
        while not self._is_over:
            if poll.poll(self._pause() * 1000):
                asked = self._link.asked()
                if asked is None:
                    return
                for message in asked:
                    self._obey(message)
            self.look()
            self._link.flush()

    @property
    def number(self) -> int:
        """The kernel's, of the thread that looks; 0: there is none."""
        return self._thread.native_id or 0

    @property
    def is_over(self) -> bool:
        """Whether it looks no more."""
        return self._is_over

    def _pause(self) -> float:
        rarer = max(0, self._calm - _CALM)
        usual = min(_SLOWEST, self._interval * (1 + rarer / _CALM))
        return min(usual, max(_SOONEST, self.next())) if self.next is not None else usual

    def look(self) -> None:
        """Where the threads are now."""
        begun = time.thread_time_ns()
        self._looks += 1
        for each in self.before:
            with contextlib.suppress(Exception):  # whatever cannot be told, watching goes on
                each()
        now = time.monotonic_ns()
        self._note_task()
        own, main = threading.get_ident(), threading.main_thread().ident
        has_happened = False
        active = threading._active  # type: ignore[attr-defined] # noqa: SLF001 - enumerate() takes a lock that a stopped thread may have
        for ident, frame in list(sys._current_frames().items())[:_MOST_THREADS]:  # noqa: SLF001 - there is no other way
            if ident != own:
                has_happened |= self._note(ident, frame, active.get(ident), now, is_main=ident == main)
        self._note_ended(now)
        self._calm = 0 if has_happened else self._calm + 1
        words = self._writer.words
        words[_segment.LOOKED] = now
        words[_segment.COST] += time.thread_time_ns() - begun
        words[_segment.UNSAID] = self._link.unsaid

    def _note_task(self) -> None:
        if self.task is not None:
            number, since = self.task()
            words = self._writer.words
            words[_segment.TASK], words[_segment.TASK_SINCE] = number, since

    def _note(self, ident: int, frame: FrameType, thread: Any, now: int, *, is_main: bool) -> bool:
        """Note where a thread is; whether the thread has done anything since the last look."""
        seen = self._seen.get(ident)
        # Of the main thread, a child that was forked believes that it has its parent's number.
        number = os.getpid() if is_main else getattr(thread, "native_id", None) or ident
        if seen is None or seen.number != number:  # one that has ended may leave its identity to the next
            if seen is not None:
                self._writer.write(_segment.THREAD, now, seen.number, 0, 1)
            seen = self._seen[ident] = _Seen(number, of_thread(number))
            name = self._names.text(thread.name if thread is not None else "?")
            self._writer.write(_segment.THREAD, now, number, name, 0, ident & _MASK)
        seen.looked = self._looks
        cpu = of_thread(seen.number)
        used = max(0, cpu - seen.cpu)
        stack, is_at_task = self._stack(frame, is_main=is_main)
        has_moved = stack != seen.stack or used >= _WORTH_SAYING
        task = self._writer.words[_segment.TASK]
        waits = bool(stack) and (is_at_task or (is_main and task != 0))
        if not has_moved and not (waits and now - seen.said >= _SAYS_AGAIN):
            return False
        seen.stack, seen.cpu, seen.said = stack, cpu, now
        self._writer.write(_segment.SAMPLE, now, seen.number, stack, used, task, is_at_task)
        return has_moved

    def _stack(self, frame: FrameType, *, is_main: bool) -> tuple[int, bool]:
        """Its number, and whether that of another thread is a task's."""
        if is_main:
            return self._names.stack(frame, self.boundaries, self.own), False
        task = self._names.stack(frame, self.callers, self.own) if self.callers else 0
        return task or self._names.stack(frame), task != 0

    def _note_ended(self, now: int) -> None:
        ended = [ident for ident, seen in self._seen.items() if seen.looked != self._looks]
        for ident in ended:
            self._writer.write(_segment.THREAD, now, self._seen.pop(ident).number, 0, 1)
