"""A call on worker processes, as the contract has it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._engine import _feed
from manyhands._engine._arguments import ArgumentEncoder
from manyhands._engine._stream import Arrivals, Stream
from manyhands.backends._contract import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands._core.policy import Failed
    from manyhands._engine._pool import ProcessPool
    from manyhands.backends._contract import Plan


class ProcessStream:
    """A call over many inputs on worker processes. ``owner`` is whoever began it, where that counts."""

    owner: object = None

    def __init__(self, pool: ProcessPool, plan: Plan, inputs: Iterator[object]) -> None:
        pool.prepare(plan.function)
        self._arrivals = Arrivals()
        begin = time.monotonic_ns()
        feed = _make_feed(pool, plan, inputs)
        self._arrivals.ledger.preparing += time.monotonic_ns() - begin  # of a function that carries much, mostly that
        self._call = pool.open_call(self._arrivals, plan.policy, limit=plan.workers, priority=plan.priority)
        self._stream = Stream(
            pool,
            self._call,
            self._arrivals,
            feed,
            total=plan.total,
            chunk=plan.chunk,
            buffer=plan.buffer,
            ahead=plan.ahead,
            eager=plan.eager,
            fail_fast=plan.fail_fast,
        )
        self._ordered = plan.ordered
        self._stream.watch = plan.watch

    @property
    def deadline(self) -> float | None:
        """By when results have to be there."""
        return self._stream.deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._stream.deadline = deadline

    @property
    def failures(self) -> int:
        """How many tasks have failed for good."""
        return self._arrivals.failures

    def leftovers(self) -> list[Failed]:
        """Failures that were in no chunk."""
        return [*self._stream.held_back(), *self._arrivals.failed_tasks]

    def start(self) -> None:
        """Begin before the first result is asked for."""
        self._stream.start()

    def finish(self) -> None:
        """Read all inputs, unless that is limited by a buffer, and wait until every task has ended; the results are kept."""
        self._stream.finish()

    def is_complete(self) -> bool:
        """Whether every input has been read and every task has ended, before anybody closed it. Not all results may have been taken."""
        return self._stream.is_complete()

    def cancel_waiting(self) -> None:
        """Cancel what has not started."""
        self._stream.cancel_waiting()

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Results as the contract has them."""
        return self._stream.chunks(ordered=self._ordered)

    def close(self, *, at_once: bool = False) -> None:
        """Take back what has not started; let what runs end within a moment, then stop it."""
        self._stream.close(at_once=at_once)

    def counts(self) -> Counts:
        """Where the call stands."""
        work = dict(self._arrivals.work)
        ledger = self._arrivals.ledger
        ledger.sent, ledger.spared, ledger.hired = self._call.sent, self._call.spared, self._call.hired
        stream, arrivals, call = self._stream, self._arrivals, self._call
        return Counts(stream.submitted, arrivals.ended, arrivals.failures, len(call.running), work, ledger, call.number)


def _make_feed(pool: ProcessPool, plan: Plan, inputs: Iterator[object]) -> _feed.Feed:
    if plan.function is None:
        return _feed.CallFeed(pool, inputs, plan.on_stale, quiet=plan.quiet)
    encoder = ArgumentEncoder(pool, quiet=plan.quiet)
    return _feed.ArgumentFeed(pool.function(plan.function, plan.on_stale), inputs, encoder, star=plan.star, settled=plan.settled)
