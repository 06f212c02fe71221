"""One worker as the parent sees it, and why it ended."""

from __future__ import annotations

import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures
from manyhands._engine import _parcels
from manyhands._wire import _frames, _posix
from manyhands._wire._channel import Channel
from manyhands._wire._slot import Slot

if TYPE_CHECKING:
    import socket

    from manyhands._core.tasks import Worker
    from manyhands._wire._frames import Frame

_OWN = "/manyhands/_engine/"  # in the stack of a worker, below what its task has called

# How long a worker that is to be killed has to write down its stack.
STACK_NS = 100_000_000

_CAUSES = {
    signal.SIGKILL: "killed from outside (kill -9, a job manager, or the kernel)",
    signal.SIGSEGV: "a fault in C code that the task called",
    signal.SIGBUS: "a fault in C code, or a mapped file or /dev/shm that became too small",
    signal.SIGABRT: "C code gave up (abort): a failed assertion, corrupted memory, or no memory left",
    signal.SIGFPE: "an arithmetic fault in C code",
    signal.SIGILL: "C code that was built for another processor",
    signal.SIGTERM: "asked to end from outside (SIGTERM)",
    signal.SIGXCPU: "its limit of processor time (ulimit -t)",
}


class Peer:
    """A worker process: the channel to it, its slot, and what is known of its end.

    States: asked for (``pid`` None) → started → ended. ``theirs`` are the worker's descriptors, which stay open here until
    it has them. ``known`` are the numbers of the functions that it has been sent.
    """

    def __init__(self, worker: Worker, worker_id: int) -> None:
        self.worker = worker
        self.worker_id = worker_id  # the least that no other worker has
        self.number = worker.number
        self.pid: int | None = None
        self.asked_for = time.monotonic_ns()
        self.known: set[int] = set()
        self.leaving: Frame | None = None  # its own word that it goes
        self.hung_up = False
        self.set_up = True  # known to be False when it ended before
        self.cut_off = False  # it has closed its channel, and lived on until it was killed
        self.garbled = False  # it has sent what is no message
        self.dismissed = False  # its pool has ended it
        self._fate = 0  # the signal that it gets as soon as its pid is known
        self.kill_at = 0  # it has been asked for its stack, or has hung up, and will be killed then
        self.stop_at = 0  # it is to stand still, and will be stopped then
        self.is_stopped = False
        self.overdue = False  # it has hung up, was killed, and nobody tells of its end
        self._oom_kills = _posix.oom_kills()
        self.theirs: socket.socket
        self.slot = Slot()
        try:
            ours, self.theirs = _posix.channel_pair()
        except BaseException:
            self.slot.close()
            raise
        self.channel = Channel(ours, blocking=False, descriptors=True)
        self.lent = _parcels.Lent()
        self.spoken = 0  # how often it had said something when that was read last
        self._gone: deque[tuple[int, bool]] = deque()  # its own that nobody sees here any more

    def started(self, pid: int) -> None:
        """It runs, and has its descriptors."""
        self.pid = pid
        self._release_theirs()
        self._meet_fate()

    def orphaned(self) -> None:
        """Whether it runs is not known: if it does not, its channel is at its end now."""
        self._release_theirs()
        self.pid = self.slot.pid()
        self._meet_fate()

    def _meet_fate(self) -> None:
        if self._fate:
            self.kill(self._fate)

    def _release_theirs(self) -> None:
        self.theirs.close()
        self.slot.release_fd()

    # ------------------------------------------------------------ segments

    def unpack(self, frame: Frame) -> None:
        """Put what has come in segments in its place; what cannot be is the failure of the task."""
        try:
            self._gone += _parcels.unpack(frame, _posix.close_quietly, self._adopt)
        except OSError as error:
            frame.kind, frame.payload, frame.buffers = _frames.FAILED, _failures.encode_failure(error), ()

    def _adopt(self, fd: int, number: int) -> memoryview:
        from manyhands._wire import _segments  # noqa: PLC0415 - only where something large comes back

        return _segments.map_privately(fd, number, self._note_gone)

    def _note_gone(self, number: int, spoiled: bool) -> None:
        self._gone.append((number, spoiled))

    def tell_gone(self) -> None:
        """With the next message, say which of its segments nobody sees here any more."""
        told = []
        while self._gone:
            told.append(self._gone.popleft())
        if told:
            self.channel.queue(_parcels.pack_gone(told))

    # ------------------------------------------------------------ the end

    def ask_for_stack(self) -> bool:
        """Have it write down its Python stack; False if it cannot be asked."""
        if self.pid is None or self.is_stopped:
            return False
        _posix.send_signal(self.pid, _posix.STACK_SIGNAL)
        return True

    def ask_for_results(self) -> None:
        """Have it send what it holds back while its task goes on. Not while that sleeps: in C, a signal may end the sleep."""
        if self.pid is not None and _posix.is_computing(self.pid):
            _posix.send_signal(self.pid, _posix.RESULTS_SIGNAL)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it and all that it has started, now; or as soon as there is somebody to end."""
        pid = self.pid or self.slot.pid()
        if pid is None:
            self._fate = number
        else:
            _posix.kill_group(pid, number)
            if number != signal.SIGKILL:
                self.go_on()  # or it would not notice

    def stand_still(self) -> None:
        """Stop it and all that it has started."""
        if self.pid is not None and not self.hung_up:
            self.is_stopped = True
            _posix.kill_group(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on, if it stands still."""
        if self.is_stopped and self.pid is not None:
            self.is_stopped = False
            _posix.kill_group(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Give its channel and slot back."""
        self._release_theirs()
        self.channel.close()
        self.slot.close()
        self.lent.clear()

    def stack(self) -> str:
        """Its last Python stack, without manyhands' own frames; empty if there is none."""
        lines = self.slot.stack().splitlines()
        own = next((i for i, line in enumerate(lines) if _OWN in line), len(lines))
        found = lines[:own]
        return "\n".join(found) if any(line.startswith("  File") for line in found) else ""

    def obituary(self, doing: str, status: int | None, stack: str = "") -> errors.WorkerDied:
        """The error of a task with which it ended with ``status``."""
        how, cause = self._explain(status)
        message = f"worker {self.pid} {how} {doing}"
        return errors.WorkerDied(message, pid=self.pid, exit_code=status, cause=cause, stack=stack)

    def end_in_words(self, status: int | None) -> str:
        """How it has ended, and why, as far as that is known; empty: as it should."""
        if status == 0 and not (self.garbled or self.cut_off):
            return ""
        how, cause = self._explain(status)
        how = how.removeprefix("was ")
        return f"{how}: {cause}" if cause else how

    def _explain(self, status: int | None) -> tuple[str, str]:
        if self.dismissed:
            return "was stopped", "its pool was shut down, or told to end its workers"
        if self.garbled:
            return "was stopped", "the task wrote to a descriptor that was not its own, the one over which its results travel"
        if self.cut_off:
            return "was stopped", "the task closed a descriptor that is not its own, over which its results travel (os.closerange)"
        if status is None:
            return "ended", "unknown: the process that watches the workers was killed, or somebody else took the exit status"
        if status >= 0:
            who = "the task" if self.set_up else "its initializer"
            return f"ended with exit code {status}", f"{who} called os._exit(), or a library did"
        name = _posix.describe_signal(-status)
        if status == -signal.SIGKILL and _posix.oom_kills() > self._oom_kills:
            return f"was killed by {name}", "the kernel killed it because memory ran out (its out-of-memory counter rose)"
        return f"was killed by {name}", _CAUSES.get(-status, "")  # type: ignore[call-overload]

    def stop(self) -> None:
        """Let it finish what it has and go."""
        self.channel.queue(_frames.pack(_frames.STOP))
