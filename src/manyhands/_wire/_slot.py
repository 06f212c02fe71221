"""One page of memory shared with one worker: what it is doing now.

The worker writes, the parent reads, with no lock and no system call. It tells the parent, even after the worker was
killed or stopped, which task it had started; and it lets the parent take back tasks that have not started without
the worker's help.

**Taking tasks back.** Tasks are numbered by an ordinal that grows with every task sent to this worker, and sent under an epoch. Before
each task the worker *first* writes ``STARTED = ordinal``, *then* compares ``EPOCH`` with the epoch under which the task was sent,
and leaves the task alone if it differs. The parent *first* writes a new ``EPOCH``, *then* reads ``STARTED``. One of the two must see
the other's write, so a task above the ``STARTED`` that the parent read never runs here, and may be given to another worker.

On processors this needs a barrier between the write and the read on both sides. The parent waits a few microseconds
(``_SETTLE_NS``), many times what a store takes to leave a core's buffer; the worker executes dozens of byte codes
between two tasks, and a worker that is suspended has its stores written out by the switch.

Assumption: an aligned 8-byte store is not torn. True of all processors that CPython runs on in 64-bit mode.
"""

from __future__ import annotations

import os
import time

from manyhands._wire import _posix

SIZE = 16384
STACK_AT = 4096  # the worker's last Python stack is written from here on, as text

# Indexes of 8-byte words.
STARTED = 0  # ordinal of the task that the worker has started last; 0 before the first
START_NS = 1  # when it started it, on the monotonic clock
EPOCH = 2  # written by the parent; tasks sent under another epoch must not start
PID = 4  # of the worker
READY = 3  # 1 when the worker has been set up
CUT_OFF = 5  # 1 when the worker has found its channel closed by somebody in its own process
# Changes with each message in the pipe of what workers say. Threads may lose an increment to one another: any change will do, and one that
# nobody sees leaves a line to be said a little later.
SPOKEN = 6

_SETTLE_NS = 20_000


class Slot:
    """The parent's side."""

    def __init__(self) -> None:
        self.fd = _posix.anonymous_memory(SIZE)
        try:
            self._map = _posix.map_shared(self.fd, SIZE)
        except BaseException:
            os.close(self.fd)
            raise
        self._words = memoryview(self._map).cast("Q")

    def started(self) -> int:
        """Ordinal of the task that the worker started last."""
        return self._words[STARTED]

    def pid(self) -> int | None:
        """The worker's process id, as it says itself; None before it runs."""
        return self._words[PID] or None

    def ready(self) -> bool:
        """Whether the worker has been set up: its initializer has returned."""
        return bool(self._words[READY])

    def cut_off(self) -> bool:
        """Whether somebody in the worker has closed its channel."""
        return bool(self._words[CUT_OFF])

    def spoken(self) -> int:
        """How often the worker has said something, in the pipe that is for it."""
        return self._words[SPOKEN]

    def started_at(self) -> tuple[int, int]:
        """Ordinal of the task that the worker started last, and when (nanoseconds on the monotonic clock)."""
        while True:
            ordinal = self._words[STARTED]
            when = self._words[START_NS]
            if self._words[STARTED] == ordinal:
                return ordinal, when

    def recall(self, epoch: int) -> int:
        """Forbid the worker to start anything sent before; return the ordinal of the last task it has started."""
        self._words[EPOCH] = epoch
        settled = time.monotonic_ns() + _SETTLE_NS
        while time.monotonic_ns() < settled:
            pass
        return self._words[STARTED]

    def stack(self) -> str:
        """The Python stack that the worker wrote when it crashed or was asked to; empty if there is none."""
        raw = self._map[STACK_AT:]
        return raw.rstrip(b"\0").decode("utf-8", "replace")

    def release_fd(self) -> None:
        """The worker has its descriptor: ours is not needed any more."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Unmap the page."""
        self.release_fd()
        self._words.release()
        self._map.close()


def attach(fd: int) -> memoryview:
    """The worker's side: the words of the slot behind ``fd``."""
    return memoryview(_posix.map_shared(fd, SIZE)).cast("Q")
