"""Processor time of the threads that are watched."""

from __future__ import annotations

import threading
import time

_CLOCK_OF_THREAD = 6  # CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED, of the kernel


def of_thread(number: int) -> int:
    """Processor time of a thread, by the kernel's number of it, in nanoseconds."""
    try:
        return time.clock_gettime_ns((~number << 3) | _CLOCK_OF_THREAD)
    except OSError:  # it has ended; or this is no Linux
        return 0


class Clock:
    """Processor time of the process, in nanoseconds, without that of one thread: where little is done, watching takes most of it."""

    def __init__(self) -> None:
        self._left_out: tuple[int, int] | None = None  # the thread, and how much it had taken before

    def __call__(self) -> int:
        now = time.process_time_ns()
        if self._left_out is None:
            return now
        number, before = self._left_out
        return now - max(0, of_thread(number) - before)

    def leave_out_this_thread(self) -> None:
        """The thread that calls, from now on."""
        if self._left_out is None:
            number = threading.get_native_id()
            self._left_out = number, of_thread(number)
