"""What is known of the runs that are watched. Pure: greetings, messages and records go in, a snapshot comes out; no clock, no I/O.

Times are nanoseconds of the monotonic clock, which all processes of a machine have in common; seconds since the run began in snapshots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands.watch.observer._calls import Call, FailedTask, Failure, Given, Longest, Task
from manyhands.watch.observer._heat import Heat
from manyhands.watch.observer._history import History
from manyhands.watch.observer._process import Process, ThreadWorker
from manyhands.watch.observer._threads import Text
from manyhands.watch.observer._timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._probe._segment import Record
    from manyhands.watch.observer._timeline import Bar

_LOW = 0xFFFFFFFF
_MOST_PROCESSES = 400
_TAKE_ALONG = ("interrupted", "died")  # ends of programs that are those of their workers, which may be heard of before
_TAKES_ALONG = 500_000_000  # nanoseconds
_MOST_ERRORS = 200
_MOST_GIVEN = 8  # of an error
_MOST_CALLS = 200
_MOST_FAILURES = 20_000  # of single tasks
_MOST_ARGUMENTS = 20_000
_APART = 1_000_000  # nanoseconds by which what a worker and its program say of when a task began may differ


class Cached:
    """What is known of a cached function: calls that were answered from the store, and that were not; nanoseconds saved and taken."""

    __slots__ = ("hits", "misses", "saved", "taken")

    def __init__(self) -> None:
        self.hits = self.misses = self.saved = self.taken = 0


class Shared:
    """What is known of a shared object: calls of it, those of them that waited for it, and how many nanoseconds."""

    __slots__ = ("calls", "waited", "waits")

    def __init__(self) -> None:
        self.calls = self.waits = self.waited = 0


class Run:
    """A program, with all processes of it that are watched.

    Attributes:
        token: what its processes are known by.
        state: "running", "done", "failed", "interrupted" or "died"; ``how``: in words.
        calls: by the process that made them, and their numbers there.
        past: the sums of calls that ended long ago.
        loose: tasks that are of no call: of ``multiprocessing`` and ``concurrent.futures``.
        running: by worker, the task that it has been at for some time.
        places: by worker, the name of its place in its pool, which its successors have as well.
        thread_workers: by their numbers as workers.
    """

    def __init__(self, token: str, name: str, begun: int) -> None:
        self.token = token
        self.name = name
        self.begun = begun
        self.ended: int | None = None
        self.state = "running"
        self.how = ""
        self.processors = 1
        self.processes: dict[int, Process] = {}
        self.thread_workers: dict[int, ThreadWorker] = {}
        self.calls: dict[tuple[int, int], Call] = {}
        nameless = Text({}, 0)
        self.loose = Call(0, nameless, None, 0, nameless, begun)
        self.past = Call(0, nameless, None, 0, nameless, begun, ended=begun)
        self.running: dict[int, Task] = {}
        self.deeds: dict[int, list[str | None]] = {}  # what was answered to what the page has asked for, by number
        self.heat = Heat()
        self.history = History()
        self.failures: list[FailedTask] = []  # the first of them, in order
        self.arguments: dict[tuple[int, int], list[tuple[int, Text]]] = {}  # of tasks that took long, by worker and number: begun when
        self.has_program = (
            False  # whether any of its processes is the program, whose end is that of the run; else it is that of the last one
        )
        self.choices: dict[str, Any] = {}  # of who watches it, see manyhands.watch
        self.sources: dict[str, str] = {}  # texts of code that is in no file, by the names of such files
        self.unsaved = ""  # why what was to be kept of it is not
        self.folder = ""  # that the program was started in
        self.timelines: dict[int, Timeline] = {}
        self.longest = Longest()
        self.errors: dict[str, Failure] = {}
        self.cache: dict[str, Cached] = {}
        self.shared: dict[str, Shared] = {}
        self.functions: list[Text] = []
        self.later: list[tuple[Text, Callable[[str], None]]] = []  # what is to be noted as soon as its text is known
        self._function_numbers: dict[tuple[int, int], int] = {}
        self._named: dict[str, dict[int, int]] = {}  # by the name of a place, the workers that have had it
        self.places: dict[int, str] = {}  # by worker; of those that have gone as well

    def greet(self, hello: dict[str, Any], at: int) -> Process:
        """A process of it has come."""
        if len(self.processes) >= _MOST_PROCESSES:
            self._forget_gone()
        process = self.processes[int(hello["pid"])] = Process(self, hello, at)
        self.folder = str(hello.get("cwd", self.folder))
        return process

    def name_of(self, hello: dict[str, Any]) -> str:
        """What a process is called. A worker has the name of its place in a pool: of its successors there, that with a number."""
        pid, role, name = int(hello["pid"]), str(hello.get("role", "process")), str(hello.get("name", ""))
        if role != "worker" or not name:
            return name or f"{role} {pid}"
        self.places[pid] = name
        known = self._named.setdefault(name, {})
        number = known.setdefault(pid, len(known) + 1)
        return name if number == 1 else f"{name} ({number})"

    def worked(self, worker: int, begin: int, end: int, busy: int | None = None) -> int:
        """Nanoseconds of a task, without those in which its worker had been paused."""
        process = self.processes.get(worker)
        took = end - begin if busy is None else busy
        return max(0, took if process is None else took - process.pauses.within(begin, end))

    def process_of(self, worker: int) -> Process | None:
        """That of a thread, if the worker is one."""
        thread = self.thread_workers.get(worker)
        return self.processes.get(worker) if thread is None else thread.process

    def paused(self, call: Call, now: int) -> int:
        """Nanoseconds in which the workers of a call had been paused, together."""
        end = now if call.ended is None else call.ended
        processes = map(self.processes.get, call.work.keys() | self.at_work(call).keys())
        return sum(process.pauses.within(call.begun, end) for process in processes if process is not None)

    def at_work(self, call: Call) -> dict[int, Task]:
        """The tasks of a call that are known to run, by worker."""
        return {
            worker: task
            for worker, task in self.running.items()
            if task.call == call.number and (not task.call or task.program == call.program)
        }

    def _forget_gone(self) -> None:
        """Half of those that have gone, the oldest first. A program may fork without end."""
        gone = [pid for pid, process in self.processes.items() if process.gone is not None and process.role != "program"]
        for pid in gone[: (len(gone) + 1) // 2]:
            del self.processes[pid]
            self.timelines.pop(pid, None)

    def function(self, name: Text) -> int:
        """The number of a function's name, in timelines."""
        number = self._function_numbers.get(name.key)
        if number is None:
            number = self._function_numbers[name.key] = len(self.functions)
            self.functions.append(name)
        return number

    def add_call(self, key: tuple[int, int], call: Call) -> None:
        """One more. Of the oldest, only sums are kept."""
        self.calls[key] = call
        if len(self.calls) > _MOST_CALLS:
            oldest = next((key for key, other in self.calls.items() if other.ended is not None), None)
            if oldest is not None:
                self.past.absorb(self.calls.pop(oldest))

    def catch_up(self) -> None:
        """Note what has waited for its text."""
        waiting, self.later = self.later, []
        for text, note in waiting:
            if text.is_known:
                note(str(text))
            else:
                self.later.append((text, note))

    def timeline(self, worker: int) -> Timeline:
        """Of a worker."""
        found = self.timelines.get(worker)
        if found is None:
            found = self.timelines[worker] = Timeline()
        return found

    def in_tasks(self, worker: int, now: int) -> int:
        """Nanoseconds that a worker has been in tasks, with the one that it is at; 0: none is known of."""
        done, task = self.timelines.get(worker), self.running.get(worker)
        return (0 if done is None else done.busy) + (0 if task is None else self.worked(worker, task.since, now))

    def note_arguments(self, worker: int, number: int, since: int, arguments: Text) -> None:
        """What a task was given, as far as that may be shown."""
        if arguments and len(self.arguments) < _MOST_ARGUMENTS:
            self.arguments.setdefault((worker, number), []).append((since, arguments))

    def arguments_of(self, worker: int, bar: Bar) -> str:
        """The same of a task that has ended; empty if that is not known."""
        found = self.arguments.get((worker, bar.first), ()) if bar.count == 1 else ()
        return next((str(text) for since, text in found if bar.begin - _APART <= since < max(bar.end, bar.begin + 1)), "")

    def ended_before(self, worker: int, at: int) -> None:
        """A worker has ended what it had begun by then."""
        task = self.running.get(worker)
        if task is not None and task.since < at:
            del self.running[worker]

    def loose_done(self, at: int, count: int, begun: int, failed: int = 0) -> None:
        """Tasks have ended that are of no call."""
        loose = self.loose
        loose.first_start = min(loose.first_start, begun)
        loose.progressed(at, loose.done + count, loose.failed + failed)
        loose.workers = max(loose.workers, len(loose.work))

    def loose_left(self, left: int) -> None:
        """So many of them are left. Workers tell of what they have done at other times: a difference of some tasks says nothing."""
        loose = self.loose
        total = loose.done + left
        if loose.total is None or not left or loose.total < loose.done + 1 or abs(total - loose.total) > len(loose.work) + 1:
            loose.total = total

    def lived(self, end: int) -> int:
        """Nanoseconds in which there were the workers that run those tasks; of a thread, until the end of its last one."""
        lived = 0
        for worker in self.loose.work:
            thread = self.thread_workers.get(worker)
            if thread is not None:
                lived += max(0, (end if worker in self.running else self.timeline(worker).end) - thread.begun)
            elif (process := self.processes.get(worker)) is not None:
                lived += (end if process.gone is None else process.gone) - process.begun
        return lived

    def rate(self, now: int) -> float:
        """Tasks a second, lately."""
        return sum(call.rate.lately(now) for call in self.calls.values() if call.ended is None) + self.loose.rate.lately(now)

    def note_cached(self, name: str, record: Record) -> None:
        """A cached function was called."""
        known = self.cache.setdefault(name, Cached())
        known.hits += record.b >> 32
        known.misses += record.b & _LOW
        known.saved += record.c
        known.taken += record.d

    def note_shared(self, name: str, record: Record) -> None:
        """A shared object was used."""
        known = self.shared.setdefault(name, Shared())
        known.calls += record.b
        known.waits += record.c
        known.waited += record.d

    def failed(self, message: dict[str, Any]) -> None:
        """What an error says: of a task, or of a process."""
        kind, text = str(message["error"]), str(message.get("message", ""))
        failure = self._failure(str(message.get("key", f"{kind}: {text}")))
        if failure is not None and not failure.traceback:
            failure.kind, failure.message = kind, text
            failure.traceback, failure.function = str(message.get("traceback", "")), str(message.get("function", ""))
        if failure is not None and message.get("counts"):
            failure.came(int(message.get("at", self.begun)), message.get("task"))

    def note_failure(self, key: str, failed: FailedTask) -> None:
        """A task has failed."""
        failure = self._failure(key)
        if failure is not None:
            failure.came(failed.at, failed.number, is_repeated=failed.is_repeated)
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(failed._replace(error=key))

    def note_given(self, key: str, given: Given) -> None:
        """What a task that has failed was called with."""
        failure = self._failure(key)
        if failure is not None and len(failure.given) < _MOST_GIVEN:
            failure.given.append(given)

    def _failure(self, key: str) -> Failure | None:
        failure = self.errors.get(key)
        if failure is None and len(self.errors) < _MOST_ERRORS:
            kind, _, message = key.partition(": ")
            failure = self.errors[key] = Failure(kind, message)
        return failure

    def resume(self) -> None:
        """Another process of it has come, when all seemed to have gone."""
        self.ended, self.state, self.how = None, "running", ""

    def correct(self, state: str, how: str) -> None:
        """The program has ended so; all was well when it said that it would."""
        if self.state == "done":
            self.state, self.how = state, how

    def end(self, at: int, state: str, how: str) -> None:
        """The program has gone."""
        if self.ended is None:
            self.ended, self.state, self.how = at, state, how
            if state in _TAKE_ALONG:
                for process in self.processes.values():
                    if process.role != "program" and process.gone is not None and at - process.gone < _TAKES_ALONG:
                        process.was_ended, process.has_died = True, False
            for call in (*self.calls.values(), self.loose):
                call.ended = at if call.ended is None else call.ended
