"""The event loop of one pool: moves tasks to workers and what came of them back.

Everything here is done by the driver (see ``_driving``): one thread at a time, so there are no locks. Other threads leave
batches and commands in the inbox, and interrupt the driver if it sleeps.
"""

from __future__ import annotations

import marshal
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures
from manyhands._core import events, scheduler
from manyhands._core.living import Living
from manyhands._core.overdue import HELD
from manyhands._core.scheduler import Scheduler
from manyhands._core.slowest import LEAST
from manyhands._core.tasks import NS
from manyhands._engine import _parcels
from manyhands._engine._controlling import Controlling
from manyhands._engine._crew import Crew
from manyhands._engine._driving import Driving
from manyhands._engine._outcomes import Outcomes
from manyhands._engine._staffing import Staffing
from manyhands._engine._supervisor import STACK_NS
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from manyhands._core.tasks import Batch, Run, Worker
    from manyhands._engine._calls import Form, PoolCall
    from manyhands._engine._launch import Launcher
    from manyhands._engine._settings import Settings
    from manyhands._engine._supervisor import Peer
    from manyhands._wire._frames import Frame


class Dispatcher:
    """See the module.

    ``settings()`` gives what a new worker has to know; ``observers`` are told what happens.
    """

    def __init__(self, launcher: Launcher, settings: Callable[[], Settings], *, quota: int | None) -> None:
        self.scheduler = Scheduler(quota=quota)
        self.crew = Crew(launcher, settings)
        self.peers: dict[int, Peer] = self.crew.peers
        self.observers: list[Callable[[events.Event], None]] = []
        self.outcomes = Outcomes(self.crew, self._again, self.observers)
        self.staffing = Staffing(self.scheduler, self.crew, self.outcomes, self.observers, self._hear, self._fail_ready)
        self.controlling = Controlling(self)
        self.calls: Living[PoolCall] = Living()  # that somebody may still wait for
        self.limit: int | None = None  # of workers, as the user wants it
        self.ended = False
        self.hungry = True  # whether a task that is posted now could be sent at once
        self.inside = False  # the pool's state is being changed
        self.interrupt: Callable[[], None] = self.crew.interrupt
        self.driving = Driving(self._turn, self.busy, lambda: bool(self.outcomes), self.watching, self.interrupt)
        self.farewells: list[Frame] = []  # of workers that have left
        self._ending = False  # nothing is to be started any more
        self._posted: deque[Batch] = deque()
        self._commands: deque[Callable[[], object]] = deque()

    # ------------------------------------------------------------ from any thread

    def post(self, batch: Batch) -> None:
        """New tasks. They are taken up at the driver's next turn: see :meth:`nudge`."""
        self._posted.append(batch)

    def command(self, action: Callable[[], object]) -> None:
        """Have the driver do something to the pool's state, soon."""
        self._commands.append(action)
        self.nudge()

    def nudge(self) -> None:
        """See to it that what has been posted is taken up: by the driver, or here if there is none.

        Runs no user code.
        """
        if self.driving.mine:
            return  # the turn that is under way, or the next, will see it
        drove, _ = self.driving.try_drive(self._glance)
        if not drove and self.crew.sleeping:
            self.interrupt()

    def _glance(self) -> bool:
        if not self.ended:
            self._guarded(0)
        return True

    def busy(self) -> bool:
        """Whether there is anything to drive for."""
        if self.ended:
            return False
        return self.working() or bool(self.controlling.pausing) or any(worker.retiring for worker in list(self.scheduler.workers.values()))

    def working(self) -> bool:
        """Whether any task has not ended, or its result has not been handed out; for others than the driver it may seem so or not."""
        if self._has_news() or self.scheduler.waiting:
            return True
        return any(worker.window for worker in list(self.scheduler.workers.values()))

    def watching(self) -> bool:
        """Whether anything could happen by itself: an idle worker leaves, or is killed."""
        return bool(self.peers)

    @property
    def backlog(self) -> int:
        """How many batches nobody has looked at."""
        return len(self._posted)

    def _has_news(self) -> bool:
        return bool(self._posted or self._commands or self.outcomes)

    # ------------------------------------------------------------ the turn

    def _turn(self, timeout: float | None) -> None:
        if self.ended:  # by another thread; whoever drives waits for what will not come
            msg = "the pool was shut down while this call was under way"
            raise errors.PoolClosed(msg)
        self._guarded(timeout)
        self.outcomes.hand_out()

    def _guarded(self, timeout: float | None) -> None:
        if self.inside:  # the garbage collector has run an iterator's end in the middle of a turn
            return
        self.inside = True
        try:
            self._advance(timeout)
        except _Struck as struck:
            raise struck.error from None
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost no caller its answer
            self._collapse(error)
        except BaseException as error:  # a handler of a signal has raised, and broken off a change
            self._collapse(error)
            raise
        finally:
            self.inside = False

    def _advance(self, timeout: float | None) -> None:
        self.take_in()
        self._act()
        self._receive(timeout)
        self.take_in()
        self._act()

    def take_in(self) -> None:
        """Take up what others have left; for the driver."""
        posted = self._posted
        submit = self.scheduler.submit
        while posted:
            submit(posted.popleft())
        while self._commands:
            self._commands.popleft()()

    # ------------------------------------------------------------ decisions carried out

    def _act(self) -> None:
        now = time.monotonic_ns()
        if self._ending:
            self._cancel_ready()
        elif self.staffing.may_grow(now):
            self.scheduler.limit = self.limit
        while actions := self.scheduler.decide(now):
            for action in actions:
                self._perform(action, now)
        self.crew.kill_overdue(now)
        if self.controlling.pausing:
            self.controlling.stop_due(now)
        self.crew.flush()
        self.hungry = self.scheduler.hungry

    def _perform(self, action: scheduler.Action, now: int) -> None:
        kind, worker = action[0], action[1]
        if kind == scheduler.SEND:
            self._send(worker, action[2])  # type: ignore[misc]
        elif kind == scheduler.START:
            self.staffing.start(worker, now)
        elif worker.number not in self.peers:
            return  # it has ended since
        elif kind == scheduler.STOP:
            peer = self.peers[worker.number]
            self.controlling.leaves(peer)
            peer.stop()
            self.crew.has_post(peer)
        elif kind == scheduler.RECALL:
            self.recall(worker)
        elif kind == scheduler.INSPECT:
            self._inspect(worker, now)

    def _send(self, worker: Worker, run: Run) -> None:
        peer = self.peers.get(worker.number)
        if peer is None:
            return  # it could not be started; its window has been taken back
        form: Form = run.batch.form  # type: ignore[assignment]
        call: PoolCall = run.batch.call  # type: ignore[assignment]
        function = form.function
        if function.number not in peer.known:
            call.sent += function.size
            call.spared += _parcels.spared((function.payload, *function.buffers))
            call.hired = call.hired or peer.asked_for > call.opened
            peer.known.add(function.number)
            _parcels.queue(peer.channel, peer.lent, _frames.FUNCTION, function.payload, function.buffers, a=function.number)
        peer.tell_gone()
        items = run.batch.items
        if call.policy.tag_output:
            name = form.name(items[0]).encode()
            peer.channel.queue(_frames.pack(_frames.TAG, name, count=len(items), a=run.ordinal, b=run.batch.first))
        if form.is_placed(items):
            peer.lent.send(form.pack_placed(items[0], run.ordinal, worker.epoch), peer.channel)
            call.sent += form.placed_size(items[0])
            call.spared += form.spared(items[0])
        else:
            pieces = form.pack(items, run.ordinal, worker.epoch, timed=call.timeout > 0)
            call.sent += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
            peer.channel.queue(pieces)
        self.crew.has_post(peer)

    def recall(self, worker: Worker) -> int:
        """Take back what a worker has not started; the ordinal of the last task that it has."""
        worker.epoch += 1
        started = self.peers[worker.number].slot.recall(worker.epoch)
        self.scheduler.recalled(worker, started)
        return started

    def _inspect(self, worker: Worker, now: int) -> None:
        peer = self.peers[worker.number]
        started, since = peer.slot.started_at()
        finding = self.scheduler.inspected(worker, started, since, now)
        if finding == HELD:
            peer.ask_for_results()
            return
        # If it is overdue, what is behind it must not start while it is being stopped.
        if finding is not None and self.recall(worker) == started and finding == scheduler.TIMEOUT:
            self.condemn(worker, scheduler.TIMEOUT, started, now)

    def condemn(self, worker: Worker, reason: str, ordinal: int, now: int) -> None:
        """Kill a worker for task ``ordinal``, which it runs; everything behind it must have been taken back."""
        self.scheduler.doom(worker, reason, ordinal)
        peer = self.peers[worker.number]
        if reason in {scheduler.TIMEOUT, scheduler.ENDED} and peer.ask_for_stack():
            peer.kill_at = now + STACK_NS
        else:
            peer.kill()

    def retire_all(self) -> None:
        """Let all workers finish what they have and go; no others come, whatever is submitted."""
        self.limit = self.scheduler.limit = 0
        for worker in list(self.scheduler.workers.values()):
            self.scheduler.retire(worker)

    def cancel_unstarted(self) -> None:
        """Cancel every task that has not started."""
        for peer in self.peers.values():
            self.recall(peer.worker)
        self._cancel_ready()

    def cancel_unstarted_of(self, call: PoolCall) -> None:
        """The same for the tasks of one call."""
        for worker in [self.scheduler.workers[number] for number in call.running]:
            if worker.number in self.peers:
                self.recall(worker)
        self.outcomes.cancelled(_one_by_one(self.scheduler.take_out(call)))

    def end_all(self, number: int) -> None:
        """Send all workers a signal that ends them, and start no others. What they run fails; what waits is cancelled."""
        self._ending = self.outcomes.ending = True
        self.scheduler.limit = 0
        for peer in self.peers.values():
            self.scheduler.left(peer.worker)
            peer.dismissed = True
            peer.kill(number)

    # ------------------------------------------------------------ tasks without a worker

    def _again(self, batch: Batch, not_before: int) -> None:
        self._commands.append(lambda: self.scheduler.retry(batch, not_before))

    def _fail_ready(self, make: Callable[[str], BaseException]) -> None:
        """Nobody can run what is ready: each task ends with an error."""
        self.outcomes.failed(self._drained(), make)

    def _cancel_ready(self) -> None:
        self.outcomes.cancelled(self._drained())

    def _drained(self) -> Iterator[Batch]:
        """All tasks that are ready, one by one; they are nobody's now."""
        return _one_by_one(self.scheduler.drain())

    # ------------------------------------------------------------ what arrives

    def _receive(self, timeout: float | None) -> None:
        try:
            speaking, launcher = self.crew.wait(self._timeout(timeout), self._has_news)
        except OSError:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler of a signal has raised; nothing has been changed
            raise _Struck(error) from None
        for peer in speaking:
            self._hear(peer)
            launcher = launcher or peer.hung_up
        if launcher:
            self.staffing.attend()

    def _timeout(self, timeout: float | None) -> float | None:
        if timeout == 0:
            return 0
        now = time.monotonic_ns()
        times = [when for when in (self.crew.wake_at(), self.scheduler.wake_at(now)) if when is not None]
        if self.controlling.pausing:
            times.append(self.controlling.wake_at())
        if times:
            left = max(0.0, (min(times) - now) / NS)
            return left if timeout is None else min(left, timeout)
        return timeout

    def _hear(self, peer: Peer) -> bool:
        """Take what a worker has sent; whether there was anything."""
        frames = self.crew.read(peer)
        if peer.slot.spoken() != peer.spoken:  # what a task has said comes before its result
            peer.spoken = peer.slot.spoken()
            self.crew.sayer.catch_up()
        now = time.monotonic_ns()
        for frame in frames:
            self._handle(peer, frame, now)
        return bool(frames)

    def _handle(self, peer: Peer, frame: Frame, now: int) -> None:
        if frame.flags & _frames.PLACED:
            peer.unpack(frame)
        kind = frame.kind
        if kind == _frames.DONE:
            self._done(peer, frame, now)
        elif kind == _frames.FAILED:
            self._failed(peer, frame, now)
        elif kind == _frames.GONE:
            peer.lent.take_back(frame)
        elif kind == _frames.SKIPPED:
            self.scheduler.skipped(peer.worker, frame.ordinal, now)
        elif kind == _frames.WANT:
            self.outcomes.asked(partial(self._answer, peer, frame))
        elif kind == _frames.FAREWELL:
            self.farewells.append(frame)
        elif kind == _frames.LEAVING:
            peer.leaving = frame
            self.scheduler.left(peer.worker)

    def _answer(self, peer: Peer, frame: Frame) -> None:
        """A worker waits for what it has not; not in the midst of a turn, since encoding it may run code of the user's."""
        from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

        flags = 0
        shared: Sequence[memoryview] = ()
        try:
            payload, shared = _definitions.answer(*marshal.loads(frame.payload))
        except Exception as error:  # noqa: BLE001 - it is the task that fails
            payload, flags = _failures.encode_failure(error), _frames.FAILURE
        self.command(partial(self._give, peer, payload, shared, flags))

    def _give(self, peer: Peer, payload: bytes, shared: Sequence[memoryview], flags: int) -> None:
        if self.peers.get(peer.number) is peer:
            _parcels.queue(peer.channel, peer.lent, _frames.GIVEN, payload, list(map(_parcels.whole_memory, shared)), flags=flags)
            self.crew.has_post(peer)

    def _done(self, peer: Peer, frame: Frame, now: int) -> None:
        found = self.scheduler.reported(peer.worker, frame.ordinal, frame.count, now)
        if found is None:
            return
        batch, offset = found
        self.outcomes.results(batch, offset, frame, peer.pid)  # type: ignore[arg-type]
        if self.observers and (frame.b >= LEAST or not batch.first + offset):
            done = events.TasksDone(
                batch.call.number,
                batch.form.function.name,  # type: ignore[attr-defined]
                batch.first + offset,
                frame.count,
                peer.pid,
                frame.a,
                frame.b,
            )
            for observe in self.observers:
                observe(done)
        self._account(peer, batch, frame)  # afterwards: what is in the accounts has been told, as far as it is told at all

    def _failed(self, peer: Peer, frame: Frame, now: int) -> None:
        found = self.scheduler.reported(peer.worker, frame.ordinal, 1, now)
        if found is None:
            return
        batch, offset = found
        self.outcomes.raised(batch.cut(offset, offset + 1), frame, peer.pid)  # type: ignore[arg-type]
        self._account(peer, batch, frame)

    def _account(self, peer: Peer, batch: Batch, frame: Frame) -> None:
        self.staffing.stillborn = 0
        form: Form = batch.form  # type: ignore[assignment]
        form.function.cost.measured(frame.count, frame.b, len(frame.payload))
        batch.call.sink.account(peer.pid, frame.count, frame.b)  # type: ignore[attr-defined]

    # ------------------------------------------------------------ what cannot happen

    def _collapse(self, error: BaseException) -> None:
        """Something that cannot happen has happened. Where a task was then cannot be told, so who waits is asked what he was promised."""
        internal = errors.InternalError(f"the pool has failed and was started anew: {type(error).__name__}: {error}")
        internal.__cause__ = error
        self.break_off(internal)

    def break_off(self, error: BaseException) -> None:
        """End all workers, and every call with an error; the pool begins anew."""
        self.crew.dismiss()
        self.controlling.forget_all()
        self._posted.clear()
        self.scheduler = self.staffing.scheduler = self.scheduler.successor()
        self.scheduler.limit = 0 if self._ending else self.limit
        self.staffing.reset()
        for call in self.calls:
            call.forget_tasks()
            self.outcomes.lost(call, error)

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Give everything back, and tell those who submit in this very moment."""
        self.driving.stop_background()
        self.ended = True
        self.driving.exclusively(self._give_back)
        self.crew.sayer.stop()

    def _give_back(self) -> None:
        self.crew.close()
        self._posted.clear()
        closed = errors.PoolClosed("the pool was shut down while this call was under way")
        for call in self.calls:
            self.outcomes.lost(call, closed)
        self.outcomes.hand_out()


def _one_by_one(batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        for index in range(len(batch.items)):
            yield batch.cut(index, index + 1)


class _Struck(BaseException):
    """What a signal handler of the user's raised while the loop slept."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error
