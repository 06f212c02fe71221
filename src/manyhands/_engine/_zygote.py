"""The zygote: one small process with a single thread, from which workers are forked.

It has imported what a worker needs and nothing else, so a fork takes a millisecond, and no thread or lock of the
user's program is ever copied. It serves one control connection per pool, and one root connection over which those are handed to it.

**Guarantees**

- A worker that has ended stays a zombie until its pool has taken note (``REAP``), so the pool never signals a stranger's pid.
- When a control connection ends, its workers and all that they started are killed; when the parent ends, the kernel kills everything.
- When the zygote is killed, the workers live on: their channels lead to the parent, not here.
- Once a worker has been asked for, one more waits in reserve. It is forked when nothing else is to be done, and ends with the zygote.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import signal
import socket
import sys
import warnings

from manyhands._engine import _worker_process
from manyhands._engine._spare import Spare
from manyhands._wire import _frames, _poller, _posix
from manyhands._wire._channel import Channel
from manyhands._wire._poller import Poller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._wire._frames import Frame

# Seconds without a request until the next is prepared for: a program that starts has better use for the processors.
_QUIET = 0.02

# What most workers come to need, loaded when it is quiet: what nearly every module of a user's imports, what functions by value, those of
# the project, and results that are not plain take. It would take each worker 3, 4, 6 and 8 ms.
_SOON = (
    "typing",
    "opcode",
    "manyhands._codec._main_globals",
    "manyhands._codec._captures",
    "manyhands._codec._definitions",
    "manyhands._codec._rules",
)

_NOBODYS = (-1, 0)  # a child that no connection asks about


def main(root_fd: int, lifeline_fd: int) -> None:
    """Serve until the parent is gone."""
    _posix.die_with(lifeline_fd)
    _posix.go_first_for_memory()  # inherited by the workers; a zygote that is taken is replaced
    zygote = Zygote(root_fd, lifeline_fd)
    gc.freeze()  # or the collector would write to every page that the workers share
    gc.enable()  # see start_python
    zygote.serve()
    zygote.close()
    os._exit(0)  # nothing of this process is worth an orderly end


class Zygote:
    """The control connections and the workers that live."""

    def __init__(self, root_fd: int, lifeline_fd: int) -> None:
        self._lifeline = lifeline_fd
        self._poller = Poller()
        self._root = Channel(socket.socket(fileno=root_fd), blocking=False, descriptors=True)
        self._controls: dict[int, Channel] = {}
        self._children: dict[int, tuple[int, int]] = {}  # pid: (descriptor of its control connection, worker id)
        self._noted: set[int] = set()  # pids of zombies that have been reported
        self._spare: Spare | None = None
        self._spare_is_due = False
        self._to_load = list(_SOON)
        self._poller.add(self._root.fileno())
        self._wake = _posix.waker_pair()
        self._poller.add(self._wake[0])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)

    def serve(self) -> None:
        """The loop; returns when the parent has closed the root connection."""
        while True:
            ready = self._poller.wait(_QUIET if self._spare_is_due else None)
            while not ready and self._spare_is_due:
                self._prepare()
                ready = self._poller.wait(0)
            for fd, mask in ready:
                if mask & _poller.WRITE and fd in self._controls:
                    self._flush(self._controls[fd])
                if fd == self._wake[0]:
                    _posix.silence(fd)
                    self._note_exits()
                elif fd == self._root.fileno():
                    try:
                        frames = self._root.receive()
                    except (EOFError, OSError):
                        return
                    for frame in frames:
                        self._handle_root(frame)
                elif fd in self._controls and mask & ~_poller.WRITE:
                    self._serve_control(fd)

    def close(self) -> None:
        """Leave nothing behind that nobody would bury: where the program is the first process of a container, it would have to."""
        if self._spare is not None:
            _posix.send_signal(self._spare.pid, signal.SIGKILL)
            _posix.reap(self._spare.pid)
        for pid in self._children:
            if _posix.peek_exit(pid)[0]:
                _posix.reap(pid)

    def _handle_root(self, frame: Frame) -> None:
        if frame.kind == _frames.ATTACH:
            control = Channel(socket.socket(fileno=frame.fds[0]), blocking=False, descriptors=True)
            self._controls[control.fileno()] = control
            self._poller.add(control.fileno())
        elif frame.kind == _frames.PRELOAD:
            self._preload(*marshal.loads(frame.payload))

    def _preload(self, path: list[str], names: list[str]) -> None:
        sys.path[:] = path
        for name in names:
            try:
                importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - the user's modules may raise anything; workers can do without
                print(f"manyhands: preloading {name!r} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        gc.freeze()
        self._dismiss_spare()  # it has not loaded them

    def _serve_control(self, fd: int) -> None:
        control = self._controls[fd]
        try:
            frames = control.receive()
        except (EOFError, OSError):
            self._drop_control(fd)
            return
        for frame in frames:
            if frame.kind == _frames.FORK:
                self._start_worker(control, frame)
            elif frame.kind == _frames.REAP and frame.a in self._noted:
                self._reap(frame.a)

    def _start_worker(self, control: Channel, frame: Frame) -> None:
        try:
            pid = self._take_spare(frame.fds) or self._fork_worker(*frame.fds)
        except OSError as error:
            self._say(control, _frames.FORK_FAILED, str(error).encode(), a=frame.a, b=error.errno or 0)
        else:
            self._children[pid] = (control.fileno(), frame.a)
            self._say(control, _frames.FORKED, a=frame.a, b=pid)
            self._spare_is_due = True
        _posix.close_quietly(frame.fds)

    def _fork_worker(self, channel_fd: int, slot_fd: int, settings_fd: int) -> int:
        return self._fork(lambda: _worker_process.main(channel_fd, slot_fd, self._lifeline, settings_fd))

    def _fork(self, live: Callable[[], None]) -> int:
        """Fork a child that does nothing but ``live``; nothing of it, no error either, goes on in the frames above.

        Raises:
            OSError: the machine has no room for it.
        """

        def child() -> None:
            self._let_go()
            live()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a preloaded library may have started threads
            pid = os.fork()
        if pid == 0:
            _worker_process.to_the_end(child)
        return pid

    def _let_go(self) -> None:
        """In a child: close what is the zygote's alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._poller.close()
        for channel in (self._root, *self._controls.values()):
            channel.close()
        _posix.close_quietly(self._wake)
        if self._spare is not None:
            self._spare.dismiss()  # this copy of the link does not keep it

    # ------------------------------------------------------------ the spare

    def _prepare(self) -> None:
        """One step, a few milliseconds, of what the next worker takes."""
        if self._to_load:
            importlib.import_module(self._to_load.pop(0))
            gc.freeze()
            return
        self._spare_is_due = False
        with contextlib.suppress(OSError):  # no room: the next worker will tell
            if self._spare is None:
                self._spare = Spare.start(self._fork, self._lifeline)

    def _take_spare(self, fds: Sequence[int]) -> int | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        if spare.adopt(fds):
            return spare.pid
        self._children[spare.pid] = _NOBODYS
        return None

    def _dismiss_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.dismiss()
            self._children[spare.pid] = _NOBODYS
            self._spare_is_due = True

    # ------------------------------------------------------------ ends

    def _note_exits(self) -> None:
        if self._spare is not None and _posix.peek_exit(self._spare.pid)[0]:
            self._dismiss_spare()
            self._spare_is_due = False  # the next request for a worker has it replaced
        for pid in [pid for pid in self._children if pid not in self._noted]:
            ended, status = _posix.peek_exit(pid)
            if not ended:
                continue
            fd, number = self._children[pid]
            control = self._controls.get(fd)
            if control is None:
                self._reap(pid)
            else:
                self._noted.add(pid)
                self._say(control, _frames.EXITED, a=number, b=status or 0)

    def _reap(self, pid: int) -> None:
        _posix.reap(pid)
        self._children.pop(pid, None)
        self._noted.discard(pid)

    def _drop_control(self, fd: int) -> None:
        self._poller.remove(fd)
        self._controls.pop(fd).close()
        for pid in [pid for pid, (owner, _) in self._children.items() if owner == fd]:
            _posix.kill_group(pid)
            if pid in self._noted:
                self._reap(pid)
            else:
                # The number of the descriptor may be used again, by another pool.
                self._children[pid] = _NOBODYS

    def _say(self, control: Channel, kind: int, payload: bytes = b"", *, a: int = 0, b: int = 0) -> None:
        control.queue(_frames.pack(kind, payload, a=a, b=b))
        self._flush(control)

    def _flush(self, control: Channel) -> None:
        # What does not fit goes when the parent has read.
        with contextlib.suppress(OSError):
            sent = control.flush()
            self._poller.change(control.fileno(), _poller.READ if sent else _poller.READ | _poller.WRITE)
