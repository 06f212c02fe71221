"""What a worker does: take tasks from the channel, run them, send back what came of them.

One thread, no locks. Nothing here may raise into the loop: whatever a task does ends up in its own reply.

This module is loaded in the zygote, so that a forked worker is ready at once; it imports little.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import marshal
import os
import signal
import socket
import struct
import sys
import time
import types

from manyhands._codec import _failures, _packing, _passing, _pickling
from manyhands._core import worker_ids
from manyhands._engine import _in_multiprocessing, _repertoire
from manyhands._engine._relay import Relay
from manyhands._engine._repertoire import Repertoire
from manyhands._engine._reply import Reply
from manyhands._wire import _frames, _messages, _posix, _slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Any

    from manyhands._codec._pickling import Bytes
    from manyhands._engine._luggage import Luggage
    from manyhands._engine._settings import Settings
    from manyhands._wire._channel import Channel
    from manyhands._wire._frames import Frame

    Call = Callable[[Any], object]

# When a task ends, results that have been held back for so long are sent. What has been sent survives the worker's death.
_HOLD_NS = 1_000_000


class Worker:
    """The loop and what it keeps: the channel, the shared words, the functions it has been sent.

    Attributes:
        here: the one of this process.
    """

    here: Worker | None = None

    def __init__(self, channel: Channel, words: memoryview) -> None:
        self.channel = channel
        self.out: deque[Bytes] = channel.out  # what is to be sent
        self._words = words
        self._reply = Reply(self)
        self._repertoire = Repertoire(self._loaded)
        self._exit: Callable[[], object] | None = None
        self._luggage: Luggage | None = None
        self._relay: Relay | None = None
        self.unsaid: Collection[object] = ()  # of lines that have been begun; see Relay
        self.borrows = False  # the task that runs came in segments
        self._backlog: list[Frame] = []  # what came while a task waited for something else
        self._pid = os.getpid()
        self._forked = False  # a task has forked, and this is the child
        self._memory_limited = False
        self._full = False  # a task has hit the memory limit
        self._giving = False  # results, in the midst of a task

    def _loaded(self) -> None:
        """A function has been, in the time of its first task."""
        self._reply.begin_now()
        self._note_imports()

    def _note_imports(self) -> None:
        if self._relay is not None:
            self._relay.note_imports()

    def _become_child(self) -> None:
        """The tasks, the channel and the slot are the parent's. The child ends when it comes back from the task."""
        self._forked = True
        self.channel.sock.close()
        if self._relay is not None:
            self._relay.fork()

    def close(self) -> None:
        """Hang up. Only a rehearsal ends so; a worker ends with its process."""
        self.channel.close()

    def set_up(self, options: Settings) -> bool:
        """Apply limits and run the initializer; False if it raised, which has then been reported."""
        Worker.here = self
        os.register_at_fork(after_in_child=self._become_child)
        _pickling.ask, _pickling.home = self._ask, options["home"]
        signal.signal(_posix.RESULTS_SIGNAL, self._give_results)
        signal.siginterrupt(_posix.RESULTS_SIGNAL, False)  # C code that a task calls need not know that a call can be interrupted
        idle = options["idle_timeout"]
        if idle > 0:
            # In the kernel: a Python time-out would cost a system call per message.
            interval = struct.pack("@ll", int(idle), int(idle % 1 * 1e6) or 1)
            self.channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        if options["memory_limit"]:
            self._memory_limited = True
            _posix.limit_memory(options["memory_limit"])
        self._adopt(self._await(_frames.SURROUNDINGS))
        try:
            if options["inheritance"]:
                self._inherit(self._await(_frames.INHERITANCE))
            if options["initializer"]:
                initializer, arguments, self._exit = self._repertoire.load(0, self._kept(self._await(_frames.FUNCTION)))
                self._note_imports()
                if initializer is not None:
                    initializer(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            self._say(_frames.LEAVING, _failures.encode_failure(error, _OWN), a=_frames.LEAVES_SETUP)
            return False
        self._words[_slot.READY] = 1
        return True

    def take_leave(self) -> None:
        """Call the exit function, and send what it returns."""
        if self._exit is None:
            return
        try:
            payload, flags = _pickling.encode_whole(self._exit()), 0
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            payload, flags = _failures.encode_failure(error, _OWN), _frames.FAILURE
        if self.unsaid:
            self.finish_lines()
        self.send(_frames.pack(_frames.FAREWELL, payload, flags=flags))

    def _inherit(self, frame: Frame) -> None:
        from manyhands._codec import _inherited  # noqa: PLC0415 - few programs share objects of multiprocessing

        if len(frame.fds) < frame.n_fds:
            _posix.close_quietly(frame.fds)
            raise OSError(errno.EMFILE, "no file descriptor was left to receive what a worker inherits (ulimit -n)")
        _inherited.receive(frame.payload, frame.fds)

    def serve(self) -> None:
        """Handle frames until told to stop, or idle for too long."""
        while True:
            try:
                frames, self._backlog = self._backlog, []
                frames = frames or self.channel.receive()
                for frame in frames:
                    if frame.kind == _frames.STOP:
                        return
                    self._handle(frame)
            except MemoryError:  # not a task's own: what comes is larger than the memory that there is
                self._say(_frames.LEAVING, a=_frames.LEAVES_TOO_LARGE)
                return
            if self._full or (not frames and not self.channel.partial):
                self._say(_frames.LEAVING, a=_frames.LEAVES_MEMORY if self._full else _frames.LEAVES_IDLE)
                return

    def _handle(self, frame: Frame) -> None:
        if frame.kind == _frames.RUN:
            if frame.flags & _frames.PLACED:
                self._run_placed(frame)
            else:
                self._run(frame)
        elif frame.kind == _frames.FUNCTION:
            try:
                self._repertoire.add(frame.a, self._kept(frame))
            except OSError as error:
                self._repertoire.add(frame.a, error)
        elif frame.kind == _frames.GONE:
            self.luggage.take_back(frame)
        elif frame.kind == _frames.FORGET:
            self._repertoire.forget(frame.a)
        elif frame.kind == _frames.SURROUNDINGS:
            self._adopt(frame)
        elif frame.kind == _frames.TAG and self._relay is not None:
            self._relay.name_tasks(frame)

    def _adopt(self, frame: Frame) -> None:
        """Take note of what is around the program; the first time, with the pipe for what is said."""
        around, fds = marshal.loads(frame.payload), list(frame.fds)
        if self._relay is None:
            self._relay = Relay(self._words, fds.pop(0))
            self.unsaid = self._relay.unsaid
            worker_ids.of_process = number = around["worker_id"]
            _in_multiprocessing.be_a_child(number, around["program"])
        if fds:
            _in_multiprocessing.use_tracker(fds.pop(0))
        if "path" in around:
            _change_path(*around["path"])
        if "logs" in around:
            self._relay.follow_logs(around["logs"])
        if "warnings" in around:
            self._relay.follow_warnings(around["warnings"])
        if "watch" in around:
            self._be_watched(around["watch"])

    def _be_watched(self, told: dict[str, Any] | None) -> None:
        from manyhands._engine import _watched  # noqa: PLC0415 - most workers are not

        _watched.join(told, worker_ids.of_process or 0)

    def started(self) -> tuple[int, int]:
        """The task that was started last, and when. For any thread."""
        return self._words[_slot.STARTED], self._words[_slot.START_NS]

    def has_joined(self, told: dict[str, Any], choices: dict[str, Any]) -> None:
        """Code of the user's has had this process watched: so is its program, by these choices."""
        self._be_watched(told)
        if self._relay is not None:
            self._relay.say(_messages.WATCHED, marshal.dumps(choices))

    def finish_lines(self) -> None:
        """Say what the task has written of lines that it has not ended: before its result is sent."""
        if self._relay is not None and not self._giving:  # or else a task goes on
            self._relay.finish_lines()

    def settle(self) -> None:
        """Do what is to be done before the last result of a message is sent: then the parent lets go of what that has brought."""
        if not self._giving:
            with contextlib.suppress(Exception):
                _passing.settle()

    @property
    def luggage(self) -> Luggage:
        """What deals with large pieces."""
        if self._luggage is None:
            from manyhands._engine._luggage import Luggage  # noqa: PLC0415 - only where something large is sent

            self._luggage = Luggage(self)
        return self._luggage

    def _kept(self, frame: Frame) -> Frame:
        """A message whose content may be used more than once.

        Raises:
            OSError: there is no room for what lies in segments.
        """
        return self.luggage.with_originals(frame) if frame.flags & _frames.PLACED else frame

    # ------------------------------------------------------------ tasks

    def _run_placed(self, frame: Frame) -> None:
        """A task whose arguments came in segments. When it has returned, those that it has not kept can be used again."""
        try:
            told = self.luggage.unpack(frame)
        except OSError as error:
            self._words[_slot.STARTED] = frame.ordinal
            if self._words[_slot.EPOCH] != frame.b:
                self._say(_frames.SKIPPED, ordinal=frame.ordinal)
            else:
                self._fail(frame.ordinal, self._no_room(error), time.monotonic_ns())
            return
        self.borrows = True
        try:
            self._run(frame)
        finally:
            self.borrows = False
        self.luggage.put_away(frame, told)

    def _no_room(self, error: OSError) -> BaseException:
        """Why arguments could not be mapped."""
        if error.errno != errno.ENOMEM:
            return error
        return MemoryError() if self._memory_limited else MemoryError(str(error))  # the parent says what the limit is

    def _run(self, frame: Frame) -> None:
        if frame.flags & _frames.ONE_PICKLE:
            arguments: Iterable[object] = _packing.split_atoms(frame.payload)
        else:
            arguments = _packing.split_pickles(frame.payload, frame.count)
        self._run_all(frame, _adapt(self._repertoire.call(frame.a), frame), arguments)

    def _ask(self, keys: list[tuple[str, str, bytes]], seen: str) -> Any:
        """In the midst of a task: what the program means by a name under which there is something else here, or nothing."""
        with _no_signals():  # an alarm of the task's would leave the answer to be taken for the next one's
            self._say(_frames.WANT, marshal.dumps((keys, seen)))
            given = self._await(_frames.GIVEN)
        if given.flags & _frames.FAILURE:
            raise _failures.decode_failure(given.payload)
        return _pickling.decode(*_repertoire.contents(self._kept(given)))

    def _await(self, kind: int) -> Frame:
        """The next message of a kind; what comes besides is for later."""
        found: Frame | None = None
        arrived, self._backlog = self._backlog, []
        while found is None:
            for frame in arrived or self.channel.receive():
                if frame.kind == kind and found is None:
                    found = frame
                else:
                    self._backlog.append(frame)
            arrived = []
        return found

    def _run_all(self, frame: Frame, call: Call, arguments: Iterable[object]) -> None:
        words, clock, numbers = self._words, time.monotonic_ns, _packing.NUMBERS
        ordinal, epoch = frame.ordinal, frame.b
        now = clock()
        reply = self._reply
        reply.restart(ordinal, now)
        values = reply.values
        # Of quick tasks, one in 16 is timed.
        mask = 15 if frame.flags & _frames.QUICK else 0
        words[_slot.START_NS] = now
        for argument in arguments:
            words[_slot.STARTED] = ordinal
            if words[_slot.EPOCH] != epoch:
                reply.send(now)
                self._say(_frames.SKIPPED, ordinal=ordinal)
                return
            try:
                value = call(argument)
                if self._forked:
                    raise SystemExit  # see below
                if type(value) in numbers or _packing.is_short_text(value):
                    values.append(value)
                else:
                    reply.add(value, clock)
            except BaseException as error:
                if os.getpid() != self._pid:
                    raise  # a child that the task has forked: it ends as it would have, elsewhere
                reply.send(now)
                self._fail(ordinal, error, now)
                words[_slot.START_NS] = now = clock()
                reply.restart(ordinal + 1, now)
            ordinal += 1
            if ordinal & mask == 0:
                words[_slot.START_NS] = now = clock()
                if now - reply.since > _HOLD_NS:
                    reply.send(now)
        reply.send(clock() if mask else now)

    def _give_results(self, _: int, frame: types.FrameType | None) -> None:
        """The task that runs takes long, and results of earlier ones are held back: send them, in the midst of it."""
        if self._giving or os.getpid() != self._pid or not _is_in_task(frame):
            return
        self._giving = True
        try:
            # What a handler of the task's raises is for the task; what is raised here is not, and what could not be sent is sent later.
            with _no_signals(), contextlib.suppress(Exception):
                self._reply.send(max(self._reply.since, self._words[_slot.START_NS]))
        finally:
            self._giving = False

    def _fail(self, ordinal: int, error: BaseException, started: int) -> None:
        if self._memory_limited and isinstance(error, MemoryError):
            self._full = True
        if _passing.unsettled:
            self.settle()
        if self.unsaid:
            self.finish_lines()
        payload = _failures.encode_failure(error, _OWN)
        self._say(_frames.FAILED, payload, ordinal=ordinal, count=1, a=started, b=time.monotonic_ns() - started)

    def _say(self, kind: int, payload: Bytes = b"", *, ordinal: int = 0, count: int = 0, a: int = 0, b: int = 0) -> None:
        self.send(_frames.pack(kind, payload, ordinal=ordinal, count=count, a=a, b=b))

    def send(self, pieces: list[Bytes]) -> None:
        """Send one frame now. Waits while the parent is busy."""
        self.out += pieces
        self.flush()

    def flush(self) -> None:
        """Send what is in ``out``."""
        try:
            self.channel.flush()
        except OSError as error:
            if error.errno in {errno.EBADF, errno.ENOTSOCK}:  # a task has closed it: the slot is all that is left to say so
                self._words[_slot.CUT_OFF] = 1
                raise EOFError from None
            raise


_OWN = os.path.dirname(__file__) + os.sep  # what tracebacks of tasks do not show
_ROOM = 100  # frames that sending results may take, with those outside of the loop
_LOOP = Worker._run_all.__code__  # noqa: SLF001 - of this very module
# What handles results: it cannot be interrupted to handle results.
_HANDLING = frozenset(
    getattr(owner, name).__code__
    for owner, name in ((Worker, "_fail"), (Worker, "_say"), (Worker, "send"), (Reply, "add"), (Reply, "send"), (Reply, "restart"))
)


def _change_path(before: list[str], now: list[str]) -> None:
    """Look for modules where the program does by now; and where tasks or an initializer have said."""
    front: list[str] = []
    back: list[str] = []
    own = front
    for entry in sys.path:
        if entry in before:
            own = back
        elif entry not in now:
            own.append(entry)
    sys.path[:] = [*front, *now, *back]
    importlib.invalidate_caches()


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """None is handled in there. Those that have come are, as it is entered and as it is left; what their handlers raise goes through."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_in_task(frame: types.FrameType | None) -> bool:
    """Whether ``frame`` is in the midst of a task's function, with room on the stack, and not in what is done between two tasks."""
    inner, depth = None, _ROOM
    while frame is not None and frame.f_code is not _LOOP:
        inner, frame = frame, frame.f_back
        depth += 1
    return frame is not None and inner is not None and inner.f_code not in _HANDLING and depth < sys.getrecursionlimit()


def _adapt(function: Callable[..., object], frame: Frame) -> Call:
    """A callable of one argument, as it stands in the message."""
    flags = frame.flags
    if flags & _frames.ONE_PICKLE:
        if flags & _frames.STAR:
            return lambda row: function(*row)
        # A frame of its own tells that a task runs: see _is_in_task. Functions in Python have one; for quick tasks it takes too long.
        return function if isinstance(function, types.FunctionType) or flags & _frames.QUICK else lambda value: function(value)
    decode, buffers = _pickling.decode, frame.buffers
    if flags & _frames.KEYWORDS:

        def with_keywords(payload: Bytes) -> object:
            args, kwargs = decode(payload, buffers, "call")
            return function(*args, **kwargs)

        return with_keywords
    if flags & _frames.STAR:
        return lambda payload: function(*decode(payload, buffers, "arguments"))
    return lambda payload: function(decode(payload, buffers, "argument"))
