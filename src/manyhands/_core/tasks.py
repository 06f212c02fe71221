"""Batches, calls and workers as the scheduler sees them."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NS = 1_000_000_000
_NEVER = 2**62  # no index is as high
# In the place of a worker's number: a batch that is ready or delayed.
WAITING = 0


class Call:
    """One ``map``, one ``Parallel``, or the submissions of one executor: tasks that share a policy.

    ``number`` tells calls apart; ``limit`` is how many workers may work on it together; of calls with tasks ready, those of the
    highest ``priority`` go first, in turn. ``timeout`` is nanoseconds for each task, 0 for no limit. Tasks from index ``end`` on do not
    start any more.
    """

    __slots__ = ("cancelled", "end", "limit", "listed", "number", "outstanding", "priority", "ready", "running", "timeout")

    def __init__(self, number: int, *, limit: int, priority: int = 0, timeout: int = 0) -> None:
        self.number: int = number
        self.limit: int = limit
        self.priority: int = priority
        self.timeout: int = timeout
        self.ready: deque[Batch] = deque()
        self.running: dict[int, int] = {}  # worker: how many batches it holds
        self.outstanding: int = 0  # tasks submitted that have not ended
        self.cancelled: bool = False
        self.end: int = _NEVER
        self.listed: bool = False  # among the calls that have batches ready

    def forget_tasks(self) -> None:
        """No scheduler knows any task of it any more."""
        self.ready.clear()
        self.running.clear()
        self.outstanding = 0
        self.listed = False

    def __repr__(self) -> str:
        return f"<Call {self.number}: {self.outstanding} outstanding>"


class Cost:
    """What a task of one function is believed to take: ``ns`` nanoseconds; None while nobody knows."""

    __slots__ = ("ns",)

    def __init__(self, ns: int | None = None) -> None:
        self.ns: int | None = ns


class Batch:
    """Consecutive tasks of one call, sent in one message.

    ``first`` is the index of the first of them in the call; ``items`` is opaque here but for its length and slices. ``attempt``
    counts from 1. ``tag`` and ``form`` belong to whoever submitted it.
    """

    __slots__ = ("attempt", "call", "cancelled", "cost", "deaths", "first", "form", "items", "tag", "worker")

    def __init__(
        self,
        call: Call,
        first: int,
        items: Sequence[object],
        cost: Cost,
        form: object = None,
        tag: object = None,
        attempt: int = 1,
    ) -> None:
        self.call: Call = call
        self.first: int = first
        self.items: Sequence[object] = items
        self.cost: Cost = cost
        self.form: object = form
        self.tag: object = tag
        self.attempt: int = attempt
        self.worker: int | None = None  # where it is or was last: a worker's number; 0: it waits; None: nowhere yet
        self.cancelled: bool = False
        self.deaths: int = 0  # workers that died with it unread

    def cut(self, start: int, stop: int | None = None) -> Batch:
        """A batch of some of these tasks; of all of them, this very one."""
        if start == 0 and (stop is None or stop >= len(self.items)):
            return self
        items = self.items[start:stop]
        return Batch(self.call, self.first + start, items, self.cost, self.form, self.tag, self.attempt)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<Batch {self.call.number}[{self.first}:{self.first + len(self.items)}] attempt {self.attempt}>"


class Run:
    """A batch in a worker's window.

    Its tasks bear the worker's ordinals from ``ordinal`` on. The first ``done`` of them have been reported; those
    from ``count`` on have been taken back.
    """

    __slots__ = ("batch", "count", "done", "load", "ordinal")

    def __init__(self, batch: Batch, ordinal: int, load: int) -> None:
        self.batch = batch
        self.ordinal = ordinal
        self.load = load
        self.count = len(batch.items)
        self.done = 0


class Worker:
    """A worker's window and what is known of it.

    ``window`` holds the runs it has been sent, the first of which it works on. ``epoch`` grows each time tasks are taken back.
    ``quota`` is how many more tasks it may be sent; None: no limit. ``retiring`` workers get nothing new. ``doom`` is the task for
    which the worker is being killed, and why. A ``lost`` one has not started what it was sent, which was taken back: it gets nothing
    new until it is heard of. A ``suspect`` has been silent for too long. One that is ``paused``, since some time, stands still and gets
    nothing new: what it has not started was taken back. ``rested`` is a task, and how many nanoseconds were none of its time.
    """

    __slots__ = (
        "check_at",
        "doom",
        "epoch",
        "load",
        "lost",
        "news",
        "next_ordinal",
        "number",
        "paused",
        "quota",
        "rested",
        "retiring",
        "started",
        "suspect",
        "window",
    )

    def __init__(self, number: int, now: int, quota: int | None) -> None:
        self.number = number
        self.window: deque[Run] = deque()
        self.next_ordinal = 1
        self.epoch = 0
        self.load = 0  # nanoseconds of work in the window, as far as is known
        self.quota = quota
        self.retiring = False
        self.lost = False
        self.suspect = False
        self.paused = 0  # since when; 0: it is not
        self.rested = (0, 0)
        self.started = 0  # the last task that it had started when tasks were taken back last
        self.doom: tuple[int, str] | None = None
        self.news = now  # when it was last heard of, or got work after having none
        self.check_at = 0  # when to look whether its task is overdue; 0: not at all

    def rest_of(self, ordinal: int) -> int:
        """How many nanoseconds of the time of a task it has been paused."""
        return self.rested[1] if self.rested[0] == ordinal else 0

    def batch_of(self, ordinal: int) -> Batch | None:
        """The batch to which a task belongs that it holds and has not reported; None if there is no such task."""
        for run in self.window:
            if run.done <= ordinal - run.ordinal < run.count:
                return run.batch
        return None

    def current(self) -> int:
        """The task that it works on, as far as is known; only for one that holds some."""
        first = self.window[0]
        return max(self.started, first.ordinal + first.done)

    def last(self) -> int:
        """The last task that it holds; only for one that holds some."""
        run = self.window[-1]
        return run.ordinal + run.count - 1

    def unstarted(self) -> int:
        """About how many tasks it holds that it has not started, as far as is known; 0 only if there are none."""
        return max(0, self.last() - self.current()) if self.window else 0

    def __repr__(self) -> str:
        return f"<Worker {self.number}: {len(self.window)} batches, epoch {self.epoch}>"
