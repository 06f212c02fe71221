"""The event loop of one pool: moves tasks to workers and what came of them back.

Everything here is done by the driver (see ``_driving``): one thread at a time, so there are no locks. Other threads leave
batches and commands in the inbox, and interrupt the driver if it sleeps.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from manyhands import errors
from manyhands._codec import _failures
from manyhands._core import events, scheduler
from manyhands._core.policy import add_note, attempt_line
from manyhands._core.scheduler import Scheduler
from manyhands._core.tasks import NS
from manyhands._engine import _calls
from manyhands._engine._driving import Driving
from manyhands._engine._supervisor import STACK_NS, Peer
from manyhands._wire import _frames, _poller, _posix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands._core.tasks import Batch, Run, Worker
    from manyhands._engine._calls import Form, PoolCall
    from manyhands._engine._launch import Event, Launcher
    from manyhands._engine._settings import Settings
    from manyhands._wire._frames import Frame

# Nanoseconds until another worker is tried after the machine had no room for one.
_HARD_TIMES = 1_000_000_000
# So many workers in a row that end before they have run anything are no accident.
_STILLBORN = 4
# If they were killed it may have been from outside, which is no fault of what waits; but it may have been for the memory that they
# take to be set up, and then it would go on for ever.
_KILLED = 40


_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)


class Dispatcher:
    """See the module.

    ``settings()`` gives what a new worker has to know; ``observers`` are told what happens.
    """

    def __init__(self, launcher: Launcher, settings: Callable[[], Settings], *, quota: int | None) -> None:
        self.scheduler = Scheduler(quota=quota)
        self.peers: dict[int, Peer] = {}
        self.observers: list[Callable[[events.Event], None]] = []
        self.memory_limit: int | None = None
        self.limit: int | None = None  # of workers, as the user wants it
        self._lift_at = 0  # when more workers may be tried after one could not be started
        self.ended = False
        self.muted = False  # nobody is left to take results: the program ends
        self._ending = False  # nothing is to be started any more
        self.hungry = True  # whether a task that is posted now could be sent at once
        self.driving = Driving(self._turn, self.busy, self.watching, self.interrupt)
        self._launcher = launcher
        self._settings = settings
        self._posted: deque[Batch] = deque()
        self._commands: deque[Callable[[], object]] = deque()
        # Results to be handed out: tasks (batch, first, count), and how.
        self._deliveries: deque[tuple[Batch, int, int, Callable[[], object]]] = deque()
        self._poller = _poller.Poller()
        self._watched: set[tuple[int, int]] = set()  # the launcher's descriptors
        self._by_fd: dict[int, Peer] = {}
        self._wake = _posix.waker_pair()
        self._poller.add(self._wake[0])
        self._sleeping = False
        self._dirty: set[Peer] = set()  # with something to send
        self._blocked: set[Peer] = set()  # whose socket is full
        self._stillborn = 0
        self.inside = False  # the pool's state is being changed

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
        if not drove and self._sleeping:
            self.interrupt()

    def _glance(self) -> bool:
        self._guarded(0)
        return True

    def interrupt(self) -> None:
        """End the driver's sleep."""
        _posix.ring(self._wake[1])

    def busy(self) -> bool:
        """Whether there is anything to drive for."""
        return self.working() or any(worker.retiring for worker in self.scheduler.workers.values())

    def watching(self) -> bool:
        """Whether anything could happen by itself: an idle worker leaves, or is killed."""
        return bool(self.peers)

    @property
    def backlog(self) -> int:
        """How many batches nobody has looked at."""
        return len(self._posted)

    # ------------------------------------------------------------ the turn

    def _turn(self, timeout: float | None) -> None:
        self._guarded(timeout)
        self._deliver()

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
        self._take_in()
        self._act()
        self._receive(timeout)
        self._take_in()
        self._act()

    def _take_in(self) -> None:
        posted = self._posted
        submit = self.scheduler.submit
        while posted:
            submit(posted.popleft())
        while self._commands:
            self._commands.popleft()()

    def _deliver(self) -> None:
        """Hand out results. Runs the user's code: callbacks, ``__setstate__``."""
        deliveries = self._deliveries
        if self.muted:
            deliveries.clear()
        while deliveries:
            batch, first, count, deliver = delivery = deliveries.popleft()
            try:
                deliver()
            except KeyboardInterrupt:
                deliveries.appendleft(delivery)  # nothing that was computed is lost
                raise
            except BaseException as error:  # noqa: BLE001 - the user's code, in the end; a task that cannot be delivered has failed
                self._undeliverable(batch, first, count, error)

    def _undeliverable(self, batch: Batch, first: int, count: int, error: BaseException) -> None:
        for index in range(first, first + count):
            piece = batch.cut(index, index + 1)
            what = f"what came of task {piece.first} could not be delivered: {type(error).__name__}"
            internal = errors.InternalError(what)
            internal.__cause__ = error
            call: PoolCall = piece.call  # type: ignore[assignment]
            call.sink.failed(piece, internal)

    # ------------------------------------------------------------ decisions carried out

    def _act(self) -> None:
        now = time.monotonic_ns()
        if self._ending:
            self._cancel_ready()
        elif 0 < self._lift_at <= now:
            self._lift_at = 0
            self.scheduler.limit = self.limit
        while actions := self.scheduler.decide(now):
            for action in actions:
                self._perform(action, now)
        for peer in self.peers.values() if self._kills_due(now) else ():
            if peer.kill_at and peer.kill_at <= now:
                peer.kill_at = 0
                peer.kill()
        for peer in self._dirty:
            self._flush(peer)
        self._dirty.clear()
        self.hungry = self.scheduler.hungry

    def _kills_due(self, now: int) -> bool:
        return any(peer.kill_at and peer.kill_at <= now for peer in self.peers.values())

    def _perform(self, action: scheduler.Action, now: int) -> None:
        kind, worker = action[0], action[1]
        if kind == scheduler.SEND:
            self._send(worker, action[2])  # type: ignore[misc]
        elif kind == scheduler.START:
            self._start(worker, now)
        elif worker.number not in self.peers:
            return  # it has ended since
        elif kind == scheduler.STOP:
            peer = self.peers[worker.number]
            peer.stop()
            self._dirty.add(peer)
        elif kind == scheduler.RECALL:
            self.recall(worker)
        elif kind == scheduler.INSPECT:
            self._inspect(worker, now)

    def _send(self, worker: Worker, run: Run) -> None:
        peer = self.peers.get(worker.number)
        if peer is None:
            return  # it could not be started; its window has been taken back
        form: Form = run.batch.form  # type: ignore[assignment]
        function = form.function
        if function.number not in peer.known:
            peer.known.add(function.number)
            peer.channel.queue(_frames.pack(_frames.FUNCTION, function.payload, a=function.number))
        peer.channel.queue(form.pack(run.batch.items, run.ordinal, worker.epoch))
        self._dirty.add(peer)

    def _flush(self, peer: Peer) -> None:
        if peer.hung_up:
            return
        try:
            sent = peer.channel.flush()
        except OSError:
            return  # it is dead: that is found out when it is read from
        if sent is (peer in self._blocked):
            if sent:
                self._blocked.discard(peer)
            else:
                self._blocked.add(peer)
            self._poller.change(peer.channel.fileno(), _poller.READ if sent else _poller.READ | _poller.WRITE)

    def recall(self, worker: Worker) -> int:
        """Take back what a worker has not started; the ordinal of the last task that it has."""
        worker.epoch += 1
        started = self.peers[worker.number].slot.recall(worker.epoch)
        self.scheduler.recalled(worker, started)
        return started

    def _inspect(self, worker: Worker, now: int) -> None:
        started, since = self.peers[worker.number].slot.started_at()
        finding = self.scheduler.inspected(worker, started, since, now)
        # If it is overdue, what is behind it must not start while it is being stopped.
        if finding is not None and self.recall(worker) == started and finding == scheduler.TIMEOUT:
            self.condemn(worker, scheduler.TIMEOUT, started, now)

    def condemn(self, worker: Worker, reason: str, ordinal: int, now: int) -> None:
        """Kill a worker for task ``ordinal``, which it runs; everything behind it must have been taken back."""
        self.scheduler.doom(worker, reason, ordinal)
        peer = self.peers[worker.number]
        if reason == scheduler.TIMEOUT and peer.ask_for_stack():
            peer.kill_at = now + STACK_NS
        else:
            peer.kill()

    def working(self) -> bool:
        """Whether any task has not ended, or its result has not been handed out."""
        if self._posted or self._commands or self._deliveries or self.scheduler.waiting:
            return True
        return any(worker.window for worker in self.scheduler.workers.values())

    def retire_all(self) -> None:
        """Let all workers finish what they have and go."""
        for worker in list(self.scheduler.workers.values()):
            self.scheduler.retire(worker)

    def cancel_unstarted(self) -> None:
        """Cancel every task that has not started."""
        for peer in self.peers.values():
            self.recall(peer.worker)
        self._cancel_ready()

    def end_all(self, number: int) -> None:
        """Send all workers a signal that ends them, and start no others. What they run fails; what waits is cancelled."""
        self._ending = True
        self.scheduler.limit = 0
        for peer in self.peers.values():
            self.scheduler.left(peer.worker)
            peer.kill(number)
            if peer.pid is None:
                peer.kill_at = 1  # as soon as its pid is known

    # ------------------------------------------------------------ workers

    def _start(self, worker: Worker, now: int) -> None:
        try:
            peer = Peer(worker)
        except OSError as error:
            self._start_failed(worker, error, now)
            return
        self.peers[worker.number] = peer
        try:
            self._launcher.start(worker.number, peer.theirs, peer.slot.fd, self._settings())
            self._by_fd[peer.channel.fileno()] = peer
            self._poller.add(peer.channel.fileno())
        except OSError as error:
            self._forget(peer)
            self._start_failed(worker, error, now)
            return
        self._watch_launcher()
        self._handle_launcher()

    def _watch_launcher(self) -> None:
        wanted = self._launcher.descriptors()
        for fd, _ in self._watched - wanted:
            if fd not in self._by_fd:
                self._unwatch(fd)
        for fd, _ in wanted - self._watched:
            self._poller.add(fd)
        self._watched = wanted

    def _unwatch(self, fd: int) -> None:
        try:
            self._poller.remove(fd)
        except (OSError, KeyError, ValueError):  # closing it has removed it
            return

    def _start_failed(self, worker: Worker, error: OSError, now: int) -> None:
        self.scheduler.died(worker, 0, now)
        if self.peers:
            # Fewer workers do the work as well. For a while, no more are asked for.
            self.scheduler.limit = len(self.peers)
            self._lift_at = now + _HARD_TIMES
            return
        cause = f"{type(error).__name__}: {error}"
        self._fail_ready(lambda _: errors.CannotStart(f"no worker process could be started: {cause}"))

    def _fail_ready(self, make: Callable[[str], BaseException]) -> None:
        """Nobody can run what is ready: each task ends with an error."""
        for piece in self._drained():
            self._deliveries.append((piece, 0, 1, partial(self._fail, piece, make)))

    def _fail(self, piece: Batch, make: Callable[[str], BaseException]) -> None:
        self._finish(piece, make(_calls.describe(piece)))

    def _cancel_ready(self) -> None:
        for piece in self._drained():
            call: PoolCall = piece.call  # type: ignore[assignment]
            self._deliveries.append((piece, 0, 1, partial(call.sink.failed, piece, _cancelled())))

    def _drained(self) -> Iterator[Batch]:
        """All tasks that are ready, one by one; they are nobody's now."""
        for batch in self.scheduler.drain():
            for index in range(len(batch.items)):
                yield batch.cut(index, index + 1)

    def _forget(self, peer: Peer) -> None:
        del self.peers[peer.number]
        self._dirty.discard(peer)
        self._blocked.discard(peer)
        fd = peer.channel.fileno()
        if self._by_fd.pop(fd, None) is not None:
            self._unwatch(fd)
        peer.close()

    # ------------------------------------------------------------ what arrives

    def _receive(self, timeout: float | None) -> None:
        timeout = self._timeout(timeout)
        self._sleeping = True
        try:
            # Whoever posted before seeing that flag did not interrupt.
            ready = self._poller.wait(0 if self._posted or self._commands or self._deliveries else timeout)
        except OSError:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler of a signal has raised; nothing has been changed
            raise _Struck(error) from None
        finally:
            self._sleeping = False
        launcher = False
        for fd, mask in ready:
            peer = self._by_fd.get(fd)
            if peer is not None:
                if mask & _poller.WRITE:
                    self._dirty.add(peer)
                if mask & ~_poller.WRITE:
                    launcher = self._read(peer) or launcher
            elif fd == self._wake[0]:
                _posix.silence(fd)
            else:
                launcher = True
        if launcher:
            self._handle_launcher()

    def _timeout(self, timeout: float | None) -> float | None:
        if timeout == 0:
            return 0
        now = time.monotonic_ns()
        times = [peer.kill_at for peer in self.peers.values() if peer.kill_at]
        wake = self.scheduler.wake_at(now)
        if wake is not None:
            times.append(wake)
        if times:
            left = max(0.0, (min(times) - now) / NS)
            return left if timeout is None else min(left, timeout)
        return timeout

    def _read(self, peer: Peer) -> bool:
        """Take what a worker has sent; True if it has hung up."""
        try:
            frames = peer.channel.receive()
        except (EOFError, OSError):
            peer.hung_up = True
            fd = peer.channel.fileno()
            if self._by_fd.pop(fd, None) is not None:
                self._unwatch(fd)
            return True
        if peer.pid is None:  # it was faster than the zygote's word of it
            peer.pid = peer.slot.pid()
        now = time.monotonic_ns()
        for frame in frames:
            self._handle(peer, frame, now)
        return False

    def _handle(self, peer: Peer, frame: Frame, now: int) -> None:
        kind = frame.kind
        if kind == _frames.DONE:
            self._done(peer, frame, now)
        elif kind == _frames.FAILED:
            self._failed(peer, frame, now)
        elif kind == _frames.SKIPPED:
            self.scheduler.skipped(peer.worker, frame.ordinal, now)
        elif kind == _frames.LEAVING:
            peer.leaving = frame
            self.scheduler.left(peer.worker)

    def _done(self, peer: Peer, frame: Frame, now: int) -> None:
        found = self.scheduler.reported(peer.worker, frame.ordinal, frame.count, now)
        if found is None:
            return
        batch, offset = found
        sink = batch.call.sink  # type: ignore[attr-defined]
        if sink.passive:
            sink.deliver(batch, offset, frame, peer.pid)
        else:
            self._deliveries.append((batch, offset, frame.count, partial(sink.deliver, batch, offset, frame, peer.pid)))
        self._account(peer, batch, frame)
        for observe in self.observers:
            name = batch.form.function.name  # type: ignore[attr-defined]
            first, seconds = batch.first + offset, frame.b / NS
            observe(events.TasksDone(batch.call.number, name, first, frame.count, peer.pid, frame.a / NS, seconds))

    def _account(self, peer: Peer, batch: Batch, frame: Frame) -> None:
        self._stillborn = 0
        form: Form = batch.form  # type: ignore[assignment]
        form.function.cost.measured(frame.count, frame.b, len(frame.payload))
        work = batch.call.work.get(peer.pid)  # type: ignore[attr-defined]
        if work is None:
            work = batch.call.work[peer.pid] = [0, 0]  # type: ignore[attr-defined]
        work[0] += frame.count
        work[1] += frame.b

    def _failed(self, peer: Peer, frame: Frame, now: int) -> None:
        found = self.scheduler.reported(peer.worker, frame.ordinal, 1, now)
        if found is None:
            return
        batch, offset = found
        piece = batch.cut(offset, offset + 1)
        self._deliveries.append((piece, 0, 1, partial(self._deliver_failure, piece, frame, peer.pid)))
        self._account(peer, batch, frame)

    def _deliver_failure(self, piece: Batch, frame: Frame, pid: int | None) -> None:
        error = _failures.decode_failure(frame.payload)
        note = f"raised by {_calls.describe(piece)} in worker {pid}"
        if self.memory_limit and isinstance(error, MemoryError):
            note += f", whose memory_limit is {self.memory_limit / 2**20:.0f} MiB; the worker has been replaced"
        add_note(error, note)
        self._finish(piece, error)

    def _finish(self, piece: Batch, error: BaseException) -> None:
        """A task has failed: again, or for good."""
        call: PoolCall = piece.call  # type: ignore[assignment]
        line = attempt_line(piece.attempt, error)
        for observe in self.observers:
            name = piece.form.function.name  # type: ignore[attr-defined]
            observe(events.TaskFailed(call.number, name, piece.first, piece.attempt, line, time.monotonic()))
        if call.policy.repeats(error, piece.attempt) and not (call.cancelled or piece.cancelled or self._ending):
            call.history.setdefault(piece.first, []).append(line)
            delay = call.policy.delay(piece.attempt)
            piece.attempt += 1
            not_before = time.monotonic_ns() + delay if delay else 0
            self._commands.append(lambda: self.scheduler.retry(piece, not_before))
            return
        for earlier in call.history.pop(piece.first, ()):
            add_note(error, f"earlier {earlier}")
        call.sink.failed(piece, error)

    # ------------------------------------------------------------ the end of workers

    def _handle_launcher(self) -> None:
        while happened := self._launcher.events():
            for event in happened:
                self._launcher_event(event)
        self._watch_launcher()
        for peer in [peer for peer in self.peers.values() if peer.hung_up]:
            if not self._launcher.tracks(peer.number):
                # Its zygote was killed: nobody will tell how it ended, but ended it has, or is of no use.
                peer.kill()
                self._bury(peer, None)
            elif peer.pid is not None:
                peer.kill()  # it may have closed its channel and live on

    def _launcher_event(self, event: Event) -> None:
        kind, number, detail = event
        peer = self.peers.get(number)
        if peer is None:
            self._launcher.forget(number)
        elif kind == "started":
            peer.started(detail)  # type: ignore[arg-type]
            if peer.kill_at or peer.worker.doom is not None:
                peer.kill()
            for observe in self.observers:
                observe(events.WorkerStarted(detail, time.monotonic()))  # type: ignore[arg-type]
        elif kind == "orphaned":
            peer.orphaned()
        elif kind == "exited":
            while not peer.hung_up and self._read_rest(peer):
                pass
            self._launcher.forget(number)
            self._bury(peer, detail)  # type: ignore[arg-type]
        else:
            self._forget(peer)
            self._start_failed(peer.worker, detail, time.monotonic_ns())  # type: ignore[arg-type]

    def _read_rest(self, peer: Peer) -> bool:
        """Read what a worker sent before it ended; False when there is no more."""
        try:
            frames = peer.channel.receive()
        except (EOFError, OSError):
            return False
        now = time.monotonic_ns()
        for frame in frames:
            self._handle(peer, frame, now)
        return bool(frames)

    def _bury(self, peer: Peer, status: int | None) -> None:
        """A worker has ended: one task at most goes with it, all others run elsewhere."""
        now = time.monotonic_ns()
        retiring = peer.worker.retiring
        ready = peer.slot.ready()
        culprit, reason = self.scheduler.died(peer.worker, peer.slot.started(), now, blame=ready and not retiring)
        for observe in self.observers:
            observe(events.WorkerEnded(peer.pid, status, time.monotonic()))
        if culprit is not None:
            stack = peer.stack()
            deliver = partial(self._deliver_death, culprit, reason, peer, status, stack)
            self._deliveries.append((culprit, 0, 1, deliver))
        elif peer.leaving is not None and peer.leaving.a == _frames.LEAVES_SETUP:
            failure = peer.leaving.payload
            self._fail_ready(lambda task: _setup_error(task, failure))
        elif not retiring and peer.pid is not None and not ready:
            self._count_stillborn(peer, status)
        self._forget(peer)

    def _count_stillborn(self, peer: Peer, status: int | None) -> None:
        self._stillborn += 1
        if self._stillborn >= (_KILLED if status in _OUTSIDE else _STILLBORN):
            others, self._stillborn = self._stillborn - 1, 0
            doing = f"before it ran anything, as did {others} others; so no worker can run"
            self._fail_ready(lambda task: peer.obituary(f"{doing} {task}", status))

    def _deliver_death(self, culprit: Batch, reason: str, peer: Peer, status: int | None, stack: str) -> None:
        task = _calls.describe(culprit)
        if reason == scheduler.TIMEOUT:
            seconds = culprit.call.timeout / NS
            self._finish(culprit, errors.TaskTimeout(task, seconds=seconds, pid=peer.pid, stack=stack))
        elif reason == scheduler.CANCELLED:
            culprit.call.sink.failed(culprit, _cancelled())  # type: ignore[attr-defined]
        else:
            self._finish(culprit, peer.obituary(f"while it ran {task}", status, stack))

    def _collapse(self, error: BaseException) -> None:
        """Something that cannot happen has happened: end all workers, and every task with an error that says so."""
        for peer in list(self.peers.values()):
            peer.kill()
            self.scheduler.workers.setdefault(peer.number, peer.worker)
            self.scheduler.died(peer.worker, 0, time.monotonic_ns())
            self._forget(peer)
            self._launcher.forget(peer.number)
        internal = errors.InternalError(f"the pool has failed and was started anew: {type(error).__name__}: {error}")
        internal.__cause__ = error
        self._fail_ready(lambda _: internal)

    def give_up_launcher(self) -> None:
        """What watches the workers does not answer: do without it."""
        self._launcher.give_up()

    def close(self) -> None:
        """Give everything back. All workers must have ended."""
        self.driving.stop_background()
        self.ended = True
        self._launcher.close()
        self._poller.close()
        fds, self._wake = self._wake, (-1, -1)
        _posix.close_quietly(fds)

    def abandon(self) -> None:
        """In a forked child: let go of the descriptors without touching the parent's processes."""
        for peer in self.peers.values():
            peer.close()
        self.peers.clear()
        self._launcher.abandon()
        self._poller.close()
        _posix.close_quietly(self._wake)


class _Struck(BaseException):
    """What a signal handler of the user's raised while the loop slept."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _setup_error(task: str, failure: object) -> BaseException:
    cause = _failures.decode_failure(failure)  # type: ignore[arg-type]
    what = f"a worker's initializer raised {type(cause).__name__}: {cause}; so no worker can run {task}"
    error = errors.WorkerDied(what, pid=None, exit_code=None)
    error.__cause__ = cause
    return error


def _cancelled() -> BaseException:
    from concurrent.futures import CancelledError  # noqa: PLC0415 - 5 ms; only who cancels needs it

    return CancelledError()
