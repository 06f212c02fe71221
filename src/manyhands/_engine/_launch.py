"""How workers are started.

===========  ==========================================================================================
``zygote``   forked from one small, clean process; about a millisecond (the default)
``spawn``    a new interpreter each; some 30 ms; nothing shared but the environment
``fork``     a copy of this process with all that it has loaded; as unsafe with threads as ``os.fork``
===========  ==========================================================================================

A launcher hands out processes and tells what becomes of them. It is used by one thread at a time: the one that drives the pool.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import sys
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Protocol

from manyhands._engine import _relay, _worker_process
from manyhands._engine._zygote_handle import start_python
from manyhands._wire import _frames, _posix
from manyhands._wire._channel import Channel

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from manyhands._codec._inherited import Inheritance
    from manyhands._engine._settings import Settings
    from manyhands._engine._zygote_handle import Zygote

# Events of a launcher: (worker id, ...)
Started = tuple[str, int, int]  # "started", worker id, pid
Exited = tuple[str, int, int | None]  # "exited", worker id, exit status (None: unknown)
Failed = tuple[str, int, OSError]  # "failed", worker id, error
Orphaned = tuple[str, int, None]  # "orphaned", worker id: whether it runs nobody will tell; its channel does
Event = Started | Exited | Failed | Orphaned


class Launcher(Protocol):
    """The contract of a start method."""

    def start(self, number: int, sock: socket.socket, slot_fd: int, settings: Settings) -> None:
        """Begin to start worker ``number`` on these descriptors, which stay the caller's.

        Raises:
            OSError: it cannot be started. What is found out later comes as an event.
        """

    def descriptors(self) -> set[tuple[int, int]]:
        """What to poll: when one is readable, there are events.

        Pairs (descriptor, serial): a number that was closed and used again is another descriptor.
        """

    def events(self) -> list[Event]:
        """What has happened since. Never blocks."""

    def tracks(self, number: int) -> bool:
        """Whether the end of worker ``number`` will be told."""

    def forget(self, number: int) -> None:
        """The end of worker ``number`` has been noted; its pid may be used again by the system."""

    def close(self) -> None:
        """Kill what is left, and give everything back."""

    def abandon(self) -> None:
        """In a forked child: let go of the descriptors; the processes are the parent's."""

    def give_up(self) -> None:
        """What watches the workers does not answer (it may be stopped): do without it."""


class ZygoteLauncher:
    """Workers forked by the zygote, over a control connection of this pool's own."""

    def __init__(self, zygote: Zygote, preload: tuple[str, ...] = ()) -> None:
        self._zygote = zygote
        self._preload = preload
        self._control: Channel | None = None
        self._connections = 0
        self._settings = SettingsFile()
        self._pids: dict[int, int] = {}
        self._pending: set[int] = set()  # asked for, and not answered yet
        self._lost: list[Event] = []

    def start(self, number: int, sock: socket.socket, slot_fd: int, settings: Settings) -> None:
        pieces = _frames.pack(_frames.FORK, a=number, fds=3)
        fds = [sock.fileno(), slot_fd, self._settings.descriptor(settings)]
        for _ in range(2):  # the second time with a new zygote
            if self._control is None:
                self._control = Channel(self._zygote.connect(self._preload), blocking=False)
                self._connections += 1
            self._control.queue(pieces, fds)
            try:
                # What the zygote has no room for now goes when its next answer comes.
                self._control.flush()
            except (BrokenPipeError, ConnectionResetError):
                self._lose_control()
                continue
            self._pending.add(number)
            return
        raise OSError(errno.EPIPE, "the process that starts workers ends as soon as it is started")

    def descriptors(self) -> set[tuple[int, int]]:
        return set() if self._control is None else {(self._control.fileno(), self._connections)}

    def events(self) -> list[Event]:
        events, self._lost = self._lost, []
        while self._control is not None:
            try:
                self._control.flush()
                frames = self._control.receive()
            except (EOFError, OSError):
                self._lose_control()
                events += self._lost
                self._lost = []
                break
            if not frames:
                break
            for frame in frames:
                events.append(self._event(frame.kind, frame.a, frame.b, bytes(frame.payload)))
        return events

    def _event(self, kind: int, number: int, value: int, text: bytes) -> Event:
        self._pending.discard(number)
        if kind == _frames.FORKED:
            self._pids[number] = value
            return ("started", number, value)
        if kind == _frames.EXITED:
            return ("exited", number, value)
        return ("failed", number, OSError(value, text.decode()))

    def _lose_control(self) -> None:
        """The zygote was killed. Its workers live, also those that it had started and not told of."""
        if self._control is not None:
            self._control.close()
            self._control = None
        self._lost += [("orphaned", number, None) for number in self._pending]
        self._pending.clear()
        self._pids.clear()

    def tracks(self, number: int) -> bool:
        return number in self._pids or number in self._pending

    def forget(self, number: int) -> None:
        pid = self._pids.pop(number, None)
        if pid is not None and self._control is not None:
            self._control.queue(_frames.pack(_frames.REAP, a=pid))
            with contextlib.suppress(OSError):
                self._control.flush()

    def close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        self._settings.close()

    abandon = close

    def give_up(self) -> None:
        self._zygote.kill()


class SettingsFile:
    """Settings of workers, in anonymous memory: they may be larger than what a socket takes at once."""

    def __init__(self) -> None:
        self._fd = -1
        self._content = b""

    def descriptor(self, settings: Settings) -> int:
        """A descriptor of these settings, which stays open until others are asked for.

        Raises:
            OSError: there is no room for it.
        """
        content = marshal.dumps(dict(settings))
        if self._fd < 0 or content != self._content:
            self.close()
            self._fd = _posix.anonymous_memory(0)
            self._content = content
            _posix.write_all(self._fd, content)
        return self._fd

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ChildLauncher:
    """Workers that are children of this process: ``spawn`` and ``fork``."""

    def __init__(self, lifeline: tuple[int, int], begin: Callable[[tuple[int, int, int, int]], int]) -> None:
        self._lifeline = lifeline
        self._settings = SettingsFile()
        self._begin = begin
        self._pids: dict[int, int] = {}
        self._pidfds: dict[int, int] = {}  # descriptor: worker id
        self._told: set[int] = set()
        self._events: list[Event] = []

    def start(self, number: int, sock: socket.socket, slot_fd: int, settings: Settings) -> None:
        pid = self._begin((sock.fileno(), slot_fd, self._lifeline[0], self._settings.descriptor(settings)))
        with contextlib.suppress(OSError):  # the child does it as well; whoever comes first
            os.setpgid(pid, pid)
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfds[os.pidfd_open(pid)] = number
            except OSError as error:
                if error.errno != errno.ENOSYS:  # a system without them: its end shows in its channel
                    _posix.kill_group(pid)
                    _posix.reap(pid)
                    raise
        self._pids[number] = pid
        self._events.append(("started", number, pid))

    def descriptors(self) -> set[tuple[int, int]]:
        return set(self._pidfds.items())

    def events(self) -> list[Event]:
        events, self._events = self._events, []
        for number, pid in list(self._pids.items()):
            ended, status = _posix.peek_exit(pid)
            if ended and number not in self._told:
                self._told.add(number)
                events.append(("exited", number, status))
        return events

    def tracks(self, number: int) -> bool:
        return number in self._pids

    def forget(self, number: int) -> None:
        self._told.discard(number)
        pid = self._pids.pop(number, None)
        if pid is not None:
            _posix.reap(pid)
        for fd in [fd for fd, owner in self._pidfds.items() if owner == number]:
            del self._pidfds[fd]
            os.close(fd)

    def close(self) -> None:
        for number, pid in list(self._pids.items()):
            _posix.kill_group(pid)
            self.forget(number)
        self._settings.close()

    def give_up(self) -> None:
        return  # this process watches them itself

    def abandon(self) -> None:
        _posix.close_quietly(self._pidfds)
        self._settings.close()
        self._pidfds.clear()
        self._pids.clear()


def spawn(fds: tuple[int, int, int, int]) -> int:
    """Start a worker in a new interpreter."""
    return start_python("_spawned", (3, 4, 5, 6), dict(zip((3, 4, 5, 6), fds, strict=True)))


def fork(inheritance: Inheritance | None, fds: tuple[int, int, int, int]) -> int:
    """Start a worker as a copy of this process, which inherits what is meant for it, and no more than any child does."""
    # Copies, for the child: its fork hook lets go of the pool's own.
    channel, slot, lifeline, settings = copies = [os.dup(fd) for fd in fds]
    _flush_streams()
    try:
        with contextlib.nullcontext() if inheritance is None else inheritance.passed_on(), _no_warning_of_ours():
            pid = os.fork()
            if pid == 0:
                _leave_input()
                _relay.forget_the_programs()
                _worker_process.main(channel, slot, lifeline, settings, None if inheritance is None else inheritance.adopt)
    finally:
        _posix.close_quietly(copies)
    return pid


@contextlib.contextmanager
def _no_warning_of_ours() -> Iterator[None]:
    """Python 3.12 warns of a fork while there are threads; not if they are manyhands' own, which the child has no use for."""
    if all(thread is threading.main_thread() or thread.name.startswith("manyhands-") for thread in threading.enumerate()):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            yield
    else:
        yield


def _leave_input() -> None:
    """In the child: standard input is the program's, and empty here, as it is for workers that are started otherwise."""
    with contextlib.suppress(Exception):  # it is closed, or an object of the user's
        if sys.stdin.fileno() == 0:
            empty = os.open(os.devnull, os.O_RDONLY)
            os.dup2(empty, 0)
            os.close(empty)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the old one may have read ahead


def _flush_streams() -> None:
    """Or what has been printed and not written would be by the child as well."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or None, or an object of the user's
            stream.flush()


def make_launcher(start_method: str, zygote: Zygote, preload: tuple[str, ...], inheritance: Inheritance | None = None) -> Launcher:
    """The launcher of a start method: "zygote", "spawn" or "fork"."""
    if start_method == "zygote":
        return ZygoteLauncher(zygote, preload)
    if start_method in {"spawn", "fork"}:
        return ChildLauncher(zygote.lifeline, spawn if start_method == "spawn" else partial(fork, inheritance))
    msg = f"start_method={start_method!r} is not known; allowed: 'zygote', 'spawn', 'fork'"
    raise ValueError(msg)
