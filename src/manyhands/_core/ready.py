"""Batches that wait: for a worker, or for their time."""

from __future__ import annotations

import heapq
from collections import deque

from manyhands._core.tasks import WAITING, Batch, Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class ReadyQueue:
    """Calls with ready batches, by priority, highest first; within one priority in turn. And batches that are delayed.

    ``widest`` is the largest limit of any call that was ever in it.
    """

    __slots__ = ("_delays", "delayed", "levels", "widest")

    def __init__(self) -> None:
        self.levels: dict[int, deque[Call]] = {}
        self.delayed: list[tuple[int, int, Batch]] = []  # a heap by time
        self._delays = 0
        self.widest = 0

    def __bool__(self) -> bool:
        """Whether any batch is ready."""
        return any(self.levels.values())

    def put(self, batch: Batch, *, front: bool = False) -> None:
        """A batch is ready; unless it was cancelled, or its call ends before it."""
        call = batch.call
        if batch.cancelled or batch.first >= call.end:
            call.outstanding -= len(batch.items)
            return
        batch.worker = WAITING
        if not call.listed:
            call.listed = True
            self.widest = max(self.widest, call.limit)
            self._level(call.priority).append(call)
        if front:
            call.ready.appendleft(batch)
        else:
            call.ready.append(batch)

    def _level(self, priority: int) -> deque[Call]:
        level = self.levels.get(priority)
        if level is None:
            # Levels that are empty go: priorities may be anything, timestamps too.
            kept = {number: calls for number, calls in self.levels.items() if calls}
            kept[priority] = level = deque()
            self.levels = dict(sorted(kept.items(), reverse=True))
        return level

    def take(self, call: Call, level: deque[Call]) -> Batch:
        """The next batch of ``call``, which is the first of ``level``; then it is the others' turn."""
        ready = call.ready
        batch = ready.popleft()
        while ready and ready[0].cancelled:
            ready.popleft()
        if ready:
            level.rotate(-1)
        else:
            level.popleft()
            call.listed = False
        return batch

    def delay(self, batch: Batch, not_before: int) -> None:
        """A batch is to be ready at ``not_before``."""
        if batch.cancelled or batch.first >= batch.call.end:
            self.put(batch)
            return
        batch.worker = WAITING
        self._delays += 1
        heapq.heappush(self.delayed, (not_before, self._delays, batch))

    def release(self, now: int) -> None:
        """What is delayed no longer is ready."""
        delayed = self.delayed
        while delayed and (delayed[0][0] <= now or delayed[0][2].cancelled):
            batch = heapq.heappop(delayed)[2]
            if not batch.cancelled:
                self.put(batch)

    def drop_cancelled(self, call: Call) -> None:
        """Have no cancelled batch be the next: neither wait nor start a worker for it. The others are dropped when it is their turn."""
        ready = call.ready
        while ready and ready[0].cancelled:
            ready.popleft()
        if call.listed and not ready:
            call.listed = False
            self.levels[call.priority].remove(call)
        while self.delayed and self.delayed[0][2].cancelled:
            heapq.heappop(self.delayed)

    def take_out(self, call: Call, begin: int = 0) -> list[Batch]:
        """Take out all batches of a call from index ``begin`` on; whoever gets them has them alone."""

        def goes(batch: Batch) -> bool:
            return batch.call is call and batch.first >= begin

        delayed = [entry[2] for entry in self.delayed if goes(entry[2])]
        if delayed:
            self.delayed = [entry for entry in self.delayed if not goes(entry[2])]
            heapq.heapify(self.delayed)
        batches = _alive((*filter(goes, call.ready), *delayed))
        call.outstanding -= sum(len(batch.items) for batch in batches)
        call.ready = deque(batch for batch in call.ready if not goes(batch))
        self.drop_cancelled(call)
        return batches

    def drain(self) -> list[Batch]:
        """Take out everything; whoever gets it has it alone."""
        batches = [entry[2] for entry in self.delayed]
        self.delayed.clear()
        for level in self.levels.values():
            for call in level:
                batches += call.ready
                call.ready.clear()
                call.listed = False
            level.clear()
        batches = _alive(batches)
        for batch in batches:
            batch.worker = None
            batch.call.outstanding -= len(batch.items)
        return batches


def _alive(batches: Iterable[Batch]) -> list[Batch]:
    return [batch for batch in batches if not batch.cancelled]
