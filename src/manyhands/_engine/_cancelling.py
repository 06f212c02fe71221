"""Taking back what was submitted to a pool: calls, and single tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._core import scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._core.tasks import Batch, Worker
    from manyhands._engine._calls import PoolCall
    from manyhands._engine._dispatcher import Dispatcher

# How long running tasks of a call that was given up may go on before they are stopped. Most end by themselves,
# and a warm worker is worth keeping. A guess.
_GRACE = 0.1


class Cancelling:
    """See the module. ``wait(done, deadline)`` drives the pool, or lets it be driven, until ``done()``."""

    def __init__(self, dispatcher: Dispatcher, wait: Callable[..., bool]) -> None:
        self._dispatcher = dispatcher
        self._wait = wait

    def call(self, call: PoolCall, *, at_once: bool = False) -> None:
        """Nothing of this call runs any more when this returns. What runs has a moment to end by itself."""
        self._dispatcher.command(lambda: self._recall(self._dispatcher.scheduler.cancel_call(call)))
        still = time.monotonic() + (0 if at_once else _GRACE)
        try:
            self._wait(lambda: call.cancelled and not call.running, still)
        finally:
            self._dispatcher.command(lambda: self._kill_running(call))
        self._wait(lambda: not call.running)

    def cut(self, call: PoolCall, end: int) -> None:
        """Have no task of this call start any more from index ``end`` on."""
        self._dispatcher.command(lambda: self._recall(self._dispatcher.scheduler.cut_call(call, end)))

    def _recall(self, workers: list[Worker]) -> None:
        for worker in workers:
            if worker.number in self._dispatcher.peers:
                self._dispatcher.recall(worker)

    def _kill_running(self, call: PoolCall) -> None:
        for worker in [self._dispatcher.scheduler.workers[number] for number in call.running]:
            self._condemn(worker, lambda batch: batch.call is call)

    def _condemn(self, worker: Worker, meant: Callable[[Batch], bool]) -> bool:
        """Kill a worker if the task that it runs now is meant, and not one of somebody else's; whether it was."""
        if worker.number not in self._dispatcher.peers or worker.doom is not None:
            return False
        started = self._dispatcher.recall(worker)
        batch = worker.batch_of(started)
        if batch is None or not meant(batch):
            return False  # what was meant has ended, and the answer is on its way
        self._dispatcher.condemn(worker, scheduler.CANCELLED, started, time.monotonic_ns())
        return True

    def task(self, batch: Batch, *, running: bool) -> bool:
        """Keep the one task of ``batch`` from running, or, if asked to, stop it; whether that succeeded."""
        answers: list[bool] = []

        def answer() -> None:
            done = False
            try:
                done = self._cancel_task(batch, running=running)
            finally:
                answers.append(done)  # also if that fails: it is waited for

        if not self._dispatcher.driving.mine:
            self._dispatcher.command(answer)
            self._wait(lambda: bool(answers))
        elif self._dispatcher.inside:  # called by the garbage collector in the middle of a turn: it is done later
            self._dispatcher.command(lambda: self._cancel_late(batch, running=running))
            return False
        else:
            answer()
        return answers[0]

    def _cancel_task(self, batch: Batch, *, running: bool) -> bool:
        machine = self._dispatcher.scheduler
        if machine.cancel_batch(batch):
            return True
        worker = machine.workers.get(batch.worker or 0)
        if worker is None or not worker.window or worker.number not in self._dispatcher.peers:
            return False
        self._dispatcher.recall(worker)
        if machine.cancel_batch(batch):
            return True
        return running and self._condemn(worker, lambda other: other is batch)

    def _cancel_late(self, batch: Batch, *, running: bool) -> None:
        if self._cancel_task(batch, running=running):
            self._dispatcher.outcomes.cancelled([batch])
