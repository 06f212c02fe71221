"""What is known of a process that is watched: its threads and stacks, and what it tells of the run. Pure.

Records name texts, code and stacks by numbers of this process; what they are is told by messages, which may come later.
"""

from __future__ import annotations

import functools
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manyhands._core.slowest import LEAST
from manyhands._probe import _segment as told
from manyhands._probe._files import OURS, is_own
from manyhands.watch.observer._calls import Call, FailedTask, Given, Task
from manyhands.watch.observer._endings import ended_by
from manyhands.watch.observer._heat import Heat, Place
from manyhands.watch.observer._stacks import Stacks
from manyhands.watch.observer._threads import Text, Thread, is_reading
from manyhands.watch.observer._timeline import FAILED
from manyhands.watch.observer._usage import MOSTLY, Lately, Pauses, Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands._probe._segment import Record
    from manyhands.watch.observer._model import Run

NS = 1_000_000_000
_LOW = 0xFFFFFFFF
_ASKED_TO = ended_by(-signal.SIGTERM)  # so pools of multiprocessing end their workers
_MOST_QUESTIONS = 20  # that are under way
_WORTH_PLACING = 5_000_000  # nanoseconds
_BUSY_SHARE = 10  # a thread that used a tenth of the time was busy


@functools.lru_cache(4096)
def _whose(path: str) -> str:
    """Manyhands' own file, one of the program's own, or of somebody else's."""
    return "ours" if path.startswith(OURS) else "own" if is_own(path) else ""


@dataclass
class ThreadWorker:
    """Threads of a process that run tasks, one after the other: ``thread`` is the last of them, by its number."""

    process: Process
    name: Text
    thread: int
    begun: int


class Process:
    """A process that has a probe."""

    def __init__(self, run: Run, hello: dict[str, Any], at: int) -> None:
        self.run = run
        self.pid = int(hello["pid"])
        self.parent = int(hello.get("parent", 0))
        self.role = str(hello.get("role", "process"))
        self.name = run.name_of(hello)
        self.begun = at
        self.gone: int | None = None
        self.was_ended = False  # by its pool, or it left
        self.has_died = False  # and was not meant to
        self.is_explained = False  # by a pool, which knows what was meant
        self.how = ""
        self.is_paused = False  # by its program, which was asked to
        self.texts: dict[int, str] = {0: ""}
        self.codes: dict[int, tuple[str, str, int]] = {}
        self.stacks: dict[int, list[tuple[int, int]]] = {0: []}
        self.threads: dict[int, Thread] = {}
        self.heat = Heat()
        self.stacks_seen = Stacks()
        self.busy = 0  # nanoseconds in which any of its threads that count was seen to work
        self._placed = 0  # of the time in tasks, what lines have been given
        self.lost = 0
        self.stacked: dict[int, str] = {}  # what it has told of its whole stack, by the number of the question
        self.watching_thread = 0  # its number
        self._stack_parts: dict[int, list[str]] = {}  # of what has been asked for and is not complete
        self._questions = 0
        self._functions: dict[int, tuple[Text, int]] = {}
        self._places: dict[int, tuple[Place, ...]] = {}
        self.figures: tuple[int, ...] = (0,) * told.FIGURES
        self.memory = 0
        self.cpu = 0.0
        self.at_work = 0  # threads that use a processor, those that Python knows nothing of as well
        self.uses = Uses()
        self.pauses = Pauses()
        self.seen_lately = Lately()  # its main thread, at a task
        self._rare: dict[str, Callable[[dict[str, Any]], None]] = {
            "error": run.failed,
            "given": self._hear_given,
            "machine": self._hear_machine,
            "am": self._hear_who,
            "source": self._hear_source,
            "stacked": self._hear_stack,
            "watching": self._hear_thread,
            "controlled": self._hear_deed,
        }
        self._answers: dict[int, Callable[[Record], None]] = {
            told.SAMPLE: self._sample,
            told.THREAD: self._thread,
            told.LINES: self._lines,
            told.CALL_BEGUN: self._call_begun,
            told.CALL_ENDED: self._call_ended,
            told.TASKS_DONE: self._tasks_done,
            told.TASK_FAILED: self._task_failed,
            told.WORKER_BEGUN: self._worker_begun,
            told.WORKER_ENDED: self._worker_ended,
            told.PROGRESS: self._progress,
            told.LEDGER: self._ledger,
            told.SPARED: self._spared,
            told.RUNNING: self._running,
            told.PAUSED: self._paused,
            told.CACHE: self._cache,
            told.SHARED: self._shared,
        }

    def text(self, number: int) -> Text:
        """What it has given a number."""
        return Text(self.texts, number)

    def hear(self, message: dict[str, Any]) -> None:
        """A message from it. What it does not know how to say is left alone."""
        if "text" in message:
            self.texts[message["text"]] = str(message["is"])
        elif "code" in message:
            self.codes[message["code"]] = (str(message["file"]), str(message["name"]), int(message["line"]))
        elif "stack" in message:
            self.stacks[message["stack"]] = [(int(code), int(line)) for code, line in message["frames"]]
        else:
            for key, hear in self._rare.items():
                if key in message:
                    hear(message)

    def _hear_source(self, message: dict[str, Any]) -> None:
        self.run.sources.setdefault(str(message["source"]), str(message["is"]))

    def _hear_machine(self, message: dict[str, Any]) -> None:
        if self.role == "program":  # a worker has a share of it
            self.run.processors = max(1, int(message["machine"]["processors"]))

    def _hear_who(self, message: dict[str, Any]) -> None:
        self.role = str(message["am"].get("role", self.role))
        self.name = self.run.name_of({**message["am"], "pid": self.pid, "role": self.role})

    def _hear_thread(self, message: dict[str, Any]) -> None:
        self.watching_thread = int(message["watching"])

    def _hear_deed(self, message: dict[str, Any]) -> None:
        why = message["why"]
        self.run.deeds.get(int(message["controlled"]), []).append(None if why is None else str(why))

    def _hear_given(self, message: dict[str, Any]) -> None:
        given = Given(int(message["task"]), str(message["call"]), str(message["replay"]))
        self.run.note_given(str(message["given"]), given)
        arguments = given.arguments()
        if arguments:
            self.run.note_arguments(int(message["worker"]), given.task, int(message["begun"]), Text({1: arguments}, 1))

    def _hear_stack(self, message: dict[str, Any]) -> None:
        number = int(message["stacked"])
        parts = self._stack_parts.get(number)
        if parts is None:
            return
        parts.append(str(message["part"]))
        if not message["more"]:
            self.stacked[number] = "".join(self._stack_parts.pop(number))

    def ask_for_stack(self) -> int:
        """The number of a question for its whole stack. What nobody has waited for is forgotten."""
        self._questions += 1
        self.stacked.pop(self._questions - _MOST_QUESTIONS, None)
        self._stack_parts.pop(self._questions - _MOST_QUESTIONS, None)
        self._stack_parts[self._questions] = []
        return self._questions

    def thread_of(self, identity: int) -> str:
        """The name and number of a thread, by what Python knows it by."""
        found = (f"{thread.name} ({number})" for number, thread in self.threads.items() if thread.identity == identity)
        return next(found, f"thread {identity:#x}")

    def read(self, records: Iterable[Record]) -> None:
        """Records of it, in order."""
        for record in records:
            answer = self._answers.get(record.kind)
            if answer is not None:
                answer(record)

    def seen(self, at: int, memory: int, cpu: float, at_work: int, queued: float = 0.0) -> None:
        """What the kernel tells of it: bytes, processors that it uses, how many of its threads use one, and how much it waits for one."""
        self.cpu, self.at_work = cpu, at_work
        self.memory = memory or self.memory  # one that is just ending has none left
        self.uses.note(at, memory, cpu, queued)

    def places(self, stack: int) -> tuple[Place, ...]:
        """Files and lines of a stack, the innermost first."""
        found = self._places.get(stack)
        if found is None:
            found = tuple((path, line) for path, line, _ in self.frames(stack))
            if stack in self.stacks and all(code in self.codes for code, _ in self.stacks[stack]):  # else more may be told of it
                self._places[stack] = found
        return found

    def frames(self, stack: int) -> list[tuple[str, int, str]]:
        """Files, lines and names of a stack, the innermost first. What is done inside of manyhands for the user's code is not shown."""
        found = [(self.codes[code][0], line, self.codes[code][1]) for code, line in self.stacks.get(stack, ()) if code in self.codes]
        whose = [_whose(path) for path, _, _ in found]
        inner = whose[: whose.index("own")] if "own" in whose else whose
        return found[len(inner) - inner[::-1].index("ours") :] if "ours" in inner else found

    def end(self, at: int, how: str = "") -> None:
        """It has gone; ``how``, if that was no regular end. Several may tell."""
        if self.gone is None:
            self.gone = at
            self.run.running.pop(self.pid, None)
        self.how = self.how or how
        self.was_ended = self.was_ended or (self.run.ended is not None and self.role != "program")  # its program's end is its own
        self.has_died = bool(self.how) and not self.was_ended and (self.is_explained or self.how != _ASKED_TO)

    def explain(self, how: str) -> None:
        """How it has ended, by who knows best."""
        self.how = how or self.how
        self.is_explained = True
        self.has_died = bool(self.how) and not self.was_ended

    # ------------------------------------------------------------ what its threads do

    def _sample(self, record: Record) -> None:
        thread = self.threads.get(record.a)
        if thread is None:
            thread = self.threads[record.a] = Thread(self.text(0))
        lasted = max(0, record.at - thread.since - self.pauses.within(thread.since, record.at)) if thread.since else 0
        self._note_reading(thread, record.at)
        if record.a == self.pid and thread.stack:
            self.seen_lately.note(thread.since, record.at, lasted)
        thread.is_computing = record.c * _BUSY_SHARE > lasted
        is_working = thread.is_computing or bool(record.d and record.a == self.pid)  # a task may also wait, in the main thread
        if self.places(thread.stack) and (is_working or thread.is_at_task):
            self._spent(thread.stack, record.at, lasted)
            self.busy += lasted if is_working else 0
            if record.a == self.pid:
                self._placed += lasted
        if record.a == self.pid:
            thread.task_stack = next((stack for stack in (record.b, thread.stack) if self.places(stack)), thread.task_stack)
            self.place_rest(record.at)
        thread.stack, thread.since, thread.is_at_task = record.b, record.at, bool(record.e)

    def _note_reading(self, thread: Thread, until: int) -> None:
        """If it is where inputs are read, the calls that are under way have spent the time on that."""
        if thread.stack and is_reading([self.codes[code][0] for code, _ in self.stacks.get(thread.stack, ()) if code in self.codes]):
            since, thread.told_until = max(thread.since, thread.told_until), until
            for call in self.run.calls.values():
                if call.program == self.pid and call.ended is None:
                    call.reading += max(0, until - max(since, call.begun))

    def _spent(self, stack: int, at: int, lasted: int, looks: int = 1) -> None:
        places = self.places(stack)
        self.stacks_seen.add(stack, lasted)
        for heat in (self.heat, self.run.heat):
            heat.seen(places, at, lasted, looks=looks)

    def place_rest(self, now: int) -> None:
        """Time in tasks at which no look found its main thread in any: that gives up Python's lock between them, so looks find it there.

        It goes to where it is seen in a task now, or was last.
        """
        rest = self.run.in_tasks(self.pid, now) - self._placed
        main = self.threads.get(self.pid)
        if rest >= _WORTH_PLACING and main is not None and self.places(main.task_stack):
            self._spent(main.task_stack, now, rest, looks=0)
            self._placed += rest

    def stack_now(self) -> int:
        """Of the thread that shows best where it is: the main thread's, if that is not idle; 0: none."""
        main = self.threads.get(self.pid)
        return main.stack if main is not None and main.stack else self.stack_at_work()

    def stack_at_work(self) -> int:
        """The same, of a thread that does something: that is at a task, or computes; 0: there is none."""
        main = self.threads.get(self.pid)
        if main is not None and main.stack and (self.role == "worker" or self.pid in self.run.running):
            return main.stack
        looked = self.figures[told.LOOKED]
        at_work = [thread for thread in self.threads.values() if thread.stack and thread.is_computing and looked - thread.since < NS]
        if main is not None and main in at_work:
            return main.stack
        return max(at_work, key=lambda thread: thread.since).stack if at_work else 0

    def is_at_tasks(self, now: int) -> bool:
        """Whether it was, most of the last moments, as far as it was looked at."""
        main = self.threads.get(self.pid)
        share = self.seen_lately.share(now)
        if main is not None and main.stack and self.figures[told.LOOKED] > main.since:
            since = Lately()
            since.note(main.since, self.figures[told.LOOKED], self.figures[told.LOOKED] - main.since)
            share += since.share(now)
        return share >= MOSTLY

    def _thread(self, record: Record) -> None:
        if record.c:
            self.threads.pop(record.a, None)
        else:
            self.threads[record.a] = Thread(self.text(record.b), identity=record.d)

    def _lines(self, record: Record) -> None:
        file, _, _ = self.codes.get(record.a, ("", "", 0))
        if file:
            is_touch = told.LEVELS[self.figures[told.LEVEL]] == "touch"
            for heat in (self.heat, self.run.heat):
                heat.counted((file, record.b), record.c, record.at, error=record.d, bias=record.e, is_touch=is_touch)

    # ------------------------------------------------------------ tasks

    def _running(self, record: Record) -> None:
        call, number = record.b >> 32, record.b & _LOW
        arguments = self.text(record.d)
        self.run.running[record.a] = Task(number, self.text(record.c), arguments, record.at, call, record.e, self.pid)
        self.run.note_arguments(record.a, number, record.at, arguments)

    def _tasks_done(self, record: Record) -> None:
        run = self.run
        worker, (function, number) = record.c >> 32, self._function(record.c & _LOW)
        first, count = record.b >> 32, record.b & _LOW
        call = self._call(record.a, record.d) if record.a else None
        busy = run.worked(worker, record.d, record.at, record.e)
        run.timeline(worker).add(record.d, record.at, count=count, function=number, first=first, busy=busy)
        run.ended_before(worker, record.at)
        if (process := run.processes.get(worker)) is not None:
            process.place_rest(record.at)
        if call is None:
            run.loose_done(record.at, count, record.d)
            call = run.loose
        call.function = call.function or function
        call.worked(worker, first, count, busy)
        if count == 1 and busy >= LEAST:
            run.longest.note(busy, first, worker, function)

    def _task_failed(self, record: Record) -> None:
        run = self.run
        worker, (function, number), index = record.d >> 32, self._function(record.d & _LOW), record.b >> 16
        busy = run.worked(worker, record.e, record.at, max(0, record.at - record.e)) if record.e else 0
        if record.e:
            run.timeline(worker).add(record.e, record.at, function=number, flags=FAILED, first=index, busy=busy)
            run.ended_before(worker, record.at)
        call = self._call(record.a, record.e or record.at) if record.a else run.loose
        if not record.a:
            run.loose_done(record.at, 1, record.e, failed=1)
        call.function = call.function or function
        if record.e:
            call.worked(worker, index, 1, busy)
            run.longest.note(busy, index, worker, function)
        failed = FailedTask(record.at, worker, index, record.b >> 1 & 0x7FFF, bool(record.b & 1))
        run.later.append((self.text(record.c), lambda key: run.note_failure(key, failed)))

    def _function(self, number: int) -> tuple[Text, int]:
        """The name of a function, and its number in timelines."""
        known = self._functions.get(number)
        if known is None:
            name = self.text(number)
            known = self._functions[number] = name, self.run.function(name)
        return known

    # ------------------------------------------------------------ calls and workers

    def _call(self, number: int, at: int) -> Call:
        """It may be heard of before it is said to have begun."""
        call = self.run.calls.get((self.pid, number))
        if call is None:
            call = Call(number, self.text(0), None, 0, self.text(0), at, program=self.pid)
            self.run.add_call((self.pid, number), call)
        return call

    def _call_begun(self, record: Record) -> None:
        call = self._call(record.a, record.at)
        call.begun = min(call.begun, record.at)
        call.function = self.text(record.b) or call.function
        call.workers, call.backend = record.d or call.workers, self.text(record.e)
        call.total = record.c - 1 if record.c else call.total

    def _call_ended(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            self._note_all_reading(record.at)
            call.ended, call.has_failed = record.at, bool(record.b)

    def _note_all_reading(self, until: int) -> None:
        for thread in self.threads.values():
            self._note_reading(thread, until)

    def _progress(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            call.progressed(record.at, record.b >> 32, record.b & _LOW)
            call.sent, call.received = record.c, record.d
            call.preparing, call.collecting = record.e >> 32, record.e & _LOW
            self._note_all_reading(record.at)

    def _spared(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            call.spared = record.b

    def _ledger(self, record: Record) -> None:
        if not record.a:
            self.run.loose_left(record.b)
            return
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            call.submitted, call.first_start, call.away = record.b, record.c, record.d
            call.chunk, call.is_fixed, call.hired = record.e >> 2, bool(record.e & 2), bool(record.e & 1)

    def _worker_begun(self, record: Record) -> None:
        known = self.run.thread_workers.get(record.a)
        begun = record.at if known is None else known.begun
        self.run.thread_workers[record.a] = ThreadWorker(self, self.text(record.b), record.c, begun)

    def _paused(self, record: Record) -> None:
        process = self.run.processes.get(record.a)
        if process is not None:
            process.is_paused = bool(record.b)
            process.pauses.note(record.at, is_paused=process.is_paused)

    def _worker_ended(self, record: Record) -> None:
        process = self.run.processes.get(record.a)
        if process is not None:
            process.was_ended = bool(record.b)
            process.end(record.at)
            self.run.later.append((self.text(record.c), process.explain))

    # ------------------------------------------------------------ caches and shared objects

    def _cache(self, record: Record) -> None:
        self.run.later.append((self.text(record.a), lambda name: self.run.note_cached(name, record)))

    def _shared(self, record: Record) -> None:
        self.run.later.append((self.text(record.a), lambda name: self.run.note_shared(name, record)))
