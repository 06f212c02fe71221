"""What came of tasks, on its way to those who wait for it: results, failures, deaths, cancellations.

Events of a turn are noted first and handed out when the turn is over: handing out runs the user's code (callbacks, ``__setstate__``),
which may use the pool.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures
from manyhands._core import events, scheduler
from manyhands._core.policy import add_note, attempt_line
from manyhands._core.tasks import NS, Batch, Cost
from manyhands._engine import _calls
from manyhands._engine._interrupts import is_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands._engine._calls import PoolCall, Ran, Sink
    from manyhands._engine._crew import Crew
    from manyhands._engine._supervisor import Peer
    from manyhands._wire._frames import Frame


class Outcomes:
    """See the module.

    ``crew`` has run the tasks. ``again(batch, not_before)`` has one run once more. ``observers`` are told of failures.
    """

    def __init__(self, crew: Crew, again: Callable[[Batch, int], None], observers: list[Callable[[events.Event], None]]) -> None:
        self.memory_limit: int | None = None  # of the workers: for messages
        self.on_lost_worker: Callable[[BaseException], object] | None = None
        self.muted = False  # nobody is left to take results: the program ends
        self.ending = False  # no task is run again
        self._crew = crew
        self._again = again
        self._observers = observers
        # A batch and (the first task that has a result, its frame, the worker), or (0, None, what tells of the one task).
        # Plain tuples: many may lie here, and the garbage collector visits each object.
        self._noted: deque[tuple[Batch, int, Frame, int] | tuple[Batch, int, None, Callable[[], object]]] = deque()
        self._put_off: deque[Callable[[], object]] = deque()  # the same, until ``hand_out`` is not within itself
        self._depth = 0  # of ``hand_out``

    def __bool__(self) -> bool:
        """Whether there is anything that can be handed out."""
        return bool(self._noted or (self._put_off and not self._depth))

    # ------------------------------------------------------------ noted

    def results(self, batch: Batch, offset: int, frame: Frame, pid: int) -> None:
        """Tasks of ``batch`` from ``offset`` on have returned."""
        sink = batch.call.sink  # type: ignore[attr-defined]
        if batch.attempt > 1:
            self._history(batch)
        if not sink.take(batch, offset, frame, pid):
            self._noted.append((batch, offset, frame, pid))

    def raised(self, piece: Batch, frame: Frame, pid: int) -> None:
        """A task has raised an exception."""
        self._note(piece, partial(self._deliver_exception, piece, frame, pid))

    def died(self, piece: Batch, reason: str, peer: Peer, status: int | None) -> None:
        """A task has ended with its worker."""
        _, start = peer.slot.started_at()
        ran = (peer.pid, start, time.monotonic_ns() - start)
        self._note(piece, partial(self._deliver_death, piece, reason, peer, status, peer.stack(), ran))

    def lost_worker(self, peer: Peer, status: int | None) -> None:
        """A worker has ended that nobody had told to, and no task with it."""
        if self.on_lost_worker is not None:
            self.asked(partial(self.on_lost_worker, peer.obituary("while it ran no task", status)))

    def failed(self, pieces: Iterable[Batch], make: Callable[[str], BaseException]) -> None:
        """Tasks that nobody can run: ``make`` gives the error of a task from its description."""
        for piece in pieces:
            self._note(piece, partial(self._fail, piece, make))

    def cancelled(self, pieces: Iterable[Batch]) -> None:
        """Tasks that will not run."""
        for piece in pieces:
            self._history(piece)
            self._note(piece, partial(_sink(piece).cancelled, piece))

    def lost(self, call: PoolCall, error: BaseException) -> None:
        """Nothing more will come of what has been submitted of a call."""
        self._noted.append((Batch(call, 0, (), Cost()), 0, None, partial(call.sink.lost, error)))

    def asked(self, answer: Callable[[], object]) -> None:
        """A worker has asked for something, which takes the user's code to answer."""
        self._noted.append((_NOBODYS, 0, None, answer))

    def _note(self, piece: Batch, deliver: Callable[[], object]) -> None:
        self._noted.append((piece, 0, None, deliver))

    # ------------------------------------------------------------ handed out

    def hand_out(self) -> None:
        """Give everybody what has come for him."""
        if self.muted:
            self._noted.clear()
        self._depth += 1
        try:
            self._deliver_noted()
            while self._put_off and self._depth == 1:
                call_back = self._put_off.popleft()
                try:
                    call_back()
                except BaseException:  # Ctrl-C: those that are left are called another time
                    self._put_off.appendleft(call_back)
                    raise
                self._deliver_noted()
        finally:
            self._depth -= 1

    def puts_off(self, call_back: Callable[[], object]) -> bool:
        """Have callbacks called when those that run now have returned, if any do; for the driver.

        One that waits drives the pool itself; if others were called meanwhile, and waited, there would be no end to the stack.
        """
        if self._depth < 2:
            return False
        self._put_off.append(call_back)
        return True

    def _deliver_noted(self) -> None:
        noted = self._noted
        while noted:
            outcome = noted.popleft()
            batch, first, frame, deliver = outcome
            try:
                if frame is None:
                    deliver()  # type: ignore[operator]
                else:
                    _sink(batch).deliver(batch, first, frame, deliver)  # type: ignore[arg-type] # the worker
            except BaseException as error:  # the user's code, in the end; a task that cannot be delivered has failed
                if is_interrupt(error):
                    noted.appendleft(outcome)  # nothing that was computed is lost
                    raise
                _undeliverable(batch, first, len(batch) if frame is None else frame.count, error)

    def _deliver_exception(self, piece: Batch, frame: Frame, pid: int) -> None:
        error = _failures.decode_failure(frame.payload)
        if isinstance(error, errors.NotSerializable):
            from manyhands._codec import _renaming  # noqa: PLC0415 - rare

            error = _renaming.of_result(error, piece.first)
        note = f"raised by {_calls.describe(piece)} in worker {pid}"
        if self.memory_limit and isinstance(error, MemoryError):
            limit = f"memory_limit is {self.memory_limit / 2**20:.3g} MiB"
            note += f", whose {limit}; the worker has been replaced"
            if not error.args:  # or its text would be empty
                error.args = (f"{limit}, and the task needed more",)
        add_note(error, note)
        self._finish(piece, error, (pid, frame.a, frame.b))

    def _deliver_death(self, piece: Batch, reason: str, peer: Peer, status: int | None, stack: str, ran: Ran) -> None:
        task = _calls.describe(piece)
        if reason == scheduler.TIMEOUT:
            seconds = piece.call.timeout / NS
            self._finish(piece, errors.TaskTimeout(task, seconds=seconds, pid=peer.pid, stack=stack), ran)
        elif reason == scheduler.CANCELLED:
            _sink(piece).cancelled(piece)
        elif reason == scheduler.ENDED:
            piece.cancelled = True  # it is not to run again, whatever retries there are
            self._finish(piece, errors.TaskCancelled(task, pid=peer.pid, stack=stack), ran)
        else:
            self._finish(piece, peer.obituary(f"while it ran {task}", status, stack), ran)

    def _fail(self, piece: Batch, make: Callable[[str], BaseException]) -> None:
        self._finish(piece, make(_calls.describe(piece)), None)

    def _finish(self, piece: Batch, error: BaseException, ran: Ran | None) -> None:
        """A task has failed: again, or for good."""
        call: PoolCall = piece.call  # type: ignore[assignment]
        again = call.policy.repeats(error, piece.attempt) and not (piece.first >= call.end or piece.cancelled or self.ending)
        at = time.monotonic_ns()
        history = [] if again else self._history(piece)
        for earlier in history:
            add_note(error, f"earlier {earlier}")
        if not again and not (self.ending and isinstance(error, errors.WorkerDied)):  # which the program has ended
            _calls.save_failure(piece, error, ran, earlier=history, initializer=self._crew.initializer)
        for observe in self._observers:  # after that: they are told where it has been saved
            name = piece.form.function.name  # type: ignore[attr-defined]
            describe = partial(_calls.describe, piece)
            observe(events.TaskFailed(call.number, name, piece.first, piece.attempt, error, again, ran, at, describe))
        if again:
            call.history.setdefault(piece.first, []).append(attempt_line(piece.attempt, error))
            delay = call.policy.delay(piece.attempt)
            piece.attempt += 1
            self._again(piece, time.monotonic_ns() + delay if delay else 0)
            return
        call.sink.failed(piece, error, ran)

    def _history(self, piece: Batch) -> list[str]:
        """The failed attempts of a task that has ended; forgotten with that."""
        return piece.call.history.pop(piece.first, [])  # type: ignore[attr-defined, no-any-return]


_NOBODYS = Batch(None, 0, (), Cost())  # type: ignore[arg-type] # of no call


def _sink(piece: Batch) -> Sink:
    return piece.call.sink  # type: ignore[attr-defined, no-any-return]


def _undeliverable(batch: Batch, first: int, count: int, error: BaseException) -> None:
    for index in range(first, first + count):
        piece = batch.cut(index, index + 1)
        what = f"what came of task {piece.first} could not be delivered: {type(error).__name__}"
        internal = errors.InternalError(what)
        internal.__cause__ = error
        _sink(piece).failed(piece, internal, None)
