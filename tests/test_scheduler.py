"""The scheduler against a model: simulated workers that die, dawdle, fail and are called back at the worst moments.

:class:`Process` does what ``_engine/_worker.py`` does, one step at a time, and :class:`Driver` what ``_engine/_dispatcher.py`` and
``_engine/_pool.py`` do; neither starts a process. Between any two steps everything is checked that ``scheduler.py`` promises.
"""

from __future__ import annotations

import sys
from collections import Counter, deque

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manyhands._core import overdue, tasks, windows
from manyhands._core import scheduler as sut
from manyhands._core.scheduler import Scheduler
from manyhands._core.tasks import Batch, Call, Cost, Worker
from manyhands._core.windows import HORIZON, WINDOW

MS = 1_000_000
BETWEEN, MARKED, RUNNING = "between tasks", "marked as started", "running"
DONE, FAILED, SKIPPED, LEAVING = "done", "failed", "skipped", "leaving"


class Task:
    """What one task has been through. ``process`` is the one that has started it and neither answered nor died."""

    def __init__(self, call, index):
        self.call = call
        self.index = index
        self.process = None
        self.ended = None
        self.forbidden = False  # somebody has been told that it will not start any more

    def start(self, process):
        assert not self.forbidden, f"{self} was started after its cancellation was confirmed"
        assert self.ended is None, f"{self} was started again after it had ended"
        assert self.process is None, f"{self} runs twice"
        self.process = process

    def end(self, how):
        assert self.ended is None, f"{self} has ended as {self.ended}, and now as {how}"
        self.ended = how

    def __repr__(self):
        return f"<task {self.call.number}:{self.index}>"


class ModelCall(Call):
    """A call with its policy for failures."""

    def __init__(self, number, *, retries=0, delay=0, **options):
        super().__init__(number, **options)
        self.retries = retries
        self.delay = delay
        self.submitted = 0


class Process:
    """A worker process: what it has been sent, its slot, and what it has sent that nobody has read."""

    def __init__(self, worker):
        self.worker = worker
        self.inbox = deque()  # (tasks, ordinal of the first, epoch); None: stop
        self.outbox = deque()  # (kind, ordinal, tasks)
        self.started, self.since, self.epoch = 0, 0, 0  # the slot
        self.alive = True
        self.left = False  # the driver knows that it goes by itself
        self.killed = False  # a signal is on its way
        self.hung = False
        self.stopped = False  # for a while, wherever it is
        self.by_ordinal = {}
        self.frame = None
        self.at = 0
        self.held = 0  # results before ``at`` that have not been sent
        self.phase = BETWEEN

    def step(self, now, *, fail=False, hold=False):
        """Do the next thing; False if there is none."""
        if not self.alive or self.hung or self.stopped or (self.frame is None and not self.inbox):
            return False
        if self.frame is None:
            self.frame, self.at = self.inbox.popleft(), 0
            self.alive = self.frame is not None
        elif self.phase == BETWEEN:
            self._mark(now)
        elif self.phase == MARKED:
            self._begin()
        else:
            self._finish(fail=fail, hold=hold)
        return True

    def _mark(self, now):
        tasks, first, _ = self.frame
        if self.at == len(tasks):
            self._flush()
            self.frame = None
        else:
            self.started, self.since, self.phase = first + self.at, now, MARKED

    def _begin(self):
        tasks, first, epoch = self.frame
        if self.epoch == epoch:
            tasks[self.at].start(self)
            self.phase = RUNNING
            return
        self._flush()
        self.outbox.append((SKIPPED, first + self.at, []))
        self.frame, self.phase = None, BETWEEN

    def _finish(self, *, fail, hold):
        tasks, first, _ = self.frame
        if fail:
            self._flush()
            self.outbox.append((FAILED, first + self.at, [tasks[self.at]]))
        else:
            self.held += 1
        self.at += 1
        self.phase = BETWEEN
        if not hold:
            self._flush()

    def _flush(self):
        if self.held:
            tasks, first, _ = self.frame
            start = self.at - self.held
            self.outbox.append((DONE, first + start, tasks[start : self.at]))
            self.held = 0

    def __repr__(self):
        return f"<process {self.worker.number} {self.phase} {self.started}>"


class Driver:
    """Carries out what the scheduler decides, and tells it what happens."""

    def __init__(self, *, limit, quota):
        self.scheduler = Scheduler(quota=quota)
        self.scheduler.limit = self.limit = limit
        self.quota = quota
        self.now = 1_000 * MS
        self.processes = {}
        self.calls = []
        self.open = set()  # tasks that have not ended
        self.singles = []  # batches of one task, as a future has
        self.limbo = []  # (batch, delay) that failed and is to run again at the next turn
        self.sent = Counter()  # tasks by worker
        self.fail_start = False
        self.rests = Counter()  # by worker and task, for how long it was paused
        self.race = 0  # steps that a worker does between two looks of the driver

    # ------------------------------------------------------------ work

    def new_call(self, **options):
        call = ModelCall(len(self.calls) + 1, **options)
        self.calls.append(call)
        self.scheduler.limit = self.limit
        return call

    def resize(self, limit):
        self.limit = limit
        self.scheduler.resize(limit)

    def submit(self, call, size, cost):
        tasks = [Task(call, call.submitted + i) for i in range(size)]
        batch = Batch(call, call.submitted, tasks, cost)
        call.submitted += size
        self.open.update(tasks)
        if size == 1:
            self.singles.append(batch)
        self.scheduler.submit(batch)

    def end(self, task, how):
        task.end(how)
        self.open.discard(task)

    def failed(self, piece):
        """A task has failed: again, or for good."""
        (task,) = piece.items
        task.process = None
        call = piece.call
        if piece.attempt <= call.retries and not (piece.first >= call.end or piece.cancelled):
            piece.attempt += 1
            self.limbo.append((piece, call.delay))
        else:
            self.end(task, "failed")

    # ------------------------------------------------------------ the turn

    def act(self):
        """Decide and do, until there is nothing to do."""
        for batch, delay in self.limbo:
            self.scheduler.retry(batch, self.now + delay if delay else 0)
        self.limbo.clear()
        rounds = 0
        while actions := self.scheduler.decide(self.now):
            self._check_decision(actions)
            for action in actions:
                self._perform(*action)
            rounds += 1
            assert rounds < 100, f"it decides forever: {actions}"
        self.race = 0

    def _check_decision(self, actions):
        machine = self.scheduler
        if any(action[0] == sut.START for action in actions):
            assert machine.limit is None or len(machine.workers) <= machine.limit
            assert len(machine.workers) <= max(call.limit for call in self.calls)
        for worker in {action[1] for action in actions if action[0] == sut.SEND}:
            assert len(worker.window) <= WINDOW
            assert len(worker.window) == 1 or worker.load <= HORIZON

    def _perform(self, kind, worker, run=None):
        process = self.processes.get(worker.number)
        if kind == sut.START:
            self._start(worker)
        elif process is None:
            return
        elif kind == sut.SEND:
            self._send(process, run)
        elif kind == sut.STOP:
            process.inbox.append(None)
        elif kind == sut.RECALL:
            self.recall(worker)
        elif kind == sut.INSPECT:
            self._inspect(worker, process)

    def _start(self, worker):
        if not self.fail_start:
            self.processes[worker.number] = Process(worker)
            return
        self.fail_start = False
        self.scheduler.died(worker, 0, self.now)
        if self.processes:
            self.scheduler.limit = len(self.processes)
        else:
            self.fail_ready()

    def _send(self, process, run):
        worker = process.worker
        tasks = list(run.batch.items)
        self.sent[worker.number] += len(tasks)
        assert self.quota is None or self.sent[worker.number] <= self.quota
        assert worker.doom is None
        assert not worker.paused
        assert not process.left
        for offset, task in enumerate(tasks):
            assert task.index == run.batch.first + offset
            assert run.ordinal + offset not in process.by_ordinal
            process.by_ordinal[run.ordinal + offset] = task
        process.inbox.append((tasks, run.ordinal, worker.epoch))

    def recall(self, worker):
        process = self.processes[worker.number]
        worker.epoch += 1
        process.epoch = worker.epoch
        self._let_run(process)
        started = process.started
        self.scheduler.recalled(worker, started)
        return started

    def _inspect(self, worker, process):
        started, since = process.started, process.since
        self._let_run(process)
        finding = self.scheduler.inspected(worker, started, since, self.now)
        if finding == overdue.HELD:
            assert worker.batch_of(started) is worker.batch_of(started - 1), "it holds nothing back"
        elif finding is not None and self.recall(worker) == started and finding == sut.TIMEOUT:
            timeout = process.by_ordinal[started].call.timeout
            assert timeout, "stopped for a time-out that it does not have"
            assert self.now - since - self.rests[worker.number, started] >= timeout, "stopped before its time was over"
            self.condemn(worker, sut.TIMEOUT, started)

    def _let_run(self, process):
        for _ in range(self.race):
            process.step(self.now)

    def condemn(self, worker, reason, ordinal):
        self.scheduler.doom(worker, reason, ordinal)
        self.processes[worker.number].killed = True

    def pause(self, worker):
        self.recall(worker)
        self.scheduler.pause(worker, self.now)

    def resume(self, worker):
        if worker.paused:
            self.rests[worker.number, worker.started] += self.now - worker.paused
        self.scheduler.resume(worker, self.now)

    def fail_ready(self):
        for batch in self.scheduler.drain():
            for index in range(len(batch.items)):
                self.failed(batch.cut(index, index + 1))

    # ------------------------------------------------------------ what workers send, and how they end

    def receive(self, process):
        """Read all that a worker has sent, and bury it if it is dead; whether there was anything."""
        news = bool(process.outbox) or not process.alive
        while process.outbox:
            self._handle(process, *process.outbox.popleft())
        if not process.alive:
            self._bury(process)
        return news

    def _handle(self, process, kind, ordinal, tasks):
        worker = process.worker
        if kind == LEAVING:
            self.scheduler.left(worker)
            process.left = True
        elif kind == SKIPPED:
            self.scheduler.skipped(worker, ordinal, self.now)
        else:
            found = self.scheduler.reported(worker, ordinal, len(tasks), self.now)
            if found is None:
                assert worker.doom is not None, f"the results of {tasks} were not wanted"
                assert ordinal <= worker.doom[0] < ordinal + len(tasks)
                return
            batch, offset = found
            assert list(batch.items[offset : offset + len(tasks)]) == tasks
            self._ended(kind, batch, offset, tasks)

    def _ended(self, kind, batch, offset, tasks):
        for task in tasks:
            task.process = None
        if kind == FAILED:
            self.failed(batch.cut(offset, offset + 1))
            return
        for task in tasks:
            self.end(task, "value")

    def _bury(self, process):
        worker = process.worker
        del self.processes[worker.number]
        ran = process.by_ordinal[process.started] if process.phase == RUNNING else None
        ordinal, expected = worker.doom or (process.started, sut.DIED)
        head = worker.window[0] if worker.window else None
        unread = head.batch.items[head.done : head.done + 1] if head is not None else []
        culprit, reason = self.scheduler.died(worker, process.started, self.now, blame=not worker.retiring)
        for task in process.by_ordinal.values():
            if task.process is process:
                task.process = None
        assert reason == expected
        if ran is not None and worker.doom is None:
            assert culprit is not None, f"the worker died, but not for {ran}, which it ran"
        if culprit is not None:
            deadly = head.batch.deaths >= sut.DEADLY and culprit.items == unread
            assert deadly or culprit.items == [process.by_ordinal[ordinal]]
            self._lost(culprit, reason)

    def _lost(self, culprit, reason):
        (task,) = culprit.items
        if reason != sut.CANCELLED:
            self.failed(culprit)
        elif task.ended != "cancelled":  # whose future has been told
            assert task.call.cancelled, f"{task} was cancelled, and nobody had asked for it"
            self.end(task, "cancelled")

    # ------------------------------------------------------------ cancelling

    def cancel_task(self, batch, *, running):
        (task,) = batch.items
        if self._cancelled(batch, running=running):
            task.forbidden = True
            self.end(task, "cancelled")
        elif task not in {task for piece, _ in self.limbo for task in piece.items}:
            assert self._holder(task), f"{task} waits, and could not be cancelled"

    def _cancelled(self, batch, *, running):
        machine = self.scheduler
        if machine.cancel_batch(batch):
            return True
        worker = machine.workers.get(batch.worker or 0)
        if worker is None or not worker.window:
            return False
        self.recall(worker)
        if machine.cancel_batch(batch):
            return True
        return running and self._condemn_if(worker, lambda other: other is batch)

    def cancel_call(self, call):
        for worker in self.scheduler.cancel_call(call):
            self.recall(worker)

    def cut_call(self, call, end):
        for worker in self.scheduler.cut_call(call, end):
            self.recall(worker)

    def kill_running(self, call):
        for worker in [self.scheduler.workers[number] for number in call.running]:
            self._condemn_if(worker, lambda batch: batch.call is call)

    def _condemn_if(self, worker, meant):
        """Kill a worker for the task that it runs now, if that one is meant."""
        if worker.doom is not None:
            return False
        started = self.recall(worker)
        batch = worker.batch_of(started)
        if batch is None or not meant(batch):
            return False
        self.condemn(worker, sut.CANCELLED, started)
        return True

    # ------------------------------------------------------------ what must hold

    def check(self):
        """Every task is in one place, and the scheduler's books agree with one another."""
        places = self._places()
        for task in [task for task in self.open if task.index >= task.call.end and task not in places]:
            task.forbidden = True
            self.end(task, "cancelled")
        for task, count in places.items():
            assert count == 1, f"{task} is in {count} places"
            assert task.ended is None or (task.ended == "cancelled" and self._holder(task).doom), f"{task} is kept"
        lost = self.open - set(places)
        assert not lost, f"lost: {lost}"
        self._check_calls(places)
        self._check_workers()

    def _places(self):
        machine = self.scheduler
        waiting = [batch for call in self.calls for batch in call.ready]
        waiting += [entry[2] for entry in machine._ready.delayed]
        places = Counter(task for batch in waiting if not batch.cancelled for task in batch.items)
        for worker in machine.workers.values():
            for run in worker.window:
                assert 0 <= run.done < run.count <= len(run.batch.items)
                places.update(run.batch.items[run.done : run.count])
        places.update(task for batch, _ in self.limbo for task in batch.items if task.ended is None)
        return places

    def _holder(self, task):
        """The worker that holds a task."""
        workers = self.scheduler.workers.values()
        return next(w for w in workers if any(task in run.batch.items[run.done : run.count] for run in w.window))

    def _check_calls(self, places):
        machine = self.scheduler
        in_limbo = {task for batch, _ in self.limbo for task in batch.items}
        outstanding = Counter(task.call.number for task in places if task not in in_limbo)
        listed = Counter(call for level in machine._ready.levels.values() for call in level)
        assert list(machine._ready.levels) == sorted(machine._ready.levels, reverse=True)
        for call in self.calls:
            assert call.outstanding == outstanding[call.number]
            assert call.listed == bool(call.ready) == (listed[call] == 1)
            assert not call.listed or call in machine._ready.levels[call.priority]
            assert not call.ready or not call.ready[0].cancelled
            held = Counter(w.number for w in machine.workers.values() for run in w.window if run.batch.call is call)
            assert call.running == dict(held)
            assert len(held) <= call.limit
        assert not machine._ready.delayed or not machine._ready.delayed[0][2].cancelled
        assert machine.waiting == bool(machine._ready.delayed or listed)

    def _check_workers(self):
        machine = self.scheduler
        open_to_work = {w.number: w for w in machine.workers.values() if not (w.retiring or w.lost or w.paused) and w.doom is None}
        assert machine._idle == {number: w for number, w in open_to_work.items() if not w.window}
        assert machine._roomy.items() <= {number: w for number, w in open_to_work.items() if w.window}.items()
        assert machine._laden.items() <= machine.workers.items()
        for worker in machine.workers.values():
            assert not worker.lost or len(worker.window) <= 1
            assert worker.load >= 0
            assert worker.load == sum(run.load for run in worker.window)
            assert len(worker.window) <= WINDOW
            ordinals = [(run.ordinal, run.ordinal + run.count) for run in worker.window]
            assert ordinals == sorted(ordinals)

    def check_settled(self):
        """After a turn: nothing waits for what is there, and what only time can move has an alarm clock."""
        machine = self.scheduler
        for call in self.calls:
            if call.ready and len(call.running) < call.limit:
                assert not machine._idle, f"{call} waits, and {machine._idle} are idle"
                most = call.limit if machine.limit is None else min(call.limit, machine.limit)
                assert len(machine.workers) >= most, f"{call} waits, and another worker may be started"
        alarms = [entry[0] for entry in machine._ready.delayed]
        for worker in machine.workers.values():
            if worker.doom is None and worker.window and not worker.paused:
                timeout = worker.window[0].batch.call.timeout
                alarms += [self.now + timeout] if timeout else []
                alarms += [worker.news + sut._SILENCE] if self._may_be_stolen_from(worker) else []
                alarms += [] if worker.lost or self._has_started_next(worker) else [max(worker.news, self.now) + overdue.LOST_NS]
        wake = machine.wake_at(self.now)
        assert wake is None or wake > self.now, "it would spin"
        assert not alarms or (wake is not None and wake <= min(alarms)), "it would oversleep"
        late = machine.wake_at(self.now + 10_000 * MS)  # whoever asks may have been held up since the decision
        assert late == wake

    def _has_started_next(self, worker):
        first = worker.window[0]
        return self.processes[worker.number].started >= first.ordinal + first.done

    def _may_be_stolen_from(self, worker):
        """Whether one who is idle might have a task that ``worker`` surely has not started."""
        machine = self.scheduler
        if not machine._idle or machine._ready:
            return False
        first = worker.window[0]
        current = max(self.processes[worker.number].started, first.ordinal + first.done)
        begun = {run.batch.call for run in worker.window if run.ordinal + run.done <= current}
        for run in worker.window:
            call = run.batch.call
            others = set(call.running) - {worker.number}
            if run.ordinal + run.count - 1 > current and len(others) + (call in begun) < call.limit:
                return True
        return False

    # ------------------------------------------------------------ the end

    def run_out(self):
        """Let everything end."""
        for process in self.processes.values():
            process.stopped = False
            self.resume(process.worker)
        self.fail_start = False
        self.limit = self.limit or None
        self.scheduler.limit = self.limit
        for _ in range(20_000):
            self.act()
            self.check()
            self.check_settled()
            moved = [self.run_dry(process) for process in list(self.processes.values())]
            if not self.scheduler.waiting and not self.limbo and not any(w.window for w in self.scheduler.workers.values()):
                break
            if not any(moved):
                wake = self.scheduler.wake_at(self.now)
                assert wake is not None, f"stuck: {self.open}"
                self.now = wake
        self.check()
        assert not self.open, f"never ended: {self.open}"

    def run_dry(self, process):
        if process.killed:
            process.alive = False
        moved = False
        while process.step(self.now):
            moved = True
        return self.receive(process) or moved

    def send_all_home(self):
        """Retire all workers: each is told to stop, and ends."""
        for worker in list(self.scheduler.workers.values()):
            self.scheduler.retire(worker)
        self.act()
        for process in list(self.processes.values()):
            self.run_dry(process)
        machine = self.scheduler
        assert not any((machine.workers, machine._idle, machine._roomy, machine._laden, machine._ready.delayed))
        assert not any(call.outstanding or call.running or call.ready for call in self.calls)


indexes = st.integers(0, 7)
numbers = st.integers(1, 4)
races = st.integers(0, 4)
costs = st.sampled_from([None, 1, 1_000, 400_000, 5 * MS, 15 * MS, 30 * MS])
call_options = st.fixed_dictionaries(
    {
        "limit": numbers,
        "priority": st.sampled_from([0, 0, 5, -1]),
        "timeout": st.sampled_from([0, 10 * MS, 1000 * MS]),
        "retries": st.integers(0, 2),
        "delay": st.sampled_from([0, 50 * MS]),
    }
)
has_processes = precondition(lambda self: self.driver.processes)
# A rule that does not fit the moment returns: to reject it would throw away the whole run.


class SchedulerMachine(RuleBasedStateMachine):
    """Whatever may happen to a pool, in any order."""

    @initialize(
        limit=st.none() | numbers,
        quota=st.none() | st.none() | st.integers(1, 6),
        known=st.lists(costs, min_size=3, max_size=3),
        calls=st.lists(call_options, min_size=1, max_size=3),
    )
    def begin(self, limit, quota, known, calls):
        self.driver = Driver(limit=limit, quota=quota)
        self.costs = [Cost(ns) for ns in known]
        for options in calls:
            self.driver.new_call(**options)

    def process(self, index):
        processes = list(self.driver.processes.values())
        return processes[index % len(processes)]

    def call(self, index):
        return self.driver.calls[index % len(self.driver.calls)]

    def settle(self):
        self.driver.act()
        self.driver.check_settled()

    # ------------------------------------------------------------ callers

    @rule(options=call_options)
    @precondition(lambda self: len(self.driver.calls) < 6)
    def open_call(self, options):
        self.driver.new_call(**options)

    @rule(index=indexes, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), cost=indexes, settle=st.booleans())
    def submit(self, index, sizes, cost, settle):
        call = self.call(index)
        if call.end <= call.submitted:
            call = self.driver.new_call(limit=2)
        for size in sizes:
            self.driver.submit(call, size, self.costs[cost % 3])
        if settle:
            self.settle()

    @rule(index=indexes, cost=indexes)
    @precondition(lambda self: len(self.driver.open) < 30)
    def submit_many(self, index, cost):
        self.submit(index, [1] * 70, cost, settle=True)

    @rule(index=st.integers(0, 100), running=st.booleans(), race=races)
    def cancel_task(self, index, running, race):
        self.driver.singles = [batch for batch in self.driver.singles if batch.items[0].ended is None]
        if self.driver.singles:
            self.driver.race = race
            self.driver.cancel_task(self.driver.singles[index % len(self.driver.singles)], running=running)

    @rule(index=indexes, race=races, kill=st.booleans())
    def cancel_call(self, index, race, kill):
        self.driver.race = race
        self.driver.cancel_call(self.call(index))
        if kill:
            self.driver.kill_running(self.call(index))

    @rule(index=indexes, race=races, end=st.integers(0, 80))
    def cut_call(self, index, race, end):
        self.driver.race = race
        self.driver.cut_call(self.call(index), end)

    @rule(index=indexes, race=races)
    def kill_running(self, index, race):
        self.driver.race = race
        if self.call(index).cancelled:
            self.driver.kill_running(self.call(index))

    @rule(limit=st.none() | numbers)
    def resize(self, limit):
        self.driver.resize(limit)

    @rule(index=indexes)
    @has_processes
    def retire(self, index):
        self.driver.scheduler.retire(self.process(index).worker)

    @rule(sure=st.integers(0, 4))
    @precondition(lambda self: self.driver.scheduler.waiting)
    def fail_ready(self, sure):
        if sure == 0:  # more often, and hardly anything would run
            self.driver.fail_ready()

    # ------------------------------------------------------------ the driver

    @rule(race=races)
    def turn(self, race):
        self.driver.race = race
        self.settle()

    @rule(ns=st.sampled_from([1_000, MS, 6 * MS, 60 * MS, 2000 * MS]), race=races)
    def pass_time(self, ns, race):
        self.driver.now += ns
        self.driver.race = race
        self.settle()

    @rule(index=indexes)
    @has_processes
    def receive(self, index):
        self.driver.receive(self.process(index))
        self.settle()

    @rule()
    @has_processes
    def receive_all(self):
        for process in list(self.driver.processes.values()):
            self.driver.receive(process)
        self.settle()

    @rule(index=indexes, race=races)
    @has_processes
    def recall(self, index, race):
        self.driver.race = race
        self.driver.recall(self.process(index).worker)

    @rule(index=indexes, race=races)
    @has_processes
    def pause(self, index, race):
        self.driver.race = race
        self.driver.pause(self.process(index).worker)

    @rule(index=indexes)
    @has_processes
    def resume(self, index):
        self.driver.resume(self.process(index).worker)

    @rule(index=indexes, ns=costs)
    def learn(self, index, ns):
        self.costs[index % 3].ns = ns

    @rule()
    @precondition(lambda self: not self.driver.fail_start)
    def fail_next_start(self):
        self.driver.fail_start = True

    # ------------------------------------------------------------ workers

    @rule(index=indexes, steps=st.integers(1, 9), hold=st.booleans())
    @has_processes
    def work(self, index, steps, hold):
        for _ in range(steps):
            self.process(index).step(self.driver.now, hold=hold)

    @rule(steps=st.lists(st.integers(0, 9), min_size=4, max_size=4), hold=st.booleans())
    @has_processes
    def work_all(self, steps, hold):
        for process, count in zip(self.driver.processes.values(), steps, strict=False):
            for _ in range(count):
                process.step(self.driver.now, hold=hold)

    @rule(index=indexes, steps=st.integers(0, 5), hold=st.booleans())
    @has_processes
    def fall_behind(self, index, steps, hold):
        """All but one worker finish what they have."""
        slow = self.process(index)
        for process in list(self.driver.processes.values()):
            if process is slow:
                for _ in range(steps):
                    process.step(self.driver.now, hold=hold)
            else:
                self.driver.run_dry(process)
        self.settle()

    @rule(index=indexes)
    @has_processes
    def fail(self, index):
        if self.process(index).phase == RUNNING:
            self.process(index).step(self.driver.now, fail=True)

    @rule(index=indexes)
    @has_processes
    def hang(self, index):
        process = self.process(index)
        process.hung = process.phase == RUNNING and process.by_ordinal[process.started].call.timeout > 0

    @rule(index=indexes)
    @has_processes
    def stop(self, index):
        process = self.process(index)
        process.stopped = not process.stopped

    @rule(index=indexes)
    @has_processes
    def die(self, index):
        self.process(index).alive = False

    @rule(index=indexes)
    @has_processes
    def leave(self, index):
        process = self.process(index)
        if process.alive and process.frame is None and not process.inbox:
            process.outbox.append((LEAVING, 0, []))
            process.alive = False

    # ------------------------------------------------------------ always

    @invariant()
    def books_agree(self):
        if hasattr(self, "driver"):
            self.driver.check()

    def teardown(self):
        if hasattr(self, "driver"):
            self.driver.run_out()
            self.driver.send_all_home()


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=300,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


# ------------------------------------------------------------ single cases


@pytest.fixture
def pool():
    return Driver(limit=None, quota=None)


def only(pool):
    """The pool's one process."""
    (process,) = pool.processes.values()
    return process


def steps(process, count, now=0, **how):
    for _ in range(count):
        process.step(now, **how)


def test_a_skipped_task_leaves_what_was_sent_after_the_recall(pool):
    call = pool.new_call(limit=1)
    pool.submit(call, 2, Cost(1))
    pool.act()
    process = only(pool)
    steps(process, 2)  # marked as started, and no further
    pool.recall(process.worker)
    pool.act()  # what was taken back is sent again, to the same worker
    steps(process, 4)  # it skips the first, and runs what came after
    assert process.phase == RUNNING
    pool.receive(process)
    assert process.worker.window, "what it runs was given away"
    pool.run_out()


def two_workers(pool):
    """Two idle ones, in the order in which they get work: the first, the second."""
    call = pool.new_call(limit=2)
    for _ in range(2):
        pool.submit(call, 1, Cost(None))
    pool.act()
    first, second = pool.processes.values()
    for process in (second, first):
        pool.run_dry(process)
    return first, second


def test_a_recall_that_yields_nothing_is_not_repeated(pool):
    """All tasks of a batch may have started, though none has been reported."""
    two_workers(pool)
    pool.submit(pool.new_call(limit=2), 3, Cost(400_000))
    (send,) = pool.scheduler.decide(pool.now)[:1]
    pool._perform(*send)
    busy = pool.processes[send[1].number]
    while busy.started < busy.worker.last():
        busy.step(pool.now, hold=True)
    pool.act()
    assert busy.worker.unstarted() == 0
    assert busy.worker.epoch == 1


def crowded(pool, *sent):
    """A worker that has been sent one task of each of these calls, and another one that is idle."""
    pool.resize(1)
    for call in sent:
        pool.submit(call, 1, Cost(5 * MS))
    pool.act()
    busy = only(pool)
    assert [run.batch.call for run in busy.worker.window] == list(sent)
    pool.resize(2)
    return busy


def have_one_idle(pool, busy):
    """Start another worker, and let it finish what it was started for."""
    pool.submit(pool.new_call(limit=2, priority=9), 1, Cost(None))
    pool.act()
    (other,) = [process for process in pool.processes.values() if process is not busy]
    pool.run_dry(other)
    pool.act()
    return other


def test_a_task_moves_away_from_behind_another_call_that_turned_slow(pool):
    """Though its call may occupy one worker only, and does: this one, which has not come to it."""
    slow, bound = pool.new_call(limit=1), pool.new_call(limit=1)
    busy = crowded(pool, slow, bound)
    steps(busy, 3, pool.now)
    other = have_one_idle(pool, busy)
    assert list(slow.running) == [busy.worker.number]
    assert list(bound.running) == [other.worker.number]


def test_a_task_that_must_stay_where_it_is_is_not_taken_back_for_ever(pool):
    """Its call runs there and may occupy no other worker; the idle one could only do what has started."""
    free, bound = pool.new_call(limit=4), pool.new_call(limit=1)
    busy = crowded(pool, free, bound, bound)
    while busy.started < busy.worker.window[1].ordinal:
        busy.step(pool.now)  # the first has ended, but that has not been read
    have_one_idle(pool, busy)
    assert list(bound.running) == [busy.worker.number]
    assert busy.worker.epoch <= 1


def test_a_retry_that_waits_can_be_cancelled_and_is_not_waited_for(pool):
    call = pool.new_call(limit=1, retries=1, delay=50 * MS)
    pool.submit(call, 1, Cost(1))
    pool.act()
    steps(only(pool), 3)
    only(pool).step(0, fail=True)
    pool.receive(only(pool))
    pool.act()
    assert pool.scheduler.waiting
    pool.cancel_task(pool.singles[0], running=False)
    assert pool.singles[0].items[0].ended == "cancelled"
    assert not pool.scheduler.waiting
    assert pool.scheduler.wake_at(pool.now) == pool.now + overdue.LOST_NS, "only the look at what it does, long over"
    assert call.outstanding == 0


def test_no_worker_is_started_for_what_was_cancelled(pool):
    pool.submit(pool.new_call(limit=1), 1, Cost(1))
    pool.cancel_task(pool.singles[0], running=False)
    assert not pool.scheduler.waiting
    assert pool.scheduler.decide(pool.now) == []


def test_a_batch_that_was_cancelled_before_it_was_submitted_never_runs():
    machine, call = Scheduler(), Call(1, limit=1)
    batch = Batch(call, 0, ["x"], Cost(1))
    assert machine.cancel_batch(batch)
    machine.submit(batch)
    assert machine.decide(0) == []
    assert call.outstanding == 0


def test_a_running_task_that_was_cancelled_is_not_given_back_when_it_is_skipped(pool):
    call = pool.new_call(limit=1)
    pool.submit(call, 1, Cost(1))
    pool.act()
    process = only(pool)
    steps(process, 2)  # marked, so that the parent must think that it runs
    pool.cancel_task(pool.singles[0], running=True)
    steps(process, 1)
    assert process.outbox[0][0] == SKIPPED
    pool.receive(process)
    assert not pool.scheduler.waiting
    pool.run_out()


def test_a_condemned_task_that_ends_after_all_stays_condemned(pool):
    call = pool.new_call(limit=1, timeout=10 * MS)
    pool.submit(call, 1, Cost(1))
    pool.act()
    process = only(pool)
    steps(process, 3, pool.now)
    pool.now += 10 * MS
    pool.act()
    assert process.worker.doom == (1, sut.TIMEOUT)
    assert process.worker.check_at == 0, "it is looked at no more"
    process.step(pool.now)
    process.alive = False
    pool.receive(process)
    assert pool.singles[0].items[0].ended == "failed"
    pool.run_out()


def test_a_timeout_is_blamed_on_the_task_that_is_late_not_on_results_held_back(pool):
    call = pool.new_call(limit=1, timeout=10 * MS)
    pool.submit(call, 4, Cost(1))
    pool.act()
    process = only(pool)
    steps(process, 1 + 2 * 3 + 2, pool.now, hold=True)  # two done, their results held back; the third runs
    late = process.by_ordinal[process.started]
    assert late.index == 2
    process.hung = True
    pool.now += 10 * MS
    pool.act()
    pool.run_dry(process)
    assert {task.index for task in process.by_ordinal.values() if task.ended} == {2}
    pool.run_out()


def test_the_task_after_one_that_ended_at_the_last_moment_is_watched(pool):
    call = pool.new_call(limit=1, timeout=10 * MS)
    pool.submit(call, 2, Cost(1))
    pool.act()
    process = only(pool)
    steps(process, 3, pool.now, hold=True)
    pool.now += 10 * MS
    pool.race = 3  # it goes on to the second between two looks
    process.step(pool.now, hold=True)
    pool.act()
    assert process.worker.doom is None
    assert pool.scheduler.wake_at(pool.now) is not None


def test_a_task_that_a_stopped_worker_has_not_started_goes_to_another(pool):
    stopped, other = two_workers(pool)
    pool.submit(pool.new_call(limit=2), 1, Cost(1))
    pool.act()
    stopped = next(process for process in pool.processes.values() if process.worker.window)
    other = next(process for process in pool.processes.values() if process is not stopped)
    stopped.stopped = True
    pool.now = pool.scheduler.wake_at(pool.now)
    pool.act()
    assert stopped.worker.lost
    pool.run_dry(other)
    assert not pool.open
    pool.submit(pool.new_call(limit=2), 2, Cost(HORIZON))
    pool.act()
    assert not stopped.worker.window, "nothing more until it is heard of"
    stopped.stopped = False
    pool.run_dry(stopped)
    assert not stopped.worker.lost
    pool.act()
    pool.run_out()


def test_whoever_looks_late_is_told_that_it_is_time(pool):
    two_workers(pool)
    pool.submit(pool.new_call(limit=2), 2, Cost(1))
    pool.act()
    due = pool.now + sut._SILENCE
    assert pool.scheduler.wake_at(pool.now) == due
    assert pool.scheduler.wake_at(due + 1) == due


def test_higher_priorities_go_first_and_equals_in_turn():
    machine = Scheduler()
    low, high, equal = Call(1, limit=1), Call(2, limit=1, priority=5), Call(3, limit=1)
    for call in (low, low, equal, high):
        machine.submit(Batch(call, 0, ["x"], Cost(1)))
    sent = [action[2].batch.call for action in machine.decide(0) if action[0] == sut.SEND]
    assert sent == [high, low, equal, low]


def test_priorities_that_nobody_uses_any_more_are_forgotten():
    machine = Scheduler()
    for priority in range(1_000):
        call = Call(priority, limit=1, priority=priority)
        machine.submit(Batch(call, 0, ["x"], Cost(1)))
        for action in machine.decide(0):
            if action[0] == sut.SEND:
                machine.reported(action[1], action[2].ordinal, 1, 0)
    assert len(machine._ready.levels) <= 2


def test_the_rest_of_a_slow_batch_is_shared_among_those_who_are_idle(pool):
    first, second = two_workers(pool)
    call = pool.new_call(limit=2)
    pool.submit(call, 9, Cost(2 * MS))
    pool.act()
    sizes = sorted(sum(run.count - run.done for run in p.worker.window) for p in (first, second))
    assert sizes == [4, 5]


def test_a_message_that_kills_whoever_gets_it_is_blamed_in_the_end(pool):
    pool.submit(pool.new_call(limit=1), 1, Cost(1))
    for _ in range(sut.DEADLY):
        assert pool.singles[0].items[0].ended is None
        pool.act()
        only(pool).alive = False
        pool.receive(only(pool))
    assert pool.singles[0].items[0].ended == "failed"


def test_it_is_hungry_while_a_task_could_be_sent_at_once():
    machine = Scheduler()
    machine.limit = 1
    assert machine.hungry  # a worker may be started
    call = Call(1, limit=1)
    machine.submit(Batch(call, 0, ["x"], Cost(None)))
    machine.submit(Batch(call, 1, ["y"], Cost(None)))
    machine.decide(0)
    assert not machine.hungry
    (worker,) = machine.workers.values()
    machine.reported(worker, 1, 1, 0)
    assert machine.hungry


# ------------------------------------------------------------ what it costs


class Lines:
    """Counts the lines that the scheduler executes: unlike a time, the same on every machine."""

    def __init__(self):
        self.count = 0

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _call(self, frame, event, arg):
        if frame.f_code.co_filename not in (sut.__file__, tasks.__file__):
            return None
        return self._step

    def _step(self, frame, event, arg):
        self.count += event == "line"
        return self._step


def work_off(machine, batches, *, ahead, now=1):
    """Send and answer tasks one by one, ``ahead`` of them under way."""
    under_way = deque()
    waiting = iter(batches)
    ended = 0
    while ended < len(batches):
        for _ in range(ahead - len(under_way)):
            batch = next(waiting, None)
            if batch is not None:
                machine.submit(batch)
        for action in machine.decide(now):
            if action[0] == sut.SEND:
                under_way.append((action[1], action[2].ordinal))
            elif action[0] == sut.RECALL:
                machine.recalled(action[1], action[1].window[0].ordinal)
        machine.wake_at(now)
        worker, ordinal = under_way.popleft()
        assert machine.reported(worker, ordinal, 1, now)
        ended += 1
        now += 1_000
    machine.decide(now)


def pool_of(workers, *, timeout=0):
    """A scheduler with so many idle workers, and a call that may use them all."""
    machine, call = Scheduler(), Call(1, limit=workers, timeout=timeout)
    machine.limit = workers
    work_off(machine, [Batch(call, i, ["x"], Cost(None)) for i in range(workers)], ahead=workers)
    assert len(machine._idle) == workers
    return machine, call


@pytest.mark.parametrize("timeout", [0, 1_000 * MS])
@pytest.mark.parametrize("ahead", [1, 2, 100, 500])
def test_a_task_costs_the_same_with_two_workers_and_with_64(ahead, timeout):
    counts = {}
    for workers in (2, 64):
        machine, call = pool_of(workers, timeout=timeout)
        cost = Cost(1_000)
        batches = [Batch(call, i, ["x"], cost) for i in range(500)]
        with Lines() as lines:
            work_off(machine, batches, ahead=ahead)
        counts[workers] = lines.count / len(batches)
    assert counts[64] < 1.5 * counts[2], counts  # with 64, some are idle, which has to be looked after


def sent_to(machine, now):
    """Numbers of the workers that are sent something, with how many tasks each."""
    return Counter(action[1].number for action in machine.decide(now) if action[0] == sut.SEND)


@pytest.mark.parametrize(
    ("cost", "tasks", "expected"),
    [
        (1_000, 10, [10]),  # together they are done before another worker has woken up
        (1_000, WINDOW + 10, [10, WINDOW]),  # a window is a window
        (60_000, 4, [1, 1, 1, 1]),
        (40_000, 6, [2, 2, 2]),
        (None, 3, [1, 1, 1]),  # nobody knows
    ],
)
def test_quick_tasks_do_not_wake_one_worker_each(cost, tasks, expected):
    machine, call = pool_of(8)
    for index in range(tasks):
        machine.submit(Batch(call, index, ["x"], Cost(cost)))
    assert sorted(sent_to(machine, MS).values()) == expected


def test_quick_tasks_wait_for_nobody_while_workers_can_be_started():
    """A task that was believed to be quick may take for ever, or wait for one of those behind it."""
    machine, call = Scheduler(), Call(1, limit=8)
    for index in range(3):
        machine.submit(Batch(call, index, ["x"], Cost(1_000)))
    kinds = Counter(action[0] for action in machine.decide(MS))
    assert kinds == {sut.START: 3, sut.SEND: 3}


def test_what_waits_behind_a_task_that_is_not_quick_goes_to_an_idle_worker():
    machine, call = pool_of(2)
    for index in range(2):
        machine.submit(Batch(call, index, ["x"], Cost(1_000)))
    (busy,) = sent_to(machine, MS)
    assert machine.wake_at(MS) <= 10 * MS
    ((kind, worker),) = machine.decide(10 * MS)
    assert (kind, worker.number) == (sut.RECALL, busy)
    machine.recalled(worker, worker.window[0].ordinal)  # it is at the first
    assert busy not in sent_to(machine, 10 * MS)


def test_a_worker_that_is_silent_and_has_started_nothing_gets_no_more_until_it_is_heard_of():
    machine, call = pool_of(2)
    for index in range(4):
        machine.submit(Batch(call, index, ["x"], Cost(1_000)))
    (silent,) = sent_to(machine, MS)
    ((kind, worker),) = machine.decide(10 * MS)
    assert (kind, worker.number) == (sut.RECALL, silent)
    machine.recalled(worker, worker.window[0].ordinal - 1)
    assert silent not in sent_to(machine, 10 * MS)
    machine.skipped(worker, worker.next_ordinal - 4, 11 * MS)
    machine.submit(Batch(call, 4, ["x"], Cost(HORIZON)))
    assert list(sent_to(machine, 11 * MS)) == [silent]


def test_calls_that_wait_cost_nothing():
    counts = {}
    for others in (1, 50):
        machine, call = pool_of(2)
        for number in range(others):
            machine.submit(Batch(Call(number + 2, limit=2, priority=-1), 0, ["x"], Cost(None)))
        batches = [Batch(call, i, ["x"], Cost(None)) for i in range(300)]
        for batch in batches:
            machine.submit(batch)
        with Lines() as lines:
            for _ in batches:
                machine.decide(1)
                worker = next(w for w in machine.workers.values() if w.window)
                machine.reported(worker, worker.window[0].ordinal, 1, 1)
        counts[others] = lines.count / len(batches)
    assert counts[50] < 1.3 * counts[1], counts


def test_nothing_grows_with_the_number_of_tasks():
    machine, call = pool_of(4)
    for count in (10, 10_000):
        work_off(machine, [Batch(call, i, ["x"], Cost(1_000)) for i in range(count)], ahead=200)
        kept = [machine._ready.delayed, machine._roomy, machine._laden, machine._actions, call.running, call.ready]
        assert not any(kept), kept
        assert call.outstanding == 0
        assert len(machine.workers) == len(machine._idle) == 4
        assert sum(map(len, machine._ready.levels.values())) == 0


def test_a_worker_that_is_heard_of_after_a_long_task_is_looked_after_soon():
    """The longer a task takes, the rarer it is looked at; that does not hold for the next."""
    lookout = overdue.Lookout()
    worker = Worker(1, 0, None)
    call = Call(1, limit=1)
    windows.append(worker, Batch(call, 0, list(range(3)), Cost()))
    lookout.begins(worker, 0)
    for now in (20 * MS, 2000 * MS):
        worker.check_at = 0
        assert lookout.finding(worker, 1, 0, now, help_is_there=False) is None
    assert worker.check_at == 4000 * MS
    worker.window[0].done = 1
    lookout.begins(worker, 2001 * MS)
    assert worker.check_at <= 2001 * MS + overdue.LOST_NS
    assert lookout.soonest <= worker.check_at
    assert lookout.finding(worker, 3, 2001 * MS, 2020 * MS, help_is_there=False) == overdue.HELD
