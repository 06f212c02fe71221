"""Which worker gets which tasks, and what becomes of them.

A state machine: the pool tells what has happened, :meth:`Scheduler.decide` answers with what to do. No clock is read: times are
passed in, in nanoseconds.

**Invariants** (``tests/test_scheduler.py`` tries to break them)

- A task that was submitted is in exactly one place: ready, delayed, in one worker's window, or ended; it ends exactly once.
- What a worker may still run is in its window and nowhere else. A task leaves a window unfinished only when its worker has
  confirmed, by its slot or its death, that it has not started it, or by that death after it had.
- A window holds at most ``windows.WINDOW`` batches and, beyond the first, at most ``windows.HORIZON`` nanoseconds of known work.
- A call never occupies more workers than its limit.
"""

from __future__ import annotations

from operator import attrgetter

from manyhands._core import windows
from manyhands._core.overdue import LOST, TIMEOUT, Lookout
from manyhands._core.ready import ReadyQueue
from manyhands._core.tasks import WAITING, Batch, Call, Run, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["CANCELLED", "DEADLY", "DIED", "ENDED", "INSPECT", "LOST", "RECALL", "SEND", "START", "STOP", "TIMEOUT", "Action", "Scheduler"]

# Work that is worth being taken from one worker and given to an idle one; a recall costs some 50 us.
_WORTH_STEALING = 1_000_000
# Work for which another worker is woken: that costs some 30 us here, and there the caches are cold.
_WORTH_WAKING = 100_000
# A worker that has not been heard of for so long is slower than was believed.
_SILENCE = 5_000_000
_news = attrgetter("news")
# So many workers that die with the same message unread are no accident.
DEADLY = 3

# What to do. Pairs, since they are made for every task that is sent alone.
SEND = 1  # (SEND, worker, run)
START = 2  # (START, worker): a new one
STOP = 3  # (STOP, worker): let it finish and go
RECALL = 4  # (RECALL, worker): take back what it has not started; answer with recalled()
INSPECT = 5  # (INSPECT, worker): answer with inspected()
Action = tuple[int, Worker] | tuple[int, Worker, Run]

# Why a worker is killed or has died; TIMEOUT as well.
CANCELLED = "cancelled"
ENDED = "ended"  # by somebody who is not its caller
DIED = "died"


class Scheduler:
    """See the module. Not for several threads at once: whoever drives the pool owns it."""

    def __init__(self, *, quota: int | None = None) -> None:
        self.workers: dict[int, Worker] = {}
        self.limit: int | None = None  # of workers altogether; None: the calls' limits only
        self.together: bool = False  # all workers that a call may have are started with the first of them
        self._quota = quota
        self._next_number = 1
        self._ready = ReadyQueue()
        # Workers with nothing to do, the one that was busy last at the end: it is the warmest, and the others may leave.
        self._idle: dict[int, Worker] = {}
        # Workers with something to do that may have room for more, in turn.
        self._roomy: dict[int, Worker] = {}
        # Workers that may hold tasks which they have not started: those that may be helped are among them.
        self._laden: dict[int, Worker] = {}
        self._latest: Worker | None = None  # the one that was sent something last
        self._lookout = Lookout()
        self._actions: list[Action] = []

    def successor(self) -> Scheduler:
        """An empty one in the place of one that cannot be relied on; its workers have numbers that none has had."""
        other = Scheduler(quota=self._quota)
        other._next_number = self._next_number
        other.together = self.together
        return other

    @property
    def waiting(self) -> bool:
        """Whether any task is ready or delayed."""
        return bool(self._ready.delayed) or bool(self._ready)

    @property
    def hungry(self) -> bool:
        """Whether a task that is submitted now could be sent to a worker, as far as is known."""
        return bool(self._idle or self._roomy) or not self.workers or (self.limit is not None and len(self.workers) < self.limit)

    # ------------------------------------------------------------ tasks

    def submit(self, batch: Batch) -> None:
        """New tasks."""
        batch.call.outstanding += len(batch.items)
        self._ready.put(batch)

    def retry(self, batch: Batch, not_before: int = 0) -> None:
        """Tasks that were handed out by :meth:`died` or failed are to run again."""
        batch.call.outstanding += len(batch.items)
        if not_before:
            self._ready.delay(batch, not_before)
        else:
            self._ready.put(batch, front=True)

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
        if windows.settle(worker, run):
            self._place(worker)
        self._lookout.begins(worker, now)
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
        if windows.settle(worker, run):
            self._place(worker)
        self._ready.put(piece, front=True)
        self._lookout.begins(worker, now)

    def _place(self, worker: Worker) -> None:
        """Put a worker where it will be found: idle, roomy or neither."""
        number = worker.number
        if worker.retiring or worker.lost or worker.paused or worker.doom is not None:
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
        """The worker will start nothing that it has not started; ``started`` was the last.

        If it was silent, and has started nothing, then whatever keeps it from that would keep it from more, too: it is lost.
        """
        worker.started = started
        worker.lost = worker.lost or (worker.suspect and bool(worker.window) and started < worker.window[0].ordinal + worker.window[0].done)
        worker.suspect = False
        self._take_back(worker, started)

    def _take_back(self, worker: Worker, started: int, *, one_by_one: bool = False) -> None:
        """All tasks of the window above ordinal ``started`` are ready again, before all others; with ``one_by_one`` each on its own."""
        for batch in windows.take_back(worker, started):
            # Shared out among those who are idle, for the sake of which it was taken back.
            parts = len(batch.items) if one_by_one else min(len(batch.items), len(self._idle) + 1)
            for piece in reversed(list(windows.split(batch, parts))):
                self._ready.put(piece, front=True)
        if worker.number in self.workers:
            self._place(worker)

    def cancel_batch(self, batch: Batch) -> bool:
        """Keep a batch from running, unless a worker has it: then what it has not started must be recalled first."""
        if not batch.worker and not batch.cancelled:
            batch.cancelled = True
            if batch.worker == WAITING:
                batch.call.outstanding -= len(batch.items)
                self._ready.drop_cancelled(batch.call)
        return batch.cancelled

    def cancel_call(self, call: Call) -> list[Worker]:
        """Nothing of this call that has not started will start; return the workers that hold some of it.

        Each must be recalled; what it then still holds is running.
        """
        call.cancelled = True
        return self.cut_call(call, 0)

    def cut_call(self, call: Call, end: int) -> list[Worker]:
        """The same for the tasks from index ``end`` on."""
        call.end = min(call.end, end)
        self._ready.take_out(call, call.end)
        return [self.workers[number] for number in call.running]

    def doom(self, worker: Worker, reason: str, ordinal: int) -> None:
        """The worker is going to be killed for task ``ordinal``, which it runs: it gets nothing new."""
        worker.doom = (ordinal, reason)
        worker.check_at = 0
        self._place(worker)

    # ------------------------------------------------------------ workers

    def died(self, worker: Worker, started: int, now: int, *, blame: int = 0) -> tuple[Batch | None, str]:
        """A worker is gone; ``started`` is the last task it had started.

        ``blame`` counts against the message that it had before it when it died without having started anything: its mere arrival may
        be too much. At ``DEADLY`` its tasks are sent one by one, and one that is alone is held to be the cause.

        Returns the one task, as a batch of its own, for which it died, and why: "timeout", "cancelled", "ended" or "died"; (None, ...) if
        it ran nothing. All others of its window are ready again.
        """
        del self.workers[worker.number]
        self._idle.pop(worker.number, None)
        self._roomy.pop(worker.number, None)
        self._laden.pop(worker.number, None)
        ordinal, reason = worker.doom if worker.doom is not None else (started, DIED)
        culprit = windows.extract(worker, ordinal)
        one_by_one = False
        if culprit is None and blame and worker.window:
            head = worker.window[0]
            head.batch.deaths += blame
            if head.batch.deaths >= DEADLY:
                one_by_one = head.count - head.done > 1
                culprit = None if one_by_one else windows.extract(worker, head.ordinal + head.done)
        self._take_back(worker, 0, one_by_one=one_by_one)
        return culprit, reason

    def take_out(self, call: Call) -> list[Batch]:
        """Take out all batches of a call that are ready or delayed."""
        batches = self._ready.take_out(call)
        for batch in batches:
            batch.worker = None
        return batches

    def drain(self) -> list[Batch]:
        """Take out all batches that are ready or delayed."""
        return self._ready.drain()

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

    def pause(self, worker: Worker, now: int) -> None:
        """A worker stands still from now on. What it has not started must have been taken back."""
        if not worker.paused:
            worker.paused = now
            worker.check_at = 0
            self._place(worker)

    def resume(self, worker: Worker, now: int) -> None:
        """It goes on. The time until now is none of its task's."""
        if not worker.paused:
            return
        worker.rested = (worker.started, worker.rest_of(worker.started) + now - worker.paused)
        worker.paused = 0
        worker.news = now
        self._place(worker)
        self._lookout.begins(worker, now)

    def hire(self, count: int, now: int) -> None:
        """Have ``count`` workers, as far as the limit allows, before there is work for them."""
        count = count if self.limit is None else min(count, self.limit)
        while len(self.workers) < count:
            self._start(now)

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
        ready, lookout = self._ready, self._lookout
        if ready.delayed:
            ready.release(now)
        self._assign(now)
        if self._idle and not ready:
            self._steal(now)
        if 0 < lookout.soonest <= now:
            self._actions += [(INSPECT, worker) for worker in lookout.due(self.workers.values(), now)]
        actions, self._actions = self._actions, []
        return actions

    def wake_at(self, now: int) -> int | None:
        """When :meth:`decide` has something to do even if nothing happens, or may have; None: never."""
        ready = self._ready
        times = [ready.delayed[0][0]] if ready.delayed else []
        if self._lookout.soonest:
            times.append(self._lookout.soonest)
        if self._idle and not ready:
            # Some may be due by now: they were not when it was decided.
            oldest = next(filter(self._is_victim, sorted(self._laden.values(), key=_news)), None)
            times += [oldest.news + _SILENCE] if oldest is not None else []
        return min(times, default=None)

    def _assign(self, now: int) -> None:
        for level in self._ready.levels.values():
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
                self._send(worker, self._ready.take(call, level), now)

    def _room_for_any(self) -> bool:
        """Whether any call might get a worker, as far as can be told without looking at it."""
        widest = self._ready.widest
        most = widest if self.limit is None else min(widest, self.limit)
        return bool(self._idle or self._roomy) or len(self.workers) < most

    def _worker_for(self, call: Call, now: int) -> Worker | None:
        latest = self._latest
        if latest is not None and self._idle and latest.load < _WORTH_WAKING and self._takes_more(latest, call, now):
            return latest
        if len(call.running) >= call.limit:
            # It occupies as many workers as it may: only those can take more of it.
            return self._with_room(call.running, call.ready[0])
        if self._idle:
            return self._idle[next(reversed(self._idle))]
        if len(self.workers) < call.limit and (self.limit is None or len(self.workers) < self.limit):
            worker = self._start(now)
            if self.together:
                self.hire(call.limit, now)
            return worker
        return self._with_room(self.workers, call.ready[0])

    def _takes_more(self, worker: Worker, call: Call, now: int) -> bool:
        """Whether a worker with little to do would be done with the next batch as well before another one has woken up.

        Only where no worker is left to be started: if it does not keep that time, one that is idle can help, but none that is not there.
        """
        if len(self.workers) < call.limit and (self.limit is None or len(self.workers) < self.limit):
            return False
        if worker.number not in self._roomy or now - worker.news >= _SILENCE:
            return False
        load = windows.load_of(call.ready[0], len(call.ready[0].items))
        if worker.load + load > _WORTH_WAKING or not windows.has_room(worker, load):
            return False
        return worker.number in call.running or len(call.running) < call.limit

    def _with_room(self, among: Container[int], batch: Batch) -> Worker | None:
        load = windows.load_of(batch, len(batch.items))
        for number in tuple(self._roomy):
            if number not in among:
                continue
            worker = self._roomy.pop(number)
            if windows.has_room(worker, load):
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

    def _send(self, worker: Worker, batch: Batch, now: int) -> None:
        if worker.quota is not None:
            if len(batch.items) > worker.quota:
                self._ready.put(batch.cut(worker.quota), front=True)
                batch = batch.cut(0, worker.quota)
            worker.quota -= len(batch.items)
        first = not worker.window
        self._latest = worker
        run = windows.append(worker, batch)
        if not first or run.count > 1:
            self._laden[worker.number] = worker
        if first:
            worker.news = now
            self._idle.pop(worker.number, None)
            self._roomy[worker.number] = worker
            self._lookout.begins(worker, now)
        self._actions.append((SEND, worker, run))
        if worker.quota == 0:
            worker.retiring = True
            self._idle.pop(worker.number, None)
            self._roomy.pop(worker.number, None)

    # ------------------------------------------------------------ slow and overdue

    def _is_victim(self, worker: Worker) -> bool:
        """Whether a worker has tasks that have not started and that others may help with; one that has none is not asked again."""
        if worker.unstarted():
            return worker.doom is None and self._may_be_helped(worker)
        del self._laden[worker.number]
        return False

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
        slow = [worker for worker in self._laden.values() if worker.load >= _WORTH_STEALING or now - worker.news >= _SILENCE]
        if worth := list(filter(self._is_victim, slow)):
            victim = max(worth, key=lambda worker: (worker.load, worker.unstarted()))
            victim.suspect = now - victim.news >= _SILENCE
            self._actions.append((RECALL, victim))

    def inspected(self, worker: Worker, started: int, since: int, now: int) -> str | None:
        """The worker started task ``started`` at ``since``: whether that is overdue, so that it has to be stopped (TIMEOUT).

        Or it has not started what it has had for long, and somebody else could (LOST): then it is to be recalled, and gets
        nothing more until it is heard of. Or it holds back results of earlier tasks (HELD), while this one takes long.
        """
        help_is_there = bool(self._idle) and not self._ready
        finding = self._lookout.finding(worker, started, since, now, help_is_there=help_is_there)
        if finding == LOST:
            worker.lost = True
        return finding
