"""What a worker has been sent: how much it is, what has ended, what is taken back."""

from __future__ import annotations

from manyhands._core.tasks import Batch, Run, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 64
# Work sent ahead to one worker. Long enough to hide any delay of the parent, short enough to be waited for.
HORIZON = 20_000_000
# What a task is taken to cost before one has been seen: so much that none waits behind it.
UNKNOWN_COST = HORIZON


def load_of(batch: Batch, count: int) -> int:
    """Nanoseconds that ``count`` tasks of ``batch`` are believed to take."""
    cost = batch.cost.ns
    return UNKNOWN_COST if cost is None else cost * count


def has_room(worker: Worker, load: int) -> bool:
    """Whether a batch that takes ``load`` nanoseconds may be sent behind what is there."""
    return worker.load + load <= HORIZON and len(worker.window) < WINDOW


def append(worker: Worker, batch: Batch) -> Run:
    """A batch is sent."""
    run = Run(batch, worker.next_ordinal, load_of(batch, len(batch.items)))
    worker.next_ordinal += run.count
    worker.window.append(run)
    worker.load += run.load
    batch.worker = worker.number
    running = batch.call.running
    running[worker.number] = running.get(worker.number, 0) + 1
    return run


def settle(worker: Worker, run: Run) -> bool:
    """Some tasks of ``run``, the first, have ended or left it; whether nothing is left of it, and it is gone."""
    if run.done == run.count:
        worker.window.popleft()
        _leave(worker, run)
        return True
    _lighten(worker, run)
    return False


def take_back(worker: Worker, started: int) -> list[Batch]:
    """All tasks above ordinal ``started``, the last ones first."""
    back: list[Batch] = []
    while worker.window:
        run = worker.window[-1]
        keep = max(run.done, min(run.count, started - run.ordinal + 1))
        if keep < run.count:
            back.append(run.batch.cut(keep, run.count))
            run.count = keep
        if run.done < run.count:
            _lighten(worker, run)
            break
        worker.window.pop()
        _leave(worker, run)
    return back


def extract(worker: Worker, ordinal: int) -> Batch | None:
    """Cut one task out of a window that will not go on; None if it is not in it."""
    for position, run in enumerate(worker.window):
        offset = ordinal - run.ordinal
        if not run.done <= offset < run.count:
            continue
        call = run.batch.call
        call.outstanding -= 1
        culprit = run.batch.cut(offset, offset + 1)
        rest = Run(run.batch, run.ordinal, 0)
        rest.done, rest.count = offset + 1, run.count
        run.count = offset
        worker.window.insert(position + 1, rest)
        call.running[worker.number] += 1
        return culprit
    return None


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """A batch in ``parts`` about equal ones."""
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


def _lighten(worker: Worker, run: Run) -> None:
    left = load_of(run.batch, run.count - run.done)
    worker.load += left - run.load
    run.load = left


def _leave(worker: Worker, run: Run) -> None:
    worker.load -= run.load
    running = run.batch.call.running
    left = running[worker.number] - 1
    if left:
        running[worker.number] = left
    else:
        del running[worker.number]
