"""Workers that take too long: for their task, or to begin with it.

Each worker with something to do has a time at which to look at it; the slot then tells what it does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyhands._core.tasks import Worker

# A worker that has had a task for so long and has not started it is not there: stopped, or starved, or still being set up. Far above what
# the kernel lets a ready process wait on a busy machine.
LOST_NS = 100_000_000

# A worker that has had several tasks in one message, and has said nothing for so long, may hold results of the first: it sends them when a
# task ends, and then only if it has held them for a millisecond.
HELD_NS = 10_000_000

# What a look finds.
TIMEOUT = "timeout"
LOST = "lost"
HELD = "held"


class Lookout:
    """When to look at which worker. ``soonest``: no worker's time is before it; 0: none has any."""

    __slots__ = ("soonest",)

    def __init__(self) -> None:
        self.soonest = 0

    def begins(self, worker: Worker, now: int) -> None:
        """The next task of ``worker`` may have started now, or not: look after it in time."""
        if not worker.window or worker.doom is not None or worker.paused:
            return
        run = worker.window[0]
        timeout = run.batch.call.timeout
        patience = LOST_NS if run.count - run.done == 1 else HELD_NS
        if timeout:
            self._look(worker, now + min(timeout, patience))
        elif not worker.check_at or worker.check_at > now + patience:
            self._look(worker, now + patience)

    def _look(self, worker: Worker, when: int) -> None:
        worker.check_at = when
        if not self.soonest or when < self.soonest:
            self.soonest = when

    def due(self, workers: Iterable[Worker], now: int) -> list[Worker]:
        """Those whose time has come."""
        self.soonest = 0
        due = []
        for worker in workers:
            if not worker.check_at:
                continue
            if worker.check_at <= now:
                worker.check_at = 0
                due.append(worker)
            else:
                self._look(worker, worker.check_at)
        return due

    def finding(self, worker: Worker, started: int, since: int, now: int, *, help_is_there: bool) -> str | None:
        """What is the matter with a worker that started task ``started`` at ``since``: TIMEOUT, LOST, HELD or nothing.

        It is lost only if there is help: somebody else who could do what it has not started.
        """
        if not worker.window or worker.doom is not None or worker.paused:
            return None
        run = worker.window[0]
        timeout = run.batch.call.timeout
        if started < run.ordinal + run.done:
            patience = min(timeout or LOST_NS, LOST_NS)
            due = worker.news + LOST_NS
            late = due <= now
            self._look(worker, now + patience if late else min(due, now + patience))
            return LOST if late and help_is_there else None
        held = HELD if run.ordinal + run.done < started < run.ordinal + run.count else None
        if run.count - run.done > 1:
            # Further and further apart, so that a task of hours costs a few looks.
            self._look(worker, now + max(HELD_NS, now - since))
        if not timeout:
            return held
        due = since + timeout + worker.rest_of(started) if started < run.ordinal + run.count else now + timeout
        overdue = due <= now
        # If it ends just now, and is not stopped: the next task.
        due = now + timeout if overdue else due
        self._look(worker, min(due, worker.check_at or due))
        return TIMEOUT if overdue else held
