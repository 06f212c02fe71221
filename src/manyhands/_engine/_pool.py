"""The pool: workers of one parent, and what drives them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._codec import _passing
from manyhands._engine import _calls, _parcels, _settings, _watched
from manyhands._engine._calls import PoolCall
from manyhands._engine._cancelling import Cancelling
from manyhands._engine._dispatcher import Dispatcher
from manyhands._engine._functions import Functions
from manyhands._engine._set_up import Hooks, SetUp
from manyhands._wire import _cpus, _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from manyhands._core.policy import Policy
    from manyhands._core.tasks import Batch
    from manyhands._engine._calls import Function, Sink
    from manyhands._engine._depot import Depot
    from manyhands._engine._driving import Driving
    from manyhands._engine._parcels import Placed
    from manyhands._engine._settings import Settings
    from manyhands._engine._zygote_handle import Zygote
    from manyhands._wire._frames import Bytes, Frame

# So many submissions are taken up together at the most.
_TOGETHER = 64
# Nanoseconds: tasks below the first are quick, submissions within the second are in quick succession. Guesses.
_QUICK = 100_000
_SUCCESSION = 200_000
# How long the end of a worker that was killed may take to be told. Whoever does not tell it by then is stopped, or hangs.
_DEATH = 1.0
_SUBMITTED_TOO_LATE = "the pool was shut down while this was being submitted"
# How long a worker that was told to leave may take for what the user's code does at exit, unless that is a ``worker_exit``.
_LEAVE = 5.0
_NO_HOOKS = Hooks()


class Working(NamedTuple):
    """A worker, and its task: the ``place``-th of a batch, begun at a time of the monotonic clock, in nanoseconds."""

    pid: int
    batch: Batch
    place: int
    since: int


class ProcessPool:
    """Workers that run tasks, for any number of calls from any number of threads.

    Workers are started when there is work for them, at most as many as the calls allow together. All settings hold for workers
    that are started from then on.
    """

    def __init__(
        self,
        zygote: Zygote,
        *,
        start_method: str = "zygote",
        may_fork: bool = False,
        hooks: Hooks = _NO_HOOKS,
        max_tasks_per_child: int | None = None,
        memory_limit: int | None = None,
        idle_timeout: float = 60.0,
        preload: tuple[str, ...] = (),
        limit: int | None = None,
    ) -> None:
        self.pid: int = os.getpid()
        self.closed: bool = False
        self._broken_off: BaseException | None = None  # what threads get that go on with it all the same
        self._width = limit or 1  # the most workers that any call has asked for
        self._memory_limit = memory_limit
        self._idle_timeout = idle_timeout
        self.set_up = SetUp(zygote, start_method, preload, may_fork=may_fork)
        encoded = self.set_up.encode(hooks)
        self._leave = None if hooks.worker_exit is not None else _LEAVE
        self._dispatcher = Dispatcher(self.set_up.launcher(), self._settings_of_now, quota=max_tasks_per_child)
        self._dispatcher.outcomes.memory_limit = memory_limit
        self._dispatcher.scheduler.limit = self._dispatcher.limit = limit
        self._cancelling = Cancelling(self._dispatcher, self.wait)
        self.driving: Driving = self._dispatcher.driving
        self.post: Callable[[Batch], None] = self._dispatcher.post
        self.nudge: Callable[[], None] = self._dispatcher.nudge
        self._depot: Depot | None = None
        self._functions = Functions(self._let_go, self._place_function)
        if hooks.initializer is not None:
            from manyhands._codec import _main_globals  # noqa: PLC0415 - most pools have none

            self._functions.own = _main_globals.bound_by((hooks.initializer, *hooks.initargs))
        if encoded is not None:
            payload, views = encoded
            small = not views and len(payload) < _parcels.SHARED
            placed, buffers = (payload, ()) if small else self._place_function(payload, views)
            self._dispatcher.crew.initializer = placed, _passing.kept_by(buffers)
        self.settle()
        self._dispatcher.observers += _watched.observers
        _watched.pools.add(self)
        self._ending = threading.Lock()  # one thread ends it
        self._nudged = 0  # when a submission was last taken up at once

    # ------------------------------------------------------------ work

    def prepare(self, fn: object) -> None:
        """Work with ``fn`` is about to come: what takes time can begin while it is read and encoded."""
        zygote = self.set_up.zygote
        if zygote is not None and not self._dispatcher.peers:
            zygote.prepare(fn)

    def function(self, fn: Callable[..., object], on_stale: str) -> Function:
        """A function as it is now, to be sent; and, before it, what has changed around the program.

        Raises:
            NotSerializable: it cannot be sent.
        """
        self.tell_surroundings()
        if self.set_up.inheritance is None:
            return self._functions.get(fn, on_stale)
        with self.set_up.known():
            return self._functions.get(fn, on_stale)

    def tell_surroundings(self) -> None:
        """Tell the workers what has changed around the program, if anything has. One that is at a task hears of it afterwards."""
        around = self._dispatcher.crew.surroundings.changed()
        if around is not None:
            self._dispatcher.command(partial(self._dispatcher.crew.tell_surroundings, *around))

    # ------------------------------------------------------------ what workers are given when they start

    def bequeathing(self) -> contextlib.AbstractContextManager[object]:
        """What is pickled in there, in this thread, may hold what workers can only inherit. None has been started yet.

        Then, :meth:`settle`.
        """
        return self.set_up.bequeathing()

    def settle(self) -> None:
        """Have workers start in the way in which they get what they inherit.

        Raises:
            NotSerializable: they are not to be forked, and it cannot be handed to others.
        """
        self.set_up.settle(self._dispatcher.crew, self._dispatcher.command)
        self._dispatcher.scheduler.together = self.set_up.forks

    def drop_inheritance(self) -> None:
        """All workers that there will be have what they inherit."""
        self._dispatcher.command(self.set_up.drop)

    def replace_nobody(self) -> None:
        """What a worker has not begun when it ends fails with it, rather than run in another process. For a pool of one worker."""
        self._dispatcher.staffing.replaces = False

    def farewells(self) -> list[Frame]:
        """What workers said when they left, in the order in which they did: results of ``worker_exit``, or failures."""
        return list(self._dispatcher.farewells)

    @property
    def depot(self) -> Depot:
        """Where large arguments are put."""
        if self._depot is None:
            from manyhands._engine._depot import Depot  # noqa: PLC0415 - only where something large is sent

            self._depot = Depot()
        return self._depot

    def _place_function(self, payload: Bytes, views: Sequence[memoryview]) -> tuple[Bytes | Placed, list[Bytes | Placed]]:
        return self.depot.place_apart(payload, views)

    def _let_go(self, function: Function) -> None:
        self._dispatcher.command(partial(self._forget_function, function.number))

    def _forget_function(self, number: int) -> None:
        for peer in self._dispatcher.peers.values():
            if number in peer.known:
                peer.known.discard(number)
                peer.channel.queue(_frames.pack(_frames.FORGET, a=number))

    def open_call(self, sink: Sink, policy: Policy, *, limit: int, priority: int = 0) -> PoolCall:
        """Begin a call on at most ``limit`` workers.

        Raises:
            PoolClosed: the pool has been shut down, or belongs to the parent of this process.
        """
        self.check_open()
        self._widen(limit)
        call = PoolCall(next(_calls.numbers), sink, policy, limit=limit, priority=priority)
        self._dispatcher.calls.add(call)
        return call

    def _widen(self, limit: int) -> None:
        """So many workers are asked for; those that are started from now on share the processors accordingly."""
        self._width = max(self._width, min(limit, self._dispatcher.limit or limit))

    def check_open(self) -> None:
        """Raise PoolClosed unless work can be submitted."""
        if self.pid != os.getpid():
            msg = f"this pool belongs to process {self.pid}, from which this one was forked; create one here"
            raise errors.PoolClosed(msg)
        if self._broken_off is not None and threading.current_thread() is not threading.main_thread():
            raise self._broken_off
        if self.closed:
            msg = "cannot schedule new futures after shutdown; create a new executor"
            raise errors.PoolClosed(msg)

    def check_usable(self) -> None:
        """Raise PoolClosed if it has ended, or belongs to another process: what was submitted before cannot go on either."""
        if self.pid != os.getpid():
            self.check_open()
        if self._dispatcher.ended:
            self.closed = True
            msg = "the pool was shut down while this call was under way"
            raise errors.PoolClosed(msg)

    def submit(self, batch: Batch) -> None:
        """Post one batch and see to it that somebody drives. For those who do not wait at once."""
        dispatcher = self._dispatcher
        dispatcher.post(batch)
        if dispatcher.ended:  # just now, and who ended it may not have seen this one
            batch.call.sink.lost(errors.PoolClosed(_SUBMITTED_TOO_LATE))  # type: ignore[attr-defined]
            return
        if self.driving.driven or not self._may_lie(batch):
            self._nudged = time.monotonic_ns()
            dispatcher.nudge()
        self.driving.need_background()

    def _may_lie(self, batch: Batch) -> bool:
        """Whether a batch may wait for others to be taken up together; a caller who waits takes it up at once.

        It may while all workers have enough to do; and while quick tasks come in quick succession, since waking a worker for each
        would cost more than they do.
        """
        if self._dispatcher.backlog >= _TOGETHER:
            return False
        cost = batch.cost.ns
        in_succession = cost is not None and cost < _QUICK and time.monotonic_ns() - self._nudged < _SUCCESSION
        return in_succession or not self._dispatcher.hungry

    def watch(self) -> None:
        """See to it that somebody notices when idle workers leave."""
        if self._dispatcher.peers and self.pid == os.getpid():
            self.driving.have_background()

    def look_in(self) -> None:
        """Take a turn without waiting, in the midst of something that takes longer. Runs no user code."""
        if not self._dispatcher.ended and self.pid == os.getpid():
            self._dispatcher.nudge()

    def hand_over(self) -> None:
        """See to it that what was posted is done while the caller does something else."""
        self._dispatcher.nudge()
        self.driving.need_background()

    def wait(self, done: Callable[[], bool], deadline: float | None = None) -> bool:
        """Drive, or let drive, until ``done()``; False at ``deadline`` (monotonic seconds)."""
        if self.pid != os.getpid():
            self.check_open()
        if self._dispatcher.inside and self.driving.mine:
            return done()  # called by the garbage collector in the middle of a turn: what was asked for is done later
        if self._dispatcher.ended and not done():
            self.check_usable()
        if self._dispatcher.backlog and self.driving.driven:
            self._dispatcher.nudge()
        return self.driving.wait(done, deadline)

    def puts_off(self, call_back: Callable[[], object]) -> bool:
        """Have callbacks called a little later, if this thread is in the midst of another that waits; whether it is."""
        return self.driving.mine and self._dispatcher.outcomes.puts_off(call_back)

    def notify(self) -> None:
        """Something that somebody may wait for has come about outside the loop."""
        self.driving.wake_finished()
        self._dispatcher.interrupt()

    # ------------------------------------------------------------ giving up

    def cancel_call(self, call: PoolCall, *, at_once: bool = False) -> None:
        """Nothing of this call runs any more when this returns. What runs has a moment to end by itself."""
        if self.pid == os.getpid() and not self._dispatcher.ended:
            self._cancelling.call(call, at_once=at_once)

    def cut_call(self, call: PoolCall, end: int) -> None:
        """Have no task of this call start any more from index ``end`` on."""
        if self.pid == os.getpid() and not self._dispatcher.ended:
            self._cancelling.cut(call, end)

    def cancel_task(self, batch: Batch, *, running: bool) -> bool:
        """Keep the one task of ``batch`` from running, or, if asked to, stop it; whether that succeeded."""
        return self._cancelling.task(batch, running=running)

    def is_running(self, batch: Batch) -> bool:
        """Whether a worker has started the one task of ``batch``. A snapshot."""
        peer = self._dispatcher.peers.get(batch.worker or 0)
        worker = self._dispatcher.scheduler.workers.get(batch.worker or 0)
        if peer is None or worker is None:
            return False
        try:
            run = next((run for run in worker.window if run.batch is batch), None)
            return run is not None and peer.slot.started() >= run.ordinal
        except (RuntimeError, ValueError):  # the driver is just moving it
            return False

    # ------------------------------------------------------------ workers

    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [peer.pid for peer in list(self._dispatcher.peers.values()) if peer.pid is not None]

    def width(self, limit: int) -> int:
        """How many workers a call may have that asks for so many."""
        return min(limit, self._dispatcher.limit or _cpus.cpu_count())

    def calls(self) -> Iterator[PoolCall]:
        """Those that somebody may still wait for."""
        return iter(self._dispatcher.calls)

    def working(self) -> Iterator[Working]:
        """What the workers are doing. A snapshot, for any thread: the driver may just be moving some of it, and that is left out."""
        workers = self._dispatcher.scheduler.workers
        for number, peer in list(self._dispatcher.peers.items()):
            worker = workers.get(number)
            if worker is None or not worker.window or peer.pid is None:
                continue
            with contextlib.suppress(RuntimeError, ValueError, IndexError):  # ValueError: its slot has been closed
                ordinal, since = peer.slot.started_at()
                run = worker.window[0]
                place = ordinal - run.ordinal
                if run.done <= place < run.count:
                    yield Working(peer.pid, run.batch, place, since)

    def control(self, pid: int, deed: str, task: tuple[int, int] | None, answer: Callable[[str], object]) -> bool:
        """Have a worker do something, see ``_controlling.py``; False if it is none of this pool. ``answer`` gets why not, or nothing."""
        if self.pid != os.getpid() or self._dispatcher.ended or not self._has(pid):
            return False
        self._dispatcher.command(lambda: answer(self._dispatcher.controlling.do(deed, pid, task)))
        self.driving.need_background()  # for what follows: a worker ends
        return True

    def _has(self, pid: int) -> bool:
        """Whether a process is one of its workers; also one that has been faster than the word of it."""
        with contextlib.suppress(ValueError):  # a slot has just been closed
            return any((peer.pid or peer.slot.pid()) == pid for peer in list(self._dispatcher.peers.values()))
        return pid in self.pids()

    def resume_all(self) -> None:
        """Have all workers go on that are paused."""
        if self.pid == os.getpid() and not self._dispatcher.ended:
            self._dispatcher.command(self._dispatcher.controlling.resume_all)

    @contextlib.contextmanager
    def _ending_all(self) -> Iterator[None]:
        """What workers do is waited for: none is paused meanwhile."""
        self._pause_nobody()
        try:
            yield
        finally:
            self._dispatcher.controlling.endings.pop()

    def _pause_nobody(self) -> None:
        controlling = self._dispatcher.controlling
        controlling.endings.append(None)
        if controlling.has_paused:
            self._dispatcher.command(controlling.resume_all)

    def watch_for_losses(self, tell: Callable[[BaseException], object]) -> None:
        """Have ``tell`` called when a worker has ended that nobody had told to, and no task with it."""
        self._dispatcher.outcomes.on_lost_worker = tell

    def observe(self, observer: Callable[[Any], None]) -> None:
        """Have ``observer`` told what happens: see ``_core.events``."""
        if observer not in self._dispatcher.observers:
            self._dispatcher.observers.append(observer)

    def unobserve(self, observer: Callable[[Any], None]) -> None:
        """Stop telling ``observer``, if it is told."""
        with contextlib.suppress(ValueError):
            self._dispatcher.observers.remove(observer)

    def hire(self, count: int) -> None:
        """Start workers until there are ``count``, within the limit, though there is no work for them yet.

        Raises:
            PoolClosed: the pool has been shut down, or belongs to the parent of this process.
        """
        self.check_open()
        self._widen(count)
        self._dispatcher.command(lambda: self._dispatcher.scheduler.hire(count, time.monotonic_ns()))
        self.watch()

    def resize(self, limit: int | None) -> None:
        """From now on at most ``limit`` workers; those that are too many leave when they have finished.

        Raises:
            PoolClosed: the pool has been shut down, or belongs to the parent of this process.
        """
        self.check_open()
        self._dispatcher.limit = limit
        self._widen(limit or 1)
        self._dispatcher.command(lambda: self._dispatcher.scheduler.resize(limit))

    def _settings_of_now(self) -> Settings:
        """What a worker that is started now has to know."""
        return _settings.of_now(
            cpus=max(1, _cpus.cpu_count() // self._width),
            idle_timeout=self._idle_timeout,
            memory_limit=self._memory_limit,
            inheritance=self._dispatcher.crew.bequest is not None,
            initializer=self._dispatcher.crew.initializer is not None,
        )

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Accept nothing new."""
        self.closed = True

    def drain(self) -> None:
        """Wait until everything that was submitted has ended."""
        if not self._dispatcher.ended:
            with self._ending_all():
                self.wait(lambda: not self.has_work())

    def has_work(self) -> bool:
        """Whether any task has not ended, or its result has not been handed out. Where another thread drives: True, it cannot be told."""
        if self.driving.mine:
            return self._dispatcher.working()
        drove, working = self.driving.try_drive(self._dispatcher.working)
        return working or not drove

    def shutdown(self) -> None:
        """End all workers and give everything back. Tasks that have not ended are lost: see :meth:`drain`."""
        self.closed = True
        if self.pid != os.getpid():
            return
        if self.driving.mine:  # from inside a callback, which the driver waits for
            self.shutdown_later()
            return
        with self._ending:
            if not self._dispatcher.ended:
                self._end_workers()
                self._dispatcher.close()
                self._close_depot()
                self.set_up.drop()

    def _end_workers(self) -> None:
        dispatcher = self._dispatcher
        working: list[bool] = []

        def ask() -> None:  # of the driver: another thread may be in the midst of a turn
            dispatcher.take_in()  # commands behind this one may be no work
            working.append(dispatcher.working())

        self._pause_nobody()
        dispatcher.command(ask)
        self.wait(lambda: bool(working))
        if not working[0]:
            dispatcher.command(dispatcher.retire_all)
            until = None if self._leave is None else time.monotonic() + self._leave
            self.wait(lambda: all(peer.hung_up for peer in list(dispatcher.peers.values())), until)
            if self.wait(lambda: not dispatcher.peers, time.monotonic() + _DEATH):
                return
        self.kill()

    def shutdown_later(self) -> None:
        """Shut down when everything that was submitted has ended, without being waited for."""

        self.closed = True
        if self.pid != os.getpid() or self._dispatcher.ended:
            return

        def finish() -> None:
            self.drain()
            self.shutdown()

        with contextlib.suppress(RuntimeError):  # the interpreter is ending, and ends it; or there is no room for a thread
            threading.Thread(target=finish, name="manyhands-shutdown", daemon=True).start()

    def cancel_waiting(self) -> None:
        """Cancel everything that has not started."""
        if self.pid != os.getpid() or self._dispatcher.ended:
            return
        self._dispatcher.command(self._dispatcher.cancel_unstarted)

    def cancel_waiting_of(self, call: PoolCall) -> None:
        """Cancel what has not started of one call."""
        if self.pid == os.getpid() and not self._dispatcher.ended:
            self._dispatcher.command(lambda: self._dispatcher.cancel_unstarted_of(call))

    def mute(self) -> None:
        """Hand out no more results: the program ends."""
        self._dispatcher.outcomes.muted = True

    def kill(self) -> None:
        """End all workers at once; tasks that run fail with ``WorkerDied``, those that wait are cancelled."""
        self.closed = True
        if self.pid != os.getpid() or self._dispatcher.ended:
            return
        self._dispatcher.command(lambda: self._dispatcher.end_all(signal.SIGKILL))
        if not self.wait(lambda: not self._dispatcher.peers, time.monotonic() + _DEATH):
            self._dispatcher.command(self._dispatcher.crew.launcher.give_up)
            self.wait(lambda: not self._dispatcher.peers)

    def break_off(self, error: BaseException) -> None:
        """End all workers at once, and every call with this error, in the threads that wait for it. Does not wait."""
        self.closed = True
        self._broken_off = error
        if self.pid == os.getpid() and not self._dispatcher.ended:
            self._dispatcher.command(lambda: self._dispatcher.break_off(error))
            self.driving.need_background()  # whoever drives just now may be the one that is told

    def terminate(self) -> None:
        """Like :meth:`kill`, but ask first: workers have a moment to handle SIGTERM."""
        self.closed = True
        if self.pid != os.getpid() or self._dispatcher.ended:
            return
        self._pause_nobody()
        self._dispatcher.command(lambda: self._dispatcher.end_all(signal.SIGTERM))
        self.wait(lambda: not self._dispatcher.peers, time.monotonic() + _LEAVE)
        self.shutdown()

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        self.closed = True
        self._dispatcher.crew.abandon()
        self._close_depot()
        self.set_up.let_go()

    def _close_depot(self) -> None:
        self._functions.clear()
        self._dispatcher.crew.initializer = None
        depot, self._depot = self._depot, None
        if depot is not None:
            depot.close()
