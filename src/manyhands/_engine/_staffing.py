"""Workers come and go: what follows when one is started, cannot be, or has ended."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures
from manyhands._core import events, scheduler
from manyhands._engine import _notices
from manyhands._wire import _frames, _posix

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._core.scheduler import Scheduler
    from manyhands._core.tasks import Worker
    from manyhands._engine._crew import Crew
    from manyhands._engine._launch import Event
    from manyhands._engine._outcomes import Outcomes
    from manyhands._engine._supervisor import Peer

# Nanoseconds until another worker is tried after the machine had no room for one.
_HARD_TIMES = 1_000_000_000
# So many workers in a row that end before they have run anything are no accident.
_STILLBORN = 4
# If they were killed it may have been from outside, which is no fault of what waits; but it may have been for the memory that they
# take to be set up, and then it would go on for ever.
_KILLED = 40
_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)


class Staffing:
    """See the module.

    ``hear(peer)`` takes what a worker has sent, and tells whether there was anything; ``fail_ready(make)`` ends all tasks that have no
    worker, each with the error that ``make`` gives for its description.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        crew: Crew,
        outcomes: Outcomes,
        observers: list[Callable[[events.Event], None]],
        hear: Callable[[Peer], bool],
        fail_ready: Callable[[Callable[[str], BaseException]], None],
    ) -> None:
        self.scheduler: Scheduler = scheduler
        self.stillborn: int = 0  # workers in a row that ended before they had run anything
        self.replaces: bool = True  # what a worker had not begun is for another one
        self._crew = crew
        self._outcomes = outcomes
        self._observers = observers
        self._hear = hear
        self._fail_ready = fail_ready
        self._grow_at = 0  # when more workers may be tried after one could not be started

    def reset(self) -> None:
        """All workers are gone, and with them what was learnt from them."""
        self._grow_at = self.stillborn = 0

    def may_grow(self, now: int) -> bool:
        """Whether more workers may be tried again, for which there was no room; told once."""
        if 0 < self._grow_at <= now:
            self._grow_at = 0
            return True
        return False

    def start(self, worker: Worker, now: int) -> None:
        """Have a worker started."""
        try:
            self._crew.start(worker)
        except OSError as error:
            self._not_started(worker, error, now)
            return
        self.attend()

    def _not_started(self, worker: Worker, error: OSError, now: int) -> None:
        self.scheduler.died(worker, 0, now)
        if self._crew.peers:
            # Fewer workers do the work as well. For a while, no more are asked for.
            why = f"{type(error).__name__}: {error}"
            text = f"no more worker processes can be started for the moment ({why}); the work goes on with those that there are"
            self._outcomes.asked(partial(_notices.warning, text))
            self.scheduler.limit = len(self._crew.peers)
            self._grow_at = now + _HARD_TIMES
            return
        cause = f"{type(error).__name__}: {error}"
        self._fail_ready(lambda _: errors.CannotStart(f"no worker process could be started: {cause}"))

    def attend(self) -> None:
        """Take note of what has become of processes."""
        while happened := self._crew.launcher_events():
            for event in happened:
                self._launcher_event(event)
        for peer in [peer for peer in self._crew.peers.values() if peer.hung_up]:
            if not self._crew.launcher.tracks(peer.number):
                # Its zygote was killed: nobody will tell how it ended, but ended it has, or is of no use.
                peer.kill()
                self._bury(peer, None)
            else:
                self._crew.await_end(peer)

    def _launcher_event(self, event: Event) -> None:
        kind, number, detail = event
        peer = self._crew.peers.get(number)
        if peer is None and kind == "started":
            _posix.kill_group(detail)  # type: ignore[arg-type] # given up before anybody knew its pid
        elif peer is None:
            self._crew.launcher.forget(number)
        elif kind == "started":
            peer.started(detail)  # type: ignore[arg-type]
            for observe in self._observers:
                observe(events.WorkerStarted(detail, time.monotonic_ns()))  # type: ignore[arg-type]
        elif kind == "orphaned":
            peer.orphaned()
        elif kind == "exited":
            while not peer.hung_up and self._hear(peer):
                pass
            self._crew.launcher.forget(number)
            self._bury(peer, detail)  # type: ignore[arg-type]
        else:
            self._crew.forget(peer)
            self._not_started(peer.worker, detail, time.monotonic_ns())  # type: ignore[arg-type]

    def _bury(self, peer: Peer, status: int | None) -> None:
        """A worker has ended: one task at most goes with it, all others run elsewhere."""
        now = time.monotonic_ns()
        retiring = peer.worker.retiring
        ready = peer.set_up = peer.slot.ready()
        peer.cut_off = peer.slot.cut_off() or (peer.cut_off and status == -signal.SIGKILL)
        too_large = peer.leaving is not None and peer.leaving.a == _frames.LEAVES_TOO_LARGE
        blame = scheduler.DEADLY if too_large else int(ready and not retiring)
        culprit, reason = self.scheduler.died(peer.worker, peer.slot.started(), now, blame=blame)
        for observe in self._observers:
            observe(events.WorkerEnded(peer.pid, *_last_words(peer, reason if culprit is not None else "", status), now))
        if culprit is not None and too_large:
            self._outcomes.failed([culprit], self._too_large)
        elif culprit is not None:
            self._outcomes.died(culprit, reason, peer, status)
        elif peer.leaving is not None and peer.leaving.a == _frames.LEAVES_SETUP:
            failure = peer.leaving.payload
            self._fail_ready(lambda task: _setup_error(task, failure))
        elif not self.replaces and peer.pid is not None:
            self._fail_ready(lambda task: peer.obituary(f"before it began {task}", status))
        elif not retiring and peer.pid is not None and not ready:
            self._count_stillborn(peer, status)
        if culprit is None and not retiring and peer.leaving is None:
            self._outcomes.lost_worker(peer, status)
        self._crew.forget(peer)

    def _too_large(self, task: str) -> BaseException:
        limit = (self._outcomes.memory_limit or 0) / 2**20
        return MemoryError(f"{task} needs more memory than a worker may hold: its memory_limit is {limit:.0f} MiB")

    def _count_stillborn(self, peer: Peer, status: int | None) -> None:
        self.stillborn += 1
        if self.stillborn >= (_KILLED if status in _OUTSIDE else _STILLBORN):
            others, self.stillborn = self.stillborn - 1, 0
            doing = f"before it ran anything, as did {others} others; so no worker can run"
            self._fail_ready(lambda task: peer.obituary(f"{doing} {task}", status))


def _last_words(peer: Peer, reason: str, status: int | None) -> tuple[str, bool]:
    """How a worker has ended, and whether that was meant."""
    stopped = {
        scheduler.TIMEOUT: "stopped: its task took longer than it may",
        scheduler.CANCELLED: "stopped: its task was cancelled",
        scheduler.ENDED: "stopped: its task was cancelled by who watches it",
    }
    how = stopped.get(reason) or peer.end_in_words(status)
    return how, not how or peer.dismissed or reason in stopped


def _setup_error(task: str, failure: object) -> BaseException:
    cause = _failures.decode_failure(failure)  # type: ignore[arg-type]
    what = f"a worker's initializer raised {type(cause).__name__}: {cause}; so no worker can run {task}"
    error = errors.WorkerDied(what, pid=None, exit_code=None)
    error.in_setup = True
    error.__cause__ = cause
    return error
