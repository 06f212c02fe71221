"""What somebody who watches a pool has its workers do: give up a task, stand still, go on, be replaced.

All of it is for the driver: whoever asks leaves a command. A worker that stands still has been stopped by the kernel, with all that it has
started, wherever it was; what it had not begun runs elsewhere. It goes on when it is told to, and when its pool ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._core import events, scheduler

if TYPE_CHECKING:
    from manyhands._engine._dispatcher import Dispatcher
    from manyhands._engine._supervisor import Peer

# How long a worker goes on when it is to stand still, with nothing new to begin: quick tasks end, and their results are sent. A guess.
_GRACE = 20_000_000

CANCEL, PAUSE, RESUME, RESTART = DEEDS = ("cancel", "pause", "resume", "restart")


class Controlling:
    """See the module.

    Attributes:
        pausing: who is to be stopped soon.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.pausing: list[Peer] = []
        self._dispatcher = dispatcher
        self._paused: set[Peer] = set()
        self.endings: list[None] = []  # one for each thread that waits for the pool to end what it does: nobody is paused meanwhile

    def do(self, deed: str, pid: int, task: tuple[int, int] | None) -> str:
        """Have the worker ``pid`` do something; why not, or nothing. ``task``: which it is at, by its call and index."""
        peer = next((peer for peer in self._dispatcher.peers.values() if (peer.pid or peer.slot.pid()) == pid and not peer.hung_up), None)
        if peer is not None:
            peer.pid = pid
        if peer is None or peer.worker.doom is not None:
            return "It is just ending."
        if deed == CANCEL:
            return self._cancel(peer, task)
        if deed == PAUSE:
            return self._pause(peer)
        if deed == RESUME:
            self._resume(peer)
        elif deed == RESTART:
            self._restart(peer)
        return ""

    def _cancel(self, peer: Peer, task: tuple[int, int] | None) -> str:
        worker = peer.worker
        started = self._dispatcher.recall(worker)
        run = next((run for run in worker.window if run.done <= started - run.ordinal < run.count), None)
        if run is None or (run.batch.call.number, run.batch.first + started - run.ordinal) != task:
            return "The task has just ended."
        self._dispatcher.condemn(worker, scheduler.ENDED, started, time.monotonic_ns())
        return ""

    def _restart(self, peer: Peer) -> None:
        self._dispatcher.recall(peer.worker)
        self._resume(peer)
        self._dispatcher.scheduler.retire(peer.worker)

    # ------------------------------------------------------------ standing still

    def _pause(self, peer: Peer) -> str:
        if self.endings:
            return "Its pool is being shut down."
        if peer in self._paused:
            return ""
        now = time.monotonic_ns()
        worker = peer.worker
        started = self._dispatcher.recall(worker)
        self._dispatcher.scheduler.pause(worker, now)
        if worker.window and worker.window[0].ordinal + worker.window[0].done < started:
            peer.ask_for_results()
        self._paused.add(peer)
        self.pausing.append(peer)
        peer.stop_at = now + _GRACE if worker.window else now
        self._tell(peer, is_paused=True)
        if self.endings:  # just now, and whoever ends it may not have seen this one
            self._resume(peer)
        return ""

    def _resume(self, peer: Peer) -> None:
        if self._let_go(peer):
            self._dispatcher.scheduler.resume(peer.worker, time.monotonic_ns())

    def _let_go(self, peer: Peer) -> bool:
        """Whether it was paused, and is there: another process may have the number of one that has ended."""
        if peer in self.pausing:
            self.pausing.remove(peer)
        if peer not in self._paused:
            return False
        self._paused.discard(peer)
        if not self._is_there(peer):
            return False
        peer.go_on()
        self._tell(peer, is_paused=False)
        return True

    def _is_there(self, peer: Peer) -> bool:
        return self._dispatcher.peers.get(peer.number) is peer

    def _tell(self, peer: Peer, *, is_paused: bool) -> None:
        for observe in self._dispatcher.observers:
            observe(events.WorkerPaused(peer.pid or 0, is_paused, time.monotonic_ns()))

    def resume_all(self) -> None:
        """Nobody is left to tell them to go on, or they are to end."""
        for peer in list(self._paused):
            self._resume(peer)

    @property
    def has_paused(self) -> bool:
        """Whether any is paused; for any thread."""
        return bool(self._paused)

    # ------------------------------------------------------------ in each turn

    def stop_due(self, now: int) -> None:
        """Stop those that have had their time."""
        for peer in [peer for peer in self.pausing if peer.stop_at <= now]:
            self.pausing.remove(peer)
            if self._is_there(peer):
                peer.stand_still()

    def wake_at(self) -> int:
        """When the next of them is to be stopped."""
        return min(peer.stop_at for peer in self.pausing)

    def leaves(self, peer: Peer) -> None:
        """It is told to."""
        if self._paused:
            self._let_go(peer)

    def forget_all(self) -> None:
        """They have been killed."""
        self._paused.clear()
        self.pausing.clear()
