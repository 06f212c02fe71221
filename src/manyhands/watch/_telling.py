"""What a watched program tells of its calls, their tasks and its workers.

Tasks that take a millisecond or more (where very many end: longer ones), and failures, are told one by one, by the pool's events. All
others are counted where they are counted anyway, in the accounts of their calls, and told together at each look of the sampler, whose
thread does it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec._exceptions import text_of
from manyhands._core import events
from manyhands._core.ledger import NEVER
from manyhands._core.slowest import LEAST
from manyhands._engine import _calls, _futures, _watched
from manyhands._probe import _segment as told
from manyhands._wire._cpus import cpu_count
from manyhands.watch import _arguments
from manyhands.watch._hiding import without_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from manyhands._engine._calls import PoolCall
    from manyhands._engine._pool import ProcessPool, Working
    from manyhands._probe._probe import Probe
    from manyhands.backends._contract import Counts
    from manyhands.reports import Recording

_LOW = 0xFFFFFFFF
_MOST = (1 << 64) - 1
_WORTH_SHOWING = 50_000_000  # nanoseconds that a task has run
_MOST_SINGLY = 150  # tasks that are told one by one between two looks; where there are more, the shorter ones are told together
_FEW_LOOKS = 8  # before shorter ones are told one by one again
_LEAST_SINGLY = 64 * LEAST  # nanoseconds; longer ones always are
_MOST_ERRORS = 200  # of different kinds
_LONGEST_GIVEN = 300  # of a call
_LONGEST = 20_000  # characters of a traceback
_MOST_GIVEN = 8  # failed tasks of a kind of which the arguments are told, and the file that they are saved in
_REPLAY = re.compile(r"manyhands replay .+")  # in a note of an error
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")
_SLOT = 22  # bits of a process id: threads of a process that run tasks are numbered above them


class Ongoing:
    """A call of which the program has told: its cost is noted in ``recording``, ``ask()`` gives how far it is."""

    def __init__(self, recording: Recording, ask: Callable[[], Counts], total: int | None) -> None:
        self.recording = recording
        self.total = total
        self.begun = time.monotonic_ns()
        self.ask: Callable[[], Counts] = ask
        self.number = 0  # not known yet
        self.ended = 0
        self.has_failed = False

    def end(self, counts: Counts) -> None:
        """It has ended so. Its stream, which may hold much, is let go."""
        error = sys.exception()
        self.has_failed = error is not None and not isinstance(error, GeneratorExit)
        self.ask = lambda: counts
        self.ended = time.monotonic_ns()


class Followed:
    """What has been told of a call. ``function``: the last one that is known."""

    def __init__(self, number: int, begun: int) -> None:
        self.number = number
        self.begun = begun
        self.function = ""
        self.is_told = False  # that it has begun
        self.is_over = False
        self.told: dict[int, list[int]] = {}  # by worker: tasks and nanoseconds, and when that was
        self.progress: tuple[int, ...] = ()
        self.ledger: tuple[int, ...] = ()
        self.spared = 0
        self.failed = 0  # for good
        self.repeated = 0


class Teller:
    """Tells an observer, by ``probe``. Its methods may be called by any thread.

    ``looks`` are called at each look, for what else is to be told.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._lock = threading.Lock()  # of what has been told of the work of a call; held for a moment
        self._looking = threading.Lock()
        self._followed: dict[int, Followed] = {}  # calls, by their numbers
        self._ongoing: deque[Ongoing] = deque()  # those of which the program has told
        self._sinks: dict[int, Mapping[int, list[int]]] = {}  # of the others, their accounts
        self._since: dict[int, int] = {}  # by worker, when it began what it is at
        self._running: dict[int, tuple[int, int, int]] = {}  # by worker, the task that has been told: its call, number and attempt
        self._slots: list[str] = []  # names of the threads that run tasks
        self._errors: dict[str, int] = {}  # what they are known by; of how many tasks with one it is told what they were given
        self._singly, self._few = 0, 0  # tasks told one by one since the last look; looks in a row at which these were few
        self._least = LEAST  # how long such a task takes
        self.looks: list[Callable[[], object]] = []
        probe.tell({"machine": {"processors": cpu_count()}})

    def start(self) -> None:
        """From now on."""
        _futures.FutureSink.keeps_accounts = True
        _watched.observe(self.happened)
        _watched.follow = self.follow
        self.probe.sampler.before.append(self.look)

    def stop(self) -> None:
        """No more. What is known by now is told."""
        if _watched.follow == self.follow:
            _watched.follow = None
            _futures.FutureSink.keeps_accounts = False
        with contextlib.suppress(ValueError):
            _watched.unobserve(self.happened)
        with contextlib.suppress(ValueError):
            self.probe.sampler.before.remove(self.look)
        self.look()

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's."""
        _watched.observers.clear()
        _watched.follow = None
        for pool in _watched.pools:
            pool.unobserve(self.happened)

    def tell_loose(self, left: int) -> None:
        """So many tasks are left that are of no call."""
        self.probe.write(told.LEDGER, time.monotonic_ns(), 0, left)

    def tell_ended(self, pid: int) -> None:
        """A process is ended, as it is meant to."""
        self.probe.write(told.WORKER_ENDED, time.monotonic_ns(), pid, 1)

    # ------------------------------------------------------------ events of pools

    def happened(self, event: events.Event) -> None:
        """Something has, in a pool."""
        if type(event) is events.TasksDone:
            self._done(event)
        elif type(event) is events.TaskFailed:
            self._failed(event)
        elif type(event) is events.WorkerPaused:
            self.probe.write(told.PAUSED, event.at, event.pid, int(event.is_paused))
        elif type(event) is events.WorkerEnded and event.pid is not None:
            self.probe.write(told.WORKER_ENDED, event.at, event.pid, int(event.meant), self.probe.text(event.how))

    def _done(self, event: events.TasksDone) -> None:
        followed = self._followed.get(event.call) or self._begin(event.call, event.started)
        followed.function = event.function
        if event.lasted < self._least:
            return  # it is in the accounts as well
        self._singly += 1
        worker, ended = event.pid or 0, event.started + event.lasted
        with self._lock:
            _add(followed.told, worker, event.count, event.lasted, ended)
        self._write_done(followed, worker, event.first, event.count, event.started, event.lasted, ended)

    def _write_done(self, followed: Followed, worker: int, first: int, count: int, begun: int, lasted: int, at: int) -> None:
        place = worker << 32 | self.probe.text(followed.function)
        self.probe.write(told.TASKS_DONE, at, followed.number, (first & _LOW) << 32 | count & _LOW, place, begun, lasted)

    def _failed(self, event: events.TaskFailed) -> None:
        worker, begun, lasted = event.ran or (None, 0, 0)
        followed = self._followed.get(event.call) or self._begin(event.call, begun or event.at)
        followed.function = event.function
        followed.repeated += event.again
        followed.failed += not event.again
        at = begun + lasted if begun else event.at
        if begun:
            with self._lock:
                _add(followed.told, worker or 0, 1, lasted, at)
        attempt = event.index << 16 | (event.attempt & 0x7FFF) << 1 | event.again
        place = (worker or 0) << 32 | self.probe.text(event.function)
        key = self.error(event.error, event.function, self._message(event))
        self.probe.write(told.TASK_FAILED, at, event.call, attempt & _MOST, self.probe.text(key), place, begun)
        if not event.again:
            self.tell_given(key, event.index, (worker or 0, begun), lambda: event.describe().partition(": ")[2], event.error)

    def tell_given(self, key: str, task: int, where: tuple[int, int], call: Callable[[], str], error: BaseException) -> None:
        """Of the first tasks that failed with an error: the call in words, if that may be shown, and how to run it again, if it is saved.

        ``where``: the worker, and when it began.
        """
        if self._errors.get(key, 0) >= _MOST_GIVEN:
            return
        notes = (_REPLAY.search(str(note)) for note in getattr(error, "__notes__", None) or ())
        replay = next((found[0] for found in notes if found), "")
        text = call()[:_LONGEST_GIVEN] if self.probe.wants.get("arguments") else ""
        if text or replay:
            self._errors[key] = self._errors.get(key, 0) + 1
            self.probe.tell({"given": key, "task": task, "worker": where[0], "begun": where[1], "call": text, "replay": replay})

    def _message(self, event: events.TaskFailed) -> str:
        """The text of an error. In those of manyhands there are the arguments of the task, which here are known to the letter."""
        text = text_of(event.error)
        if self.probe.wants.get("arguments") or not isinstance(event.error, errors.ManyhandsError):
            return text
        return text.replace(event.describe(), f"task {event.index}: {event.function}")

    def error(self, error: BaseException, function: str, message: str, *, trace: str = "") -> str:
        """Tell of an error, in full if it is the first of its kind; the text that it is known by. ``trace``: its traceback, if known."""
        kind = type(error).__name__
        message = self._told(message)
        key = f"{kind}: {_NUMBERS.sub('#', message)[:300]}"
        if key not in self._errors and len(self._errors) >= _MOST_ERRORS:
            key = f"{kind}: others"
        if key not in self._errors:
            self._errors[key] = 0
            said = {"error": kind, "message": message[:2000], "key": key, "function": function}
            self.probe.tell({**said, "traceback": self._told(trace or _traceback_of(error)).strip(' "\n')[-_LONGEST:]})
        return key

    def _told(self, text: str) -> str:
        """A text as it may be shown."""
        return text if self.probe.wants.get("arguments") else without_arguments(text)

    def _begin(self, number: int, begun: int) -> Followed:
        return self._followed.setdefault(number, Followed(number, begun))

    # ------------------------------------------------------------ calls

    def follow(self, recording: Recording, ask: Callable[[], Counts], total: int | None) -> Callable[[Counts], object]:
        """A call has begun. What is given back is called when it has ended. Both take a microsecond: what is to be told is told later."""
        ongoing = Ongoing(recording, ask, total)
        self._ongoing.append(ongoing)
        return ongoing.end

    # ------------------------------------------------------------ looks

    def look(self) -> None:
        """Tell what has come since the last time; for the thread of the sampler, which nothing may end."""
        with self._looking:
            self._adapt()
            for look in (self._look_at_workers, self._look_at_calls, self._look_at_pools, *self.looks):
                with contextlib.suppress(Exception):
                    look()

    def _adapt(self) -> None:
        """Where very many tasks end, who observes has no time for each, and who looks could not tell them apart."""
        singly, self._singly = self._singly, 0
        if singly > _MOST_SINGLY:
            self._least, self._few = min(_LEAST_SINGLY, 2 * self._least), 0
        elif singly < _MOST_SINGLY // 4:
            self._few += 1
            if self._few >= _FEW_LOOKS:
                self._least, self._few = max(LEAST, self._least // 2), 0

    def _look_at_calls(self) -> None:
        for _ in range(len(self._ongoing)):
            ongoing = self._ongoing.popleft()
            has_ended = ongoing.ended  # before it is asked
            counts = ongoing.ask()
            ongoing.number = counts.number or ongoing.number or next(_calls.numbers)
            if not has_ended:
                self._ongoing.append(ongoing)
            self._tell_call(ongoing, counts)
            if has_ended:
                self._tell_end(self._followed[ongoing.number], ongoing.ended, has_failed=ongoing.has_failed)

    def _tell_call(self, ongoing: Ongoing, counts: Counts) -> None:
        recording = ongoing.recording
        followed = self._begin(ongoing.number, ongoing.begun)
        followed.function = recording.function or followed.function
        self._tell_begin(followed, ongoing.total, recording.workers, recording.backend)
        self._sinks.pop(followed.number, None)
        self._tell_work(followed, counts.work)
        ledger = counts.ledger
        if ledger is None:
            self._tell_progress(followed, counts.ended, counts.failed)
            return
        since = ledger.preparing_since
        preparing = ledger.preparing + (time.monotonic_ns() - since if since else 0)
        spent = min(preparing // 1_000_000, _LOW) << 32 | min(ledger.collecting // 1_000_000, _LOW)
        self._tell_progress(followed, counts.ended, counts.failed, ledger.sent, ledger.received, spent)
        if ledger.spared != followed.spared:
            followed.spared = ledger.spared
            self.probe.write(told.SPARED, time.monotonic_ns(), followed.number, ledger.spared)
        first = 0 if ledger.first_start == NEVER else ledger.first_start
        packed = ledger.chunk << 2 | (recording.chunk is not None) << 1 | ledger.hired
        self._tell_ledger(followed, counts.submitted, first, ledger.away // 1_000_000, packed)

    def _tell_begin(self, followed: Followed, total: int | None, workers: int, backend: str) -> None:
        if not followed.is_told:
            followed.is_told = True
            text, tasks = self.probe.text, 0 if total is None else total + 1
            self.probe.write(told.CALL_BEGUN, followed.begun, followed.number, text(followed.function), tasks, workers, text(backend))

    def _tell_end(self, followed: Followed, at: int, *, has_failed: bool) -> None:
        followed.is_over = True
        self.probe.write(told.CALL_ENDED, at, followed.number, int(has_failed))

    def _tell_progress(self, followed: Followed, done: int, failed: int, *more: int) -> None:
        progress = (done << 32 | failed & _LOW, *more)
        if progress != followed.progress:
            followed.progress = progress
            self.probe.write(told.PROGRESS, time.monotonic_ns(), followed.number, *progress)

    def _tell_ledger(self, followed: Followed, *ledger: int) -> None:
        if ledger != followed.ledger:
            followed.ledger = ledger
            self.probe.write(told.LEDGER, time.monotonic_ns(), followed.number, *ledger)

    def _look_at_pools(self) -> None:
        """Calls of which nobody has told: of executors. They begin with their first task, and end when nobody has them any more."""
        own = {ongoing.number for ongoing in list(self._ongoing)}
        known = set(own)
        for pool in _own_pools():
            for call in pool.calls():
                known.add(call.number)
                if call.number not in own and (call.outstanding or call.sink.work):
                    self._note_call(pool, call)
        for number, followed in list(self._followed.items()):
            work = self._sinks.get(number)
            if work is not None:
                done = self._tell_work(followed, work)
                self._tell_progress(followed, max(0, done - followed.repeated), followed.failed)
            if number not in known:
                del self._followed[number]
                if self._sinks.pop(number, None) is not None:
                    self._tell_end(followed, time.monotonic_ns(), has_failed=False)

    def _note_call(self, pool: ProcessPool, call: PoolCall) -> None:
        followed = self._begin(call.number, call.opened)
        if followed.is_over:
            return
        self._sinks[call.number] = call.sink.work
        self._tell_begin(followed, None, pool.width(call.limit), "processes")
        done = sum(tasks for tasks, _ in list(call.sink.work.values()))
        self._tell_ledger(followed, done - followed.repeated + call.outstanding, 0, 0, 0)

    def _tell_work(self, followed: Followed, work: Mapping[Any, list[int]]) -> int:
        """What has been added to accounts since they were told last; how many tasks there are in them."""
        now, done = time.monotonic_ns(), 0
        for worker, (tasks, busy) in list(work.items()):
            done += tasks
            number = worker if isinstance(worker, int) else self.slot(str(worker), followed.begun, work)
            with self._lock:
                before = followed.told.setdefault(number, [0, 0, followed.begun])
                count, lasted, since = tasks - before[0], busy - before[1], before[2]
                if count <= 0 or lasted < 0:
                    continue
                before[0], before[1], before[2] = tasks, busy, now
            at = min(now, self._since.get(number, now))
            begun = min(at, max(since, at - lasted))
            self._write_done(followed, number, 0, count, begun, lasted, at)
        return done

    def _look_at_workers(self) -> None:
        """Tell of tasks that take long."""
        self._since.clear()
        now = time.monotonic_ns()
        for pool in _own_pools():
            for working in pool.working():
                self._since[working.pid] = working.since
                batch = working.batch
                task = batch.call.number, batch.first + working.place, batch.attempt
                if now - working.since >= _WORTH_SHOWING and self._running.get(working.pid) != task:
                    self._running[working.pid] = task
                    self._tell_running(working, task[0], task[1])

    def _tell_running(self, working: Working, call: int, index: int) -> None:
        batch = working.batch
        form: Any = batch.form
        item = batch.items[working.place]
        arguments = _arguments.of_item(form, item) if self.probe.wants.get("arguments") else ""
        text = self.probe.text
        name = text(form.name(item))
        self.probe.write(told.RUNNING, working.since, working.pid, call << 32 | index & _LOW, name, text(arguments), batch.attempt)

    def slot(self, name: str, begun: int, others: Container[object] = ()) -> int:
        """The number, as a worker, of a thread that runs tasks since then. That of one which has ended is given to the next.

        ``others``: threads of the same call, which keep theirs: what each has done is told by their numbers.
        """
        pid = self.probe.pid
        if name == "this thread":
            return pid
        if name not in self._slots:
            alive = {thread.name: thread.native_id for thread in threading.enumerate()}
            free = next((slot for slot, before in enumerate(self._slots) if before not in alive and before not in others), len(self._slots))
            self._slots[free : free + 1] = [name]
            number = (free + 1) << _SLOT | pid
            label = self.probe.text(f"thread {free}")
            self.probe.write(told.WORKER_BEGUN, begun, number, label, alive.get(name) or 0)
        return (self._slots.index(name) + 1) << _SLOT | pid


def _own_pools() -> Iterator[ProcessPool]:
    """Those of this process: one that was forked knows of its parent's."""
    here = os.getpid()
    return (pool for pool in _watched.pools if pool.pid == here)


def _add(told: dict[Any, list[int]], worker: int, tasks: int, busy: int, at: int) -> None:
    before = told.setdefault(worker, [0, 0, 0])
    before[0] += tasks
    before[1] += busy
    before[2] = max(before[2], at)


def _traceback_of(error: BaseException) -> str:
    """As it would be printed; of a task's, as it was where that ran."""
    cause = error.__cause__
    try:
        if isinstance(cause, errors.RemoteTraceback):
            return cause.text.strip()
        if isinstance(error, errors.ManyhandsError) and error.__traceback__ is None:
            return ""  # it is the program's own, and its text says all
        return "".join(traceback.format_exception(error))
    except Exception as second:  # noqa: BLE001 - a user's __str__
        return f"its traceback cannot be had: {type(second).__name__}"
