"""The workers of one pool as processes: started, written to, listened to, let go. What they are given to do is decided elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._core import worker_ids
from manyhands._engine import _parcels
from manyhands._engine._sayer import Sayer
from manyhands._engine._supervisor import Peer
from manyhands._engine._surroundings import Surroundings
from manyhands._wire import _frames, _poller, _posix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._inherited import Bequest
    from manyhands._core.tasks import Worker
    from manyhands._engine._launch import Event, Launcher
    from manyhands._engine._parcels import Placed
    from manyhands._engine._settings import Settings
    from manyhands._wire._frames import Bytes, Frame

# Nanoseconds for the word of a worker's end to come: to wait before it is killed when it has closed its channel, since it may live on,
# and after that. A zygote that is stopped, or hangs, tells nothing; one that imports what is to be preloaded may be late.
_LINGER = 1_000_000_000
_WORD = 5_000_000_000


class Crew:
    """See the module. ``peers`` are its members by number; ``settings()`` gives what a new worker has to know.

    Any thread may :meth:`interrupt`; all the rest is the driver's.
    """

    def __init__(self, launcher: Launcher, settings: Callable[[], Settings]) -> None:
        self.peers: dict[int, Peer] = {}
        self.launcher: Launcher = launcher
        self.sleeping = False
        self.initializer: tuple[Bytes | Placed, Sequence[Bytes | Placed]] | None = None  # what each member is sent first
        self.bequest: Bequest | None = None  # what each is sent even before that
        self._settings = settings
        self._poller = _poller.Poller()
        self._watched: set[tuple[int, int]] = set()  # the launcher's descriptors
        self._by_fd: dict[int, Peer] = {}
        self._wake = _posix.waker_pair()
        self._poller.add(self._wake[0])
        self.sayer = Sayer()
        self.surroundings = Surroundings()
        self._dirty: set[Peer] = set()  # with something to send
        self._blocked: set[Peer] = set()  # whose socket is full

    def interrupt(self) -> None:
        """End :meth:`wait`, this one or the next."""
        _posix.ring(self._wake[1])

    # ------------------------------------------------------------ members

    def start(self, worker: Worker) -> None:
        """Ask for a process.

        Raises:
            OSError: the machine has no room for it.
        """
        peer = Peer(worker, worker_ids.least_free(peer.worker_id for peer in self.peers.values()))
        self.peers[worker.number] = peer
        try:
            theirs = self.sayer.start()
            self.launcher.start(worker.number, peer.theirs, peer.slot.fd, self._settings())
            self._by_fd[peer.channel.fileno()] = peer
            self._poller.add(peer.channel.fileno())
        except OSError:
            self.forget(peer)
            raise
        around, more = self.surroundings.for_new(peer.worker_id)
        peer.channel.queue(_frames.pack(_frames.SURROUNDINGS, around, fds=1 + len(more)), [theirs, *more])
        if self.bequest is not None:
            fds = self.bequest.fds
            peer.channel.queue(_frames.pack(_frames.INHERITANCE, self.bequest.payload, fds=len(fds)), fds)
            self.has_post(peer)
        if self.initializer is not None:
            _parcels.queue(peer.channel, peer.lent, _frames.FUNCTION, *self.initializer)
            self.has_post(peer)
        self._watch_launcher()

    def tell_surroundings(self, around: bytes, fds: list[int]) -> None:
        """Tell all members what has changed around the program."""
        for peer in self.peers.values():
            peer.channel.queue(_frames.pack(_frames.SURROUNDINGS, around, fds=len(fds)), fds)
            self.has_post(peer)

    def forget(self, peer: Peer) -> None:
        """It has ended, and everything of it has been read."""
        del self.peers[peer.number]
        self._dirty.discard(peer)
        self._blocked.discard(peer)
        self._hang_up(peer)
        peer.close()

    def await_end(self, peer: Peer) -> None:
        """It has hung up: its end is told soon, or else brought about."""
        if peer.pid is not None and not peer.kill_at and not peer.overdue:
            peer.kill_at = time.monotonic_ns() + _LINGER

    def kill_overdue(self, now: int) -> None:
        """Kill those whose last moment is over; and who does not tell of their end."""
        for peer in self.peers.values() if self._kills_due(now) else ():
            if peer.kill_at and peer.kill_at <= now:
                self._kill_overdue(peer, now)

    def _kill_overdue(self, peer: Peer, now: int) -> None:
        peer.kill_at = 0
        if peer.overdue:
            self.launcher.give_up()
        elif peer.hung_up:
            peer.overdue = True
            peer.kill_at = now + _WORD
            peer.cut_off = peer.pid is not None and not _posix.has_ended(peer.pid)
        peer.kill()

    def _kills_due(self, now: int) -> bool:
        return any(peer.kill_at and peer.kill_at <= now for peer in self.peers.values())

    def wake_at(self) -> int | None:
        """When the next of them is to be killed."""
        return min((peer.kill_at for peer in self.peers.values() if peer.kill_at), default=None)

    # ------------------------------------------------------------ what is sent

    def has_post(self, peer: Peer) -> None:
        """There is something to send to it."""
        self._dirty.add(peer)

    def flush(self) -> None:
        """Send as much as the sockets take."""
        for peer in self._dirty:
            self._flush(peer)
        self._dirty.clear()

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

    # ------------------------------------------------------------ what arrives

    def wait(self, timeout: float | None, news: Callable[[], bool]) -> tuple[list[Peer], bool]:
        """Sleep until something happens: who has sent something, and whether the launcher has.

        Does not sleep if there are ``news()``. What a signal's handler raises goes through; nothing has been changed then.
        """
        self.sleeping = True
        try:
            # Whoever has had news before seeing that flag did not interrupt.
            ready = self._poller.wait(0 if news() else timeout)
        finally:
            self.sleeping = False
        speaking, launcher = [], False
        for fd, mask in ready:
            peer = self._by_fd.get(fd)
            if peer is not None:
                if mask & _poller.WRITE:
                    self._dirty.add(peer)
                if mask & ~_poller.WRITE:
                    speaking.append(peer)
            elif fd == self._wake[0]:
                _posix.silence(fd)
            else:
                launcher = True
        return speaking, launcher

    def read(self, peer: Peer) -> list[Frame]:
        """What it has sent; if it has hung up, nothing, and ``peer.hung_up`` says so."""
        try:
            frames = peer.channel.receive()
        except (EOFError, OSError):
            self._hang_up(peer)
            return []
        except Exception:  # noqa: BLE001 - what it says makes no sense: nothing that comes behind can be believed
            peer.garbled = True
            peer.kill()
            self._hang_up(peer)
            return []
        if peer.pid is None:  # it was faster than the zygote's word of it
            peer.pid = peer.slot.pid()
        return frames

    def _hang_up(self, peer: Peer) -> None:
        peer.hung_up = True
        fd = peer.channel.fileno()
        if self._by_fd.pop(fd, None) is not None:
            self._unwatch(fd)

    def launcher_events(self) -> list[Event]:
        """What has become of processes."""
        events = self.launcher.events()
        self._watch_launcher()
        return events

    def _watch_launcher(self) -> None:
        wanted = self.launcher.descriptors()
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

    # ------------------------------------------------------------ the end

    def dismiss(self) -> None:
        """End all members at once, and forget them with what they have said."""
        for peer in list(self.peers.values()):
            peer.kill()
            self.forget(peer)

    def close(self) -> None:
        """Give everything back."""
        self.dismiss()
        self.launcher.close()
        self._poller.close()
        fds, self._wake = self._wake, (-1, -1)
        _posix.close_quietly(fds)
        self.surroundings.close()

    def abandon(self) -> None:
        """In a forked child: let go of the descriptors without touching the parent's processes."""
        for peer in self.peers.values():
            peer.close()
        self.peers.clear()
        self.launcher.abandon()
        self._poller.close()
        _posix.close_quietly(self._wake)
        self.sayer.abandon()
