"""Which worker gets which tasks, and what becomes of them.

A state machine: the pool tells what has happened, :meth:`Scheduler.decide` answers with what to do. No clock is read: times are
passed in, in nanoseconds.

**Invariants** (``tests/test_scheduler.py`` tries to break them)

- A task that was submitted is in exactly one place: ready, delayed, in one worker's window, or ended; it ends exactly once.
- What a worker may still run is in its window and nowhere else. A task leaves a window unfinished only when its worker has
  confirmed, by its slot or its death, that it has not started it, or by that death after it had.
- A window holds at most ``WINDOW`` batches and, beyond the first, at most ``HORIZON`` nanoseconds of known work.
- A call never occupies more workers than its limit.
"""

from __future__ import annotations

import heapq
from collections import deque

from manyhands._core.tasks import Batch, Call, Run, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

WINDOW = 64
# Work sent ahead to one worker. Long enough to hide any delay of the parent, short enough to be waited for.
HORIZON = 20_000_000
# What a task is taken to cost before one has been seen: so much that none waits behind it.
UNKNOWN_COST = HORIZON
# Work that is worth being taken from one worker and given to an idle one; a recall costs some 50 us.
_WORTH_STEALING = 1_000_000
# A worker that has not been heard of for so long is slower than was believed.
_SILENCE = 5_000_000
# One that has had a task for so long and has not started it is not there: stopped, or starved, or still being set up. Far above what the
# kernel lets a ready process wait on a busy machine.
_LOST = 100_000_000

# So many workers that die with the same message unread are no accident.
_DEADLY = 3

# What to do. Pairs, since they are made for every task that is sent alone.
SEND = 1  # (SEND, worker, run)
START = 2  # (START, worker): a new one
STOP = 3  # (STOP, worker): let it finish and go
RECALL = 4  # (RECALL, worker): take back what it has not started; answer with recalled()
INSPECT = 5  # (INSPECT, worker): answer with inspected()
KILL = 6  # (KILL, worker)
Action = tuple[int, Worker] | tuple[int, Worker, Run]

# In the place of a worker's number: a batch that is ready or delayed.
WAITING = 0

TIMEOUT = "timeout"
CANCELLED = "cancelled"
DIED = "died"
LOST = "lost"


class Scheduler:
    """See the module. Not for several threads at once: whoever drives the pool owns it."""

    def __init__(self, *, quota: int | None = None) -> None:
        self.workers: dict[int, Worker] = {}
        self.limit: int | None = None  # of workers altogether; None: the calls' limits only
        self._quota = quota
        self._widest = 0  # the largest limit of any call so far
        self._next_number = 1
        # Calls with ready batches, by priority, highest first; within one, in turn.
        self._levels: dict[int, deque[Call]] = {}
        self._delayed: list[tuple[int, int, Batch]] = []  # a heap by time
        self._delays = 0
        # Workers with nothing to do, the one that was busy last at the end: it is the warmest, and the others may leave.
        self._idle: dict[int, Worker] = {}
        # Workers with something to do that may have room for more, in turn.
        self._roomy: dict[int, Worker] = {}
        # Workers that may hold tasks which they have not started: those that may be helped are among them.
        self._laden: dict[int, Worker] = {}
        self._check_at = 0  # no worker's ``check_at`` is before it; 0: none has any
        self._actions: list[Action] = []

    @property
    def waiting(self) -> bool:
        """Whether any task is ready or delayed."""
        return bool(self._delayed) or self._levels_ready()

    @property
    def hungry(self) -> bool:
        """Whether a task that is submitted now could be sent to a worker, as far as is known."""
        return bool(self._idle or self._roomy) or not self.workers or (self.limit is not None and len(self.workers) < self.limit)

    # ------------------------------------------------------------ tasks

    def submit(self, batch: Batch) -> None:
        """New tasks."""
        batch.call.outstanding += len(batch.items)
        self._make_ready(batch)

    def retry(self, batch: Batch, not_before: int = 0) -> None:
        """Tasks that were handed out by :meth:`died` or failed are to run again."""
        batch.call.outstanding += len(batch.items)
        if not_before and not (batch.cancelled or batch.call.cancelled):
            batch.worker = WAITING
            self._delays += 1
            heapq.heappush(self._delayed, (not_before, self._delays, batch))
        else:
            self._make_ready(batch, front=True)

    def _make_ready(self, batch: Batch, *, front: bool = False) -> None:
        call = batch.call
        if call.cancelled or batch.cancelled:
            call.outstanding -= len(batch.items)
            return
        batch.worker = WAITING
        if not call.listed:
            call.listed = True
            self._widest = max(self._widest, call.limit)
            self._level(call.priority).append(call)
        if front:
            call.ready.appendleft(batch)
        else:
            call.ready.append(batch)

    def _level(self, priority: int) -> deque[Call]:
        level = self._levels.get(priority)
        if level is None:
            # Levels that are empty go: priorities may be anything, timestamps too.
            kept = {number: calls for number, calls in self._levels.items() if calls}
            kept[priority] = level = deque()
            self._levels = dict(sorted(kept.items(), reverse=True))
        return level

    def reported(self, worker: Worker, ordinal: int, count: int, now: int) -> tuple[Batch, int] | None:
        """``count`` tasks from ``ordinal`` on have ended, well or badly: their batch, and which of it is the first.

        None if they are not this worker's any more: it was condemned for the task before it could answer.
        """
        worker.lost = False
        if not worker.window:
            return None
        run = worker.window[0]
        offset = ordinal - run.ordinal
        if offset != run.done or offset + count > run.count:
            return None
        if worker.doom is not None and ordinal <= worker.doom[0] < ordinal + count:
            # Too late: and being asked for its stack may have cut short what it was waiting for.
            return None
        run.done += count
        run.batch.call.outstanding -= count
        worker.news = now
        if run.done == run.count:
            self._close(worker, run)
        else:
            self._lighten(worker, run)
        self._watch_next(worker, now)
        return run.batch, offset

    def skipped(self, worker: Worker, ordinal: int, now: int) -> None:
        """The worker did not run ``ordinal`` because it was taken back, although the slot said that it had started."""
        worker.news = now
        if worker.lost:
            worker.lost = False
            self._place(worker)
        if not worker.window:
            return
        run = worker.window[0]
        offset = ordinal - run.ordinal
        if not run.done <= offset < run.count:
            return  # one that was taken back by the slot
        # It is the last of its run. What is behind was sent after the recall, and runs.
        piece = run.batch.cut(offset, run.count)
        run.count = offset
        if worker.doom == (ordinal, CANCELLED):
            piece.cancelled = True  # whoever asked has been told that it does not run
        if run.done == run.count:
            self._close(worker, run)
        else:
            self._lighten(worker, run)
        self._make_ready(piece, front=True)
        self._watch_next(worker, now)

    def _close(self, worker: Worker, run: Run) -> None:
        worker.window.popleft()
        worker.load -= run.load
        self._leave_call(worker, run.batch.call)
        self._place(worker)

    def _lighten(self, worker: Worker, run: Run) -> None:
        left = self._load(run.batch, run.count - run.done)
        worker.load += left - run.load
        run.load = left

    def _leave_call(self, worker: Worker, call: Call) -> None:
        left = call.running[worker.number] - 1
        if left:
            call.running[worker.number] = left
        else:
            del call.running[worker.number]

    def _place(self, worker: Worker) -> None:
        """Put a worker where it will be found: idle, roomy or neither."""
        number = worker.number
        if worker.retiring or worker.lost or worker.doom is not None:
            self._idle.pop(number, None)
            self._roomy.pop(number, None)
            if worker.retiring and not worker.window and worker.doom is None:
                self._actions.append((STOP, worker))
        elif worker.window:
            self._idle.pop(number, None)
            self._roomy[number] = worker
        else:
            self._roomy.pop(number, None)
            self._idle[number] = worker
            worker.check_at = 0

    # ------------------------------------------------------------ taking tasks back

    def recalled(self, worker: Worker, started: int) -> None:
        """The worker will start nothing that it has not started; ``started`` was the last."""
        worker.started = started
        self._take_back(worker, started)

    def _take_back(self, worker: Worker, started: int) -> None:
        """All tasks of the window above ordinal ``started`` are ready again, before all others."""
        back: list[Batch] = []
        while worker.window:
            run = worker.window[-1]
            keep = max(run.done, min(run.count, started - run.ordinal + 1))
            if keep < run.count:
                back.append(run.batch.cut(keep, run.count))
                run.count = keep
            if run.done < run.count:
                self._lighten(worker, run)
                break
            worker.window.pop()
            worker.load -= run.load
            self._leave_call(worker, run.batch.call)
        # Shared out among those who are idle, for the sake of which it was taken back.
        for batch in back:
            parts = min(len(batch.items), len(self._idle) + 1)
            for piece in reversed(list(_split(batch, parts))):
                self._make_ready(piece, front=True)
        if worker.number in self.workers:
            self._place(worker)

    def cancel_batch(self, batch: Batch) -> bool:
        """Keep a batch from running, unless a worker has it: then what it has not started must be recalled first."""
        if not batch.worker and not batch.cancelled:
            batch.cancelled = True
            if batch.worker == WAITING:
                batch.call.outstanding -= len(batch.items)
                self._drop_cancelled(batch.call)
        return batch.cancelled

    def _drop_cancelled(self, call: Call) -> None:
        """Have no cancelled batch be the next: neither wait nor start a worker for it. The others are dropped when it is their turn."""
        ready = call.ready
        while ready and ready[0].cancelled:
            ready.popleft()
        if call.listed and not ready:
            call.listed = False
            self._levels[call.priority].remove(call)
        while self._delayed and self._delayed[0][2].cancelled:
            heapq.heappop(self._delayed)

    def cancel_call(self, call: Call) -> list[Worker]:
        """Nothing of this call that has not started will start; return the workers that hold some of it.

        Each must be recalled; what it then still holds is running.
        """
        call.cancelled = True
        delayed = [entry[2] for entry in self._delayed if entry[2].call is call]
        if delayed:
            self._delayed = [entry for entry in self._delayed if entry[2].call is not call]
            heapq.heapify(self._delayed)
        call.outstanding -= sum(len(batch.items) for batch in (*call.ready, *delayed) if not batch.cancelled)
        call.ready.clear()
        self._drop_cancelled(call)
        return [self.workers[number] for number in call.running]

    def doom(self, worker: Worker, reason: str, ordinal: int) -> None:
        """The worker is going to be killed for task ``ordinal``, which it runs: it gets nothing new."""
        worker.doom = (ordinal, reason)
        worker.check_at = 0
        self._place(worker)

    # ------------------------------------------------------------ workers

    def died(self, worker: Worker, started: int, now: int, *, blame: bool = False) -> tuple[Batch | None, str]:
        """A worker is gone; ``started`` is the last task it had started.

        With ``blame``, a batch that workers had before them when they died without having started anything is held to be
        the cause when that has happened often: its mere arrival may be too much.

        Returns the one task, as a batch of its own, for which it died, and why: "timeout", "cancelled" or "died"; (None, ...) if it ran
        nothing. All others of its window are ready again.
        """
        del self.workers[worker.number]
        self._idle.pop(worker.number, None)
        self._roomy.pop(worker.number, None)
        self._laden.pop(worker.number, None)
        ordinal, reason = worker.doom if worker.doom is not None else (started, DIED)
        culprit = self._extract(worker, ordinal)
        if culprit is None and blame and worker.window:
            head = worker.window[0]
            head.batch.deaths += 1
            if head.batch.deaths >= _DEADLY:
                culprit = self._extract(worker, head.ordinal + head.done)
        self._take_back(worker, 0)
        return culprit, reason

    def _extract(self, worker: Worker, ordinal: int) -> Batch | None:
        """Cut one task out of a window that will not go on."""
        for position, run in enumerate(worker.window):
            offset = ordinal - run.ordinal
            if not run.done <= offset < run.count:
                continue
            run.batch.call.outstanding -= 1
            culprit = run.batch.cut(offset, offset + 1)
            rest = Run(run.batch, run.ordinal, 0)
            rest.done, rest.count = offset + 1, run.count
            run.count = offset
            worker.window.insert(position + 1, rest)
            call = run.batch.call
            call.running[worker.number] += 1
            return culprit
        return None

    def drain(self) -> list[Batch]:
        """Take out all batches that are ready or delayed."""
        batches = [entry[2] for entry in self._delayed]
        self._delayed.clear()
        for level in self._levels.values():
            for call in level:
                batches += call.ready
                call.ready.clear()
                call.listed = False
            level.clear()
        batches = [batch for batch in batches if not batch.cancelled]
        for batch in batches:
            batch.worker = None
            batch.call.outstanding -= len(batch.items)
        return batches

    def retire(self, worker: Worker) -> None:
        """Let a worker finish its window and go."""
        if not worker.retiring:
            worker.retiring = True
            self._place(worker)

    def left(self, worker: Worker) -> None:
        """A worker goes of its own accord: it gets nothing new; its death will follow."""
        worker.retiring = True
        self._idle.pop(worker.number, None)
        self._roomy.pop(worker.number, None)

    def resize(self, limit: int | None) -> None:
        """From now on at most ``limit`` workers; those that are too many go when they have finished."""
        self.limit = limit
        if limit is None:
            return
        active = [worker for worker in self.workers.values() if not worker.retiring]
        active.sort(key=lambda worker: len(worker.window))
        for worker in active[: max(0, len(active) - limit)]:
            self.retire(worker)

    # ------------------------------------------------------------ decisions

    def decide(self, now: int) -> list[Action]:
        """What to do now."""
        if self._delayed:
            self._release_delayed(now)
        self._assign(now)
        if self._idle and not self._levels_ready():
            self._steal(now)
        if 0 < self._check_at <= now:
            self._inspect(now)
        actions, self._actions = self._actions, []
        return actions

    def wake_at(self, now: int) -> int | None:
        """When :meth:`decide` has something to do even if nothing happens, or may have; None: never."""
        times = [self._delayed[0][0]] if self._delayed else []
        if self._check_at:
            times.append(self._check_at)
        if self._idle and not self._levels_ready():
            # Some may be due by now: they were not when it was decided.
            times += [worker.news + _SILENCE for worker in self._victims()]
        return min(times, default=None)

    def _release_delayed(self, now: int) -> None:
        delayed = self._delayed
        while delayed and (delayed[0][0] <= now or delayed[0][2].cancelled):
            batch = heapq.heappop(delayed)[2]
            if not batch.cancelled:
                self._make_ready(batch)

    def _levels_ready(self) -> bool:
        return any(self._levels.values())

    def _assign(self, now: int) -> None:
        for level in self._levels.values():
            stuck = 0
            while stuck < len(level):
                call = level[0]
                worker = self._worker_for(call, now)
                if worker is None:
                    if not self._room_for_any():
                        return  # many calls may wait: do not look at each
                    level.rotate(-1)
                    stuck += 1
                    continue
                stuck = 0
                ready = call.ready
                self._send(worker, ready.popleft(), now)
                while ready and ready[0].cancelled:
                    ready.popleft()
                if ready:
                    level.rotate(-1)  # the others' turn
                else:
                    level.popleft()
                    call.listed = False

    def _room_for_any(self) -> bool:
        """Whether any call might get a worker, as far as can be told without looking at it."""
        most = self._widest if self.limit is None else min(self._widest, self.limit)
        return bool(self._idle or self._roomy) or len(self.workers) < most

    def _worker_for(self, call: Call, now: int) -> Worker | None:
        if len(call.running) >= call.limit:
            # It occupies as many workers as it may: only those can take more of it.
            return self._with_room(call.running, call.ready[0])
        if self._idle:
            return self._idle[next(reversed(self._idle))]
        if len(self.workers) < call.limit and (self.limit is None or len(self.workers) < self.limit):
            return self._start(now)
        return self._with_room(self.workers, call.ready[0])

    def _with_room(self, among: Container[int], batch: Batch) -> Worker | None:
        load = self._load(batch, len(batch.items))
        for number in tuple(self._roomy):
            if number not in among:
                continue
            worker = self._roomy.pop(number)
            if worker.load + load <= HORIZON and len(worker.window) < WINDOW:
                self._roomy[number] = worker  # at the end: the next batch goes to another one
                return worker
            # Not looked at again until one of its batches has ended.
        return None

    def _start(self, now: int) -> Worker:
        worker = Worker(self._next_number, now, self._quota)
        self._next_number += 1
        self.workers[worker.number] = worker
        self._idle[worker.number] = worker
        self._actions.append((START, worker))
        return worker

    def _load(self, batch: Batch, count: int) -> int:
        cost = batch.cost.ns
        return UNKNOWN_COST if cost is None else cost * count

    def _send(self, worker: Worker, batch: Batch, now: int) -> None:
        if worker.quota is not None:
            if len(batch.items) > worker.quota:
                self._make_ready(batch.cut(worker.quota), front=True)
                batch = batch.cut(0, worker.quota)
            worker.quota -= len(batch.items)
        run = Run(batch, worker.next_ordinal, self._load(batch, len(batch.items)))
        worker.next_ordinal += run.count
        if worker.window or run.count > 1:
            self._laden[worker.number] = worker
        if not worker.window:
            worker.news = now
            self._idle.pop(worker.number, None)
            self._roomy[worker.number] = worker
        worker.window.append(run)
        worker.load += run.load
        batch.worker = worker.number
        running = batch.call.running
        running[worker.number] = running.get(worker.number, 0) + 1
        if len(worker.window) == 1:
            self._watch_next(worker, now)
        self._actions.append((SEND, worker, run))
        if worker.quota == 0:
            worker.retiring = True
            self._idle.pop(worker.number, None)
            self._roomy.pop(worker.number, None)

    # ------------------------------------------------------------ slow and overdue

    def _victims(self) -> list[Worker]:
        """Workers with tasks that have not started and that others may help with."""
        victims = []
        for worker in tuple(self._laden.values()):
            if not worker.unstarted():
                del self._laden[worker.number]
            elif worker.doom is None and self._may_be_helped(worker):
                victims.append(worker)
        return victims

    def _may_be_helped(self, worker: Worker) -> bool:
        """Whether an idle worker would be given some of what this one has not started."""
        at_work: set[Call] = set()
        current = worker.current()
        for run in worker.window:
            call = run.batch.call
            if run.ordinal + run.done <= current:
                at_work.add(call)
            if run.ordinal + run.count - 1 > current and len(call.running) - (call not in at_work) < call.limit:
                return True
        return False

    def _steal(self, now: int) -> None:
        """Have the most loaded worker give back what it has not started, for those who are idle."""
        worth = [worker for worker in self._victims() if worker.load >= _WORTH_STEALING or now - worker.news >= _SILENCE]
        if worth:
            self._actions.append((RECALL, max(worth, key=lambda worker: (worker.load, worker.unstarted()))))

    def _watch_next(self, worker: Worker, now: int) -> None:
        """Its next task may have started now, or not: look after it in time."""
        if not worker.window or worker.doom is not None:
            return
        timeout = worker.window[0].batch.call.timeout
        if timeout:
            self._watch(worker, now + min(timeout, _LOST))
        elif not worker.check_at:
            self._watch(worker, now + _LOST)

    def _watch(self, worker: Worker, when: int) -> None:
        worker.check_at = when
        if not self._check_at or when < self._check_at:
            self._check_at = when

    def _inspect(self, now: int) -> None:
        self._check_at = 0
        for worker in self.workers.values():
            if not worker.check_at:
                continue
            if worker.check_at <= now:
                worker.check_at = 0
                self._actions.append((INSPECT, worker))
            else:
                self._watch(worker, worker.check_at)

    def inspected(self, worker: Worker, started: int, since: int, now: int) -> str | None:
        """The worker started task ``started`` at ``since``: whether that is overdue, so that it has to be stopped (TIMEOUT).

        Or it has not started what it has had for long, and somebody else could (LOST): then it is to be recalled, and gets
        nothing more until it is heard of.
        """
        if not worker.window or worker.doom is not None:
            return None
        run = worker.window[0]
        timeout = run.batch.call.timeout
        if started < run.ordinal + run.done:
            return self._not_started(worker, min(timeout or _LOST, _LOST), now)
        if not timeout:
            return None  # nothing to look after until the next
        due = since + timeout if started < run.ordinal + run.count else now + timeout
        overdue = due <= now
        # If it ends just now, and is not stopped: the next task.
        self._watch(worker, now + timeout if overdue else due)
        return TIMEOUT if overdue else None

    def _not_started(self, worker: Worker, patience: int, now: int) -> str | None:
        due = worker.news + _LOST
        late = due <= now
        self._watch(worker, now + patience if late else min(due, now + patience))
        if late and self._idle and not self._levels_ready():
            worker.lost = True
            return LOST
        return None


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    if parts <= 1:
        yield batch
        return
    size, extra = divmod(len(batch.items), parts)
    start = 0
    for part in range(parts):
        stop = start + size + (part < extra)
        if stop > start:
            yield batch.cut(start, stop)
        start = stop
