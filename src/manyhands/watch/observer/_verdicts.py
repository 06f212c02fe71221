"""What is wrong with a run, in words, with one number and one remedy. Pure.

Each rule looks at one thing and gives what it has found, or None; the first that finds something speaks. They are in the order of what
would help most. The thresholds are guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from manyhands._core.verdict import duration, size
from manyhands.watch.observer._places import places

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.watch.observer._calls import Call
    from manyhands.watch.observer._model import Run
    from manyhands.watch.observer._places import Place
    from manyhands.watch.observer._process import Process

NS = 1_000_000_000
_SOON = 1.0  # seconds, before anything is said
_IDLE = 0.2  # share of the workers' time
_MUCH = 0.25  # share of the time
_GOOD = 0.85
_WAITS = 0.5  # of the time of tasks
_TINY = 200e-6  # seconds that a task takes
_LONG = 3.0  # times what others take
_GROWN = 1.5  # times what it was
_GREW = 200e6  # bytes
_GROWING_FOR = 10.0  # seconds


class Verdict(NamedTuple):
    """``kind``: a word for machines; ``text``: what is, with a number; ``remedy``: what to do about it, or nothing."""

    kind: str
    text: str
    remedy: str


@dataclass
class Case:
    """One call, as it stands; times are seconds, shares are between 0 and 1.

    Attributes:
        lasted: since workers could begin.
        idle: share of the time of the workers that there were.
        parent: processors that the program itself uses.
        waiting: tasks that nobody has begun, as far as is known.
        at_work: how long each worker has been at its task.
        places: of workers, and of those that have followed them.
        width: how many workers there are at a time.
    """

    run: Run
    call: Call
    now: int
    lasted: float
    idle: float
    parent: float
    waiting: int | None
    at_work: list[float]
    places: list[Place]
    width: int

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.call.ended is not None

    @property
    def whole(self) -> float:
        """Seconds since it began."""
        return max(1e-9, (self.now - self.call.begun) / NS)

    @property
    def be(self) -> str:
        """Of workers."""
        return "were" if self.is_over else "are"

    @property
    def takes(self) -> str:
        """Of what takes time."""
        return "took" if self.is_over else "takes"

    def share(self, milliseconds: int) -> float:
        """Of the time since it began."""
        return min(1.0, milliseconds / 1000 / self.whole)


def verdict(run: Run, now: int) -> dict[str, str] | None:
    """Of the call that is under way, or of the longest, when all have ended; None: it is too soon, or there is none."""
    found = find(run, now)
    return None if found is None else found._asdict()


def find(run: Run, now: int) -> Verdict | None:
    """The same."""
    first = _paused(run) or _growing(run, now)
    if first is not None:
        return first
    known = [call for call in (*run.calls.values(), run.loose) if call.workers]
    under_way = [call for call in known if call.ended is None]
    calls = under_way or sorted(known, key=lambda call: (call.ended or now) - call.begun)
    if not calls:
        return None
    case = _case(run, calls[-1], now)
    if case.lasted < _SOON and not (case.is_over and case.call.done):
        return None
    return next((found for rule in _RULES if (found := rule(case)) is not None), None)


def _case(run: Run, call: Call, now: int) -> Case:
    now = now if call.ended is None else call.ended
    begun = min(now, max(call.begun, call.first_start)) if call.first_start <= now else call.begun
    lasted = max(1e-9, (now - begun) / NS)
    tasks = run.at_work(call) if call.ended is None else {}
    at_work = [run.worked(worker, max(task.since, begun), now) / NS for worker, task in tasks.items()]
    known = places(run, call, now)
    width = max(1, len(known), 0 if call.ended is not None else min(call.workers, call.submitted or call.workers))
    there = (run.lived(now) / NS if call is run.loose else width * lasted) - run.paused(call, now) / NS
    busy = min(1.0, (call.busy / NS + sum(at_work)) / max(1e-9, there))
    program = next((process for process in run.processes.values() if process.role == "program"), None)
    waiting = None if call.total is None else max(0, call.total - call.done - len(tasks))
    return Case(run, call, now, lasted, 1 - busy, program.cpu if program is not None else 0.0, waiting, at_work, known, width)


# ---------------------------------------------------------------- rules


def _paused(run: Run) -> Verdict | None:
    """Workers that somebody has paused, and that hold a task: nothing else tells why a call does not end."""
    paused = [process.name for process in run.processes.values() if process.is_paused and process.gone is None]
    holding = [process for process in run.processes.values() if process.is_paused and process.gone is None and process.pid in run.running]
    if not holding or run.ended is not None:
        return None
    if len(paused) == 1:
        text = f"{paused[0]} is paused in the midst of a task"
    else:
        text = f"{len(paused)} workers are paused, {'all' if len(holding) == len(paused) else len(holding)} in the midst of a task"
    return Verdict("paused", text, "resume, or the call does not end")


def _growing(run: Run, now: int) -> Verdict | None:
    """The memory of a worker."""
    worst: tuple[float, Process] | None = None
    for process in run.processes.values():
        if process.role == "program" or not process.uses.memory or not (process.gone is None or _stayed(process, run)):
            continue
        memory = process.uses.memory
        half, first, last = memory[len(memory) // 2], memory[min(5, len(memory) - 1)], memory[-1]
        is_long = last[0] - first[0] > _GROWING_FOR * NS
        if is_long and last[1] > _GROWN * first[1] and last[1] - first[1] > _GREW and last[1] - half[1] > (last[1] - first[1]) / 4:
            rate = (last[1] - first[1]) / ((last[0] - first[0]) / NS)
            worst = max(worst or (0.0, process), (rate, process), key=lambda item: item[0])
    if worst is None:
        return None
    rate, process = worst
    grows, when = ("grows", "by now") if run.ended is None else ("grew", "in the end")
    text = f"the memory of {process.name} {grows} by {size(round(rate))} a second, to {size(process.uses.memory[-1][1])} {when}"
    return Verdict("memory", text, "see what tasks keep (caches, globals), or replace workers: max_tasks_per_child=")


def _stayed(process: Process, run: Run) -> bool:
    """Whether it was there until its program ended, about."""
    return run.ended is not None and process.gone is not None and process.gone > run.ended - NS


def _failing(case: Case) -> Verdict | None:
    failed, done = case.call.failed, case.call.done
    if done < 4 or failed < done / 2 or not case.run.errors:
        return None
    most = max(case.run.errors.values(), key=lambda failure: (failure.count, failure.attempts))
    return Verdict("failing", f"{failed:,} of {done:,} tasks have failed, most with {most.kind}", "see the errors")


def _oversubscribed(case: Case) -> Verdict | None:
    """More threads than processors."""
    workers = [process for process in case.run.processes.values() if process.role not in {"program", "keeper"} and process.gone is None]
    threads = sum(process.at_work for process in workers)
    crowded = [process for process in workers if process.at_work > 1]
    processors = case.run.processors
    if case.is_over or not crowded or threads <= 1.5 * processors:
        return None
    share = max(1, processors // max(1, len(workers)))
    text = f"{threads} threads of {len(workers)} workers compete for {processors} processors"
    return Verdict("oversubscribed", text, f"give numeric libraries {share} thread{'s' * (share > 1)} a worker (OMP_NUM_THREADS={share})")


def _crowded(case: Case) -> Verdict | None:
    """More workers than processors, and all of them compute."""
    width, processors = case.width, case.run.processors
    computing = sum(process.cpu for process in case.run.processes.values() if process.gone is None)
    if case.is_over or width <= processors or computing < _GOOD * processors:
        return None
    return Verdict(
        "crowded", f"{width} workers share {processors} processors", f"workers={processors} would be as fast, and take less memory"
    )


def _tiny(case: Case) -> Verdict | None:
    """Tasks that are not worth a message."""
    call = case.call
    if not call.spread.tasks or call.spread.mean / NS >= _TINY or case.idle < _IDLE:
        return None
    text = f"tasks take {duration(call.spread.mean / NS)}, and workers are idle {case.idle:.0%} of the time"
    if call.is_fixed:
        return Verdict("tiny", text, f'send more of them together than {call.chunk}, or chunk="auto"')
    return Verdict("tiny", text, "do more in each task")


def _starting(case: Case) -> Verdict | None:
    call = case.call
    if call.first_start > case.now:
        return None
    until = max(0.0, (call.first_start - call.begun) / NS - call.preparing / 1000)
    whole = (case.now - call.begun) / NS
    if until < _MUCH * whole or until < 0.1 or not case.is_over:
        return None
    what = "workers were started" if call.hired else "a worker was free and had loaded the function"
    return Verdict(
        "starting", f"{duration(until)} of {duration(whole)} went by until {what}", "workers stay warm: the next call is quicker"
    )


def _parent(case: Case) -> Verdict | None:
    """Workers wait for the program."""
    call = case.call
    if case.idle < _IDLE or (case.waiting == 0 and not case.is_over):
        return None
    # That of a call which reads its inputs just now is noted when it has read them.
    preparing = max(call.preparing, call.reading // 1_000_000)
    shares = {"preparing": case.share(preparing), "collecting": case.share(call.collecting), "away": case.share(call.away)}
    what, share = max(shares.items(), key=lambda item: item[1])
    if share < _MUCH:
        return None
    idle = f"workers {case.be} idle {case.idle:.0%}"
    if what == "away":
        does = "did" if case.is_over else "does"
        text = f"{idle}: the program {does} other things for {share:.0%} of the time"
        return Verdict("parent", text, "take results without doing much with each")
    if what == "collecting":
        text = f"{idle}: reading results {case.takes} the program {share:.0%} of its time"
        return Verdict("pickling", text, "return less, or arrays, which are not copied")
    if call.reading / NS > share * case.whole / 2:
        return Verdict("inputs", f"{idle}: making the inputs {case.takes} the program {share:.0%} of its time", "make them in the tasks")
    moved = f", {size(call.sent)} so far" if call.sent > 1e6 and not case.is_over else ""
    bottleneck = f"the parent {'was' if case.is_over else 'is'} the bottleneck"
    text = f"{idle}: {bottleneck}, reading and pickling inputs {case.takes} {share:.0%} of its time{moved}"
    if call.sent > 10_000 * max(1, call.done):
        return Verdict("pickling", text, "send less with each task, or share() what many of them need")
    if call.total is None:  # a generator: it may take most of that
        return Verdict("parent", text, "have the tasks make or read their inputs themselves, or share()")
    return Verdict("parent", text, "use larger chunks or share()")


def _straggling(case: Case) -> Verdict | None:
    """The end waits for few tasks."""
    call, usual = case.call, case.call.usual / NS
    if case.is_over:
        slowest = call.slowest[0] / NS
        if slowest > _MUCH * case.lasted and case.idle > _IDLE and slowest > _LONG * usual and call.spread.tasks > 2:
            text = f"task {call.slowest[1]} alone took {duration(slowest)} of {duration(case.lasted)}, others {duration(usual)} each"
            return Verdict("straggler", text, "start the long ones first, or divide them")
        return None
    if case.waiting != 0 or not case.at_work or not call.spread.tasks or len(case.at_work) >= max(2, case.width):
        return None
    longest = max(case.at_work)
    if longest < _LONG * usual or longest < _SOON:
        return None
    last = len(case.at_work)
    waiting = f"{case.width - last} of {case.width} workers wait for the last {'task' if last == 1 else f'{last} tasks'}"
    text = f"{waiting}: {'it' if last == 1 else 'one'} has run {duration(longest)}, others took {duration(usual)} each"
    return Verdict("straggler", text, "start the long ones first, or divide them")


def _uneven(case: Case) -> Verdict | None:
    """Some workers had more to do."""
    call, many = case.call, len(case.places)
    if not case.is_over or many < 2 or case.idle < _IDLE:
        return None
    work, shares = [place.work / NS for place in case.places], [place.work / max(1, place.lived) for place in case.places]
    longest, others = max(work), (sum(work) - max(work)) / (many - 1)
    if longest < (1 + _MUCH) * sum(work) / many or max(shares) < (1 + _MUCH) * sum(shares) / many:
        return None
    each = " each" if many > 2 else ""
    text = f"the busiest worker worked {duration(longest)}, the other{'s' * (many > 2)} {duration(others)}{each}"
    return Verdict("imbalance", text, "use more and smaller tasks" + (", in smaller chunks" if call.is_fixed and call.chunk > 1 else ""))


def _few(case: Case) -> Verdict | None:
    call = case.call
    if call.total is None or not 0 < call.total < call.workers:
        return None
    return Verdict("few", f"there are only {call.total} tasks for {call.workers} workers", "divide the work into more tasks")


def _waiting(case: Case) -> Verdict | None:
    """Idle, and none of the above."""
    if case.idle < _IDLE or case.waiting == 0:
        return None
    if case.parent > _GOOD:
        text = f"workers {case.be} idle {case.idle:.0%}: the parent is the bottleneck, it uses a whole processor"
        return Verdict("parent", text, "use larger chunks or share()")
    has_all = case.call.total is not None and case.call.submitted >= case.call.total
    wait, taken = ("waited", "were taken") if case.is_over else ("wait", "are taken")
    what = "their next tasks" if has_all else "inputs"
    return Verdict("waiting", f"workers {case.be} idle {case.idle:.0%}: they {wait} for {what}, or until results {taken}", "")


def _replaced(case: Case) -> Verdict | None:
    """Places are vacant, since workers end."""
    vacant, count = sum(place.vacant for place in case.places) / NS, sum(place.replaced for place in case.places)
    if not count or case.idle < _IDLE or vacant < case.idle * case.width * case.lasted / 2:
        return None
    ended = f"{count} {'have' if count > 1 else 'has'} ended, and it took {duration(vacant / count)} until another was there"
    text = f"workers {case.be} idle {case.idle:.0%}: {ended}"
    return Verdict("replacing", text, "let each do more tasks: a larger max_tasks_per_child=")


def _blocked(case: Case) -> Verdict | None:
    """Tasks take time, but no processor."""
    workers = [process for place in case.places if (process := case.run.process_of(place.last)) is not None]
    begun = case.now - round(case.lasted * NS)
    looked = {process.pid: process.uses.processors(begun, case.now) for process in workers}
    known = {pid: (used, queued) for pid, (used, queued, covered) in looked.items() if covered >= _SOON * NS}
    used, queued = (sum(each) for each in zip(*known.values(), strict=True)) if known else (0.0, 0.0)
    at_work = (1 - case.idle) * sum(process.pid in known for process in workers)
    if case.idle >= _IDLE or not at_work or used > (1 - _WAITS) * at_work:
        return None
    waited = f"tasks {'waited' if case.is_over else 'wait'} for {1 - used / at_work:.0%} of their time"
    using = f"workers {'used' if case.is_over else 'use'} {used:.1f} of {case.run.processors} processors"
    if queued > (at_work - used) / 2:
        return Verdict("blocked", f"{waited}, mostly for a processor: {using}", "see what else runs on this machine")
    remedy = "if that is for input or output, more workers help (workers=); if for locks, they do not"
    return Verdict("blocked", f"{waited}: {using}", remedy)


def _well(case: Case) -> Verdict | None:
    if not case.call.work:
        return None
    busy = f"workers {case.be} busy {1 - case.idle:.0%}"
    if case.idle < _IDLE:
        return Verdict("good", f"well used: {busy}", "")
    return Verdict("waiting", f"{busy}, as there is nothing more to do" if case.waiting == 0 and not case.is_over else busy, "")


_RULES: tuple[Callable[[Case], Verdict | None], ...] = (
    _failing,
    _oversubscribed,
    _tiny,
    _parent,
    _straggling,
    _few,
    _uneven,
    _starting,
    _crowded,
    _replaced,
    _waiting,
    _blocked,
    _well,
)
