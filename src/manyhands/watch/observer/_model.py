"""What is known of the runs that are watched. Pure: greetings, messages and records go in, a snapshot comes out; no clock, no I/O.

Times are nanoseconds of the monotonic clock, which all processes of a machine have in common; seconds since the run began in snapshots.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manyhands._probe import _segment as told
from manyhands.watch.observer._endings import ended_by
from manyhands.watch.observer._heat import Heat, Place
from manyhands.watch.observer._timeline import FAILED, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands._probe._segment import Record

NS = 1_000_000_000
_RATE_OVER = 10 * NS  # how far back the rate of tasks looks
_MOST_PROCESSES = 400
_MOST_ERRORS = 200
_STATUS = 256  # added to what WORKER_ENDED tells, since words have no sign
_BUSY_SHARE = 10  # a thread that used a tenth of the time was busy


class Text:
    """A text that a process has named by its number; it may tell later what that is."""

    __slots__ = ("_number", "_texts")

    def __init__(self, texts: dict[int, str], number: int) -> None:
        self._texts = texts
        self._number = number

    @property
    def is_known(self) -> bool:
        """Whether it has been told."""
        return self._number in self._texts

    @property
    def key(self) -> tuple[int, int]:
        """The same for the same number of the same process."""
        return id(self._texts), self._number

    def __str__(self) -> str:
        return self._texts.get(self._number, "")


@dataclass
class Thread:
    """A thread of a watched process, and what it has done since it was seen last."""

    name: Text
    stack: int = 0
    since: int = 0


@dataclass
class Task:
    """One that runs, as far as its own process tells."""

    number: int
    function: Text
    arguments: Text
    since: int


@dataclass
class Call:
    """One ``map``, ``Parallel`` and so on.

    Attributes:
        total: how many tasks; None: not known yet.
        ended: when; None: it is under way.
    """

    number: int
    function: Text
    total: int | None
    workers: int
    backend: Text
    begun: int
    done: int = 0
    failed: int = 0
    ended: int | None = None
    has_failed: bool = False
    sent: int = 0
    received: int = 0
    preparing: int = 0
    collecting: int = 0


@dataclass
class Failure:
    """Errors that are alike."""

    kind: str
    message: str
    traceback: str
    count: int = 0
    last: int = 0
    tasks: list[int] = field(default_factory=list)


class Process:
    """A process that has a probe."""

    def __init__(self, run: Run, hello: dict[str, Any], at: int) -> None:
        self.run = run
        self.pid = int(hello["pid"])
        self.role = str(hello.get("role", "process"))
        self.name = str(hello.get("name", "")) or f"{self.role} {self.pid}"
        self.begun = at
        self.gone: int | None = None
        self.how = ""
        self.texts: dict[int, str] = {0: ""}
        self.codes: dict[int, tuple[str, str, int]] = {}
        self.stacks: dict[int, list[tuple[int, int]]] = {0: []}
        self.threads: dict[int, Thread] = {}
        self.task: Task | None = None
        self.heat = Heat()
        self.busy = 0  # nanoseconds in which any of its threads that count was seen to work
        self.lost = 0
        self.stacks_told = 0  # how often it has written its whole stack down
        self.figures: tuple[int, ...] = (0,) * told.FIGURES
        self.memory = 0
        self.cpu = 0.0
        self._answers: dict[int, Callable[[Record], None]] = {
            told.SAMPLE: self._sample,
            told.THREAD: self._thread,
            told.LINES: self._lines,
            told.TASK_BEGUN: self._task_begun,
            told.TASK_ENDED: self._task_ended,
            told.CALL_BEGUN: self._call_begun,
            told.CALL_ENDED: self._call_ended,
            told.TASKS_DONE: self._tasks_done,
            told.TASK_FAILED: self._task_failed,
            told.WORKER_ENDED: self._worker_ended,
            told.PROGRESS: self._progress,
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
        elif "error" in message:
            self.run.failed(message, self)
        elif "stacked" in message:
            self.stacks_told += 1
        elif "am" in message:
            self.role = str(message["am"].get("role", self.role))
            self.name = str(message["am"].get("name", "")) or f"{self.role} {self.pid}"
        elif "source" in message:
            self.run.sources.setdefault(str(message["source"]), str(message["is"]))

    def read(self, records: Iterable[Record]) -> None:
        """Records of it, in order."""
        for record in records:
            answer = self._answers.get(record.kind)
            if answer is not None:
                answer(record)

    def places(self, stack: int) -> tuple[Place, ...]:
        """Files and lines of a stack, the innermost first."""
        found = []
        for code, line in self.stacks.get(stack, ()):
            if code in self.codes:
                found.append((self.codes[code][0], line))
        return tuple(found)

    def frames(self, stack: int) -> list[tuple[str, int, str]]:
        """Files, lines and names of a stack, the innermost first."""
        return [(self.codes[code][0], line, self.codes[code][1]) for code, line in self.stacks.get(stack, ()) if code in self.codes]

    def end(self, at: int, how: str = "") -> None:
        """It has gone; ``how``, if that was no regular end. Several may tell."""
        if self.gone is None:
            self.gone, self.task = at, None
        self.how = self.how or how

    # ------------------------------------------------------------ records

    def _sample(self, record: Record) -> None:
        thread = self.threads.get(record.a)
        if thread is None:
            thread = self.threads[record.a] = Thread(self.text(0))
        lasted = max(0, record.at - thread.since) if thread.since else 0
        places = self.places(thread.stack)
        if places and (record.d or record.c * _BUSY_SHARE > lasted):
            self.heat.seen(places, record.at, lasted)
            self.run.heat.seen(places, record.at, lasted)
            self.busy += lasted
        thread.stack, thread.since = record.b, record.at

    def _thread(self, record: Record) -> None:
        if record.c:
            self.threads.pop(record.a, None)
        else:
            self.threads[record.a] = Thread(self.text(record.b))

    def _lines(self, record: Record) -> None:
        file, _, _ = self.codes.get(record.a, ("", "", 0))
        if file:
            for heat in (self.heat, self.run.heat):
                heat.counted((file, record.b), record.c, record.at, error=record.d, bias=record.e)

    def _task_begun(self, record: Record) -> None:
        self.task = Task(record.a, self.text(record.b), self.text(record.c), record.at)

    def _task_ended(self, record: Record) -> None:
        name = self.run.function(self.task.function if self.task else self.text(0))
        self.run.timeline(self.pid).add(record.b, record.at, function=name, flags=FAILED if record.c else 0, first=record.a)
        self.run.note_done(1, record.at)
        self.task = None

    def _call_begun(self, record: Record) -> None:
        total = record.c - 1 if record.c else None
        call = Call(record.a, self.text(record.b), total, record.d, self.text(record.e), record.at)
        self.run.calls[self.pid, record.a] = call

    def _call_ended(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            call.ended, call.has_failed = record.at, bool(record.b)

    def _tasks_done(self, record: Record) -> None:
        first, count = record.b >> 32, record.b & 0xFFFFFFFF
        call = self.run.calls.get((self.pid, record.a))
        function = self.run.function(call.function if call else self.text(0))
        self.run.timeline(record.c).add(record.d, record.d + record.e, count=count, function=function, first=first)
        if call is not None:
            call.done += count
        self.run.note_done(count, record.at)

    def _task_failed(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        function = self.run.function(call.function if call else self.text(0))
        self.run.timeline(record.e).add(record.at, record.at, function=function, flags=FAILED, first=record.b)
        self.run.later.append((self.text(record.d), lambda said: self._note_failure(said, record)))

    def _note_failure(self, said: str, record: Record) -> None:
        kind, _, message = said.partition(": ")
        self.run.failed({"error": kind, "message": message, "task": record.b, "at": record.at}, self)

    def _worker_ended(self, record: Record) -> None:
        process = self.run.processes.get(record.a)
        if process is not None:
            process.end(record.at, ended_by(record.b - _STATUS) if record.b else "")
            if record.c:
                self.run.later.append((self.text(record.c), lambda said: setattr(process, "how", said)))

    def _progress(self, record: Record) -> None:
        call = self.run.calls.get((self.pid, record.a))
        if call is not None:
            call.done, call.failed = max(call.done, record.b >> 32), record.b & 0xFFFFFFFF
            call.sent, call.received = record.c, record.d
            call.preparing, call.collecting = record.e >> 32, record.e & 0xFFFFFFFF

    def _cache(self, record: Record) -> None:
        self.run.later.append((self.text(record.a), lambda name: self.run.note_cached(name, record)))

    def _shared(self, record: Record) -> None:
        self.run.later.append((self.text(record.a), lambda name: self.run.note_shared(name, record)))


class Run:
    """A program, with all processes of it that are watched."""

    def __init__(self, token: str, name: str, begun: int) -> None:
        self.token = token
        self.name = name
        self.begun = begun
        self.ended: int | None = None
        self.state = "running"
        self.how = ""
        self.processes: dict[int, Process] = {}
        self.calls: dict[tuple[int, int], Call] = {}
        self.heat = Heat()
        self.has_program = (
            False  # whether any of its processes is the program, whose end is that of the run; else it is that of the last one
        )
        self.choices: dict[str, Any] = {}  # of who watches it, see manyhands.watch
        self.sources: dict[str, str] = {}  # texts of code that is in no file, by the names of such files
        self.unsaved = ""  # why what was to be kept of it is not
        self.folder = ""  # that the program was started in
        self.timelines: dict[int, Timeline] = {}
        self.errors: dict[tuple[str, str], Failure] = {}
        self.cache: dict[str, list[int]] = {}  # hits, misses, nanoseconds saved
        self.shared: dict[str, list[int]] = {}  # calls, nanoseconds waited
        self.functions: list[Text] = []
        self.later: list[tuple[Text, Callable[[str], None]]] = []  # what is to be noted as soon as its text is known
        self._function_numbers: dict[tuple[int, int], int] = {}
        self._done: deque[tuple[int, int]] = deque()  # when, how many

    def greet(self, hello: dict[str, Any], at: int) -> Process:
        """A process of it has come."""
        if len(self.processes) >= _MOST_PROCESSES:
            self._forget_gone()
        process = self.processes[int(hello["pid"])] = Process(self, hello, at)
        self.folder = str(hello.get("cwd", self.folder))
        return process

    def _forget_gone(self) -> None:
        """Half of those that have gone, the oldest first. A program may fork without end."""
        gone = [pid for pid, process in self.processes.items() if process.gone is not None and process.role != "program"]
        for pid in gone[: (len(gone) + 1) // 2]:
            del self.processes[pid]

    def function(self, name: Text) -> int:
        """The number of a function's name, in timelines."""
        number = self._function_numbers.get(name.key)
        if number is None:
            number = self._function_numbers[name.key] = len(self.functions)
            self.functions.append(name)
        return number

    def catch_up(self) -> None:
        """Note what has waited for its text."""
        waiting, self.later = self.later, []
        for text, note in waiting:
            if text.is_known:
                note(str(text))
            else:
                self.later.append((text, note))

    def note_cached(self, name: str, record: Record) -> None:
        """A cached function was called."""
        counts = self.cache.setdefault(name, [0, 0, 0])
        counts[0 if record.b else 1] += 1
        counts[2] += record.c if record.b else 0

    def note_shared(self, name: str, record: Record) -> None:
        """A shared object was used."""
        counts = self.shared.setdefault(name, [0, 0])
        counts[0] += record.b
        counts[1] += record.c

    def timeline(self, pid: int) -> Timeline:
        """Of a worker."""
        found = self.timelines.get(pid)
        if found is None:
            found = self.timelines[pid] = Timeline()
        return found

    def tasks_of(self, pid: int) -> int:
        """How many tasks a worker has ended."""
        return self.timelines[pid].count if pid in self.timelines else 0

    def note_done(self, count: int, at: int) -> None:
        """Tasks have ended."""
        self._done.append((at, count))
        while self._done and self._done[0][0] < at - _RATE_OVER:
            self._done.popleft()

    def rate(self, now: int) -> float:
        """Tasks a second, lately."""
        recent = [(at, count) for at, count in self._done if at >= now - _RATE_OVER]
        if not recent:
            return 0.0
        return sum(count for _, count in recent) / max(0.2, (now - max(self.begun, now - _RATE_OVER)) / NS)

    def failed(self, message: dict[str, Any], process: Process) -> None:
        """An error of a task, or of a process."""
        key = str(message["error"]), str(message.get("message", ""))[:200]
        failure = self.errors.get(key)
        if failure is None:
            if len(self.errors) >= _MOST_ERRORS:
                return
            failure = self.errors[key] = Failure(*key, str(message.get("traceback", "")))
        failure.count += 1
        failure.last = int(message.get("at", process.run.begun))
        if "task" in message and len(failure.tasks) < 20:
            failure.tasks.append(int(message["task"]))

    def resume(self) -> None:
        """Another process of it has come, when all seemed to have gone."""
        self.ended, self.state, self.how = None, "running", ""

    def end(self, at: int, state: str, how: str) -> None:
        """The program has gone."""
        if self.ended is None:
            self.ended, self.state, self.how = at, state, how
