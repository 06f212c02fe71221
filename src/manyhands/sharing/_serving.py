"""Requests of other processes for the objects of this one.

A thread for each connection reads a request, runs it and writes the reply: there is no hand-over between threads on the way. A process has
one session, however many connections it has; when its last connection ends, for whatever reason, its holds are given back.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from manyhands._wire._shared import SharedMemory
from manyhands.sharing import _asked, _callers, _coding, _dropping, _folder, _handshake, _operations
from manyhands.sharing._lanes import ENDLESS, Lane
from manyhands.sharing._table import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._kinds import Kind
    from manyhands.sharing._monitors import Monitor
    from manyhands.sharing._replying import Stream
    from manyhands.sharing._table import Entry
    from manyhands.sharing._waiting import Held, Undo


class Session:
    """Another process that has proxies of objects of this one.

    Attributes:
        holds: how many it has, by the number of the object.
        early: how many were given back before they came. A process says ``HOLD`` on one connection, and on another that the proxy is gone;
            these are read by two threads.
        late: of how many pickles it has told in messages that are still to be read, though its goodbye has been; below zero: the reverse.
    """

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.lanes = 0
        self.lock = threading.Lock()
        self.holds: Counter[int] = Counter()
        self.early: Counter[int] = Counter()
        self.late: dict[int, int] = {}
        self._put_off: dict[int, int] = {}  # holds that are given back when it has told of all its pickles
        self.streams: dict[int, Stream] = {}
        self._ties: set[Held] = set()

    def tie(self, what: Held) -> None:
        """This process has got what is to be given back when it dies: ``what.left_by`` is called then."""
        self._ties.add(what)

    def untie(self, what: Held) -> None:
        """It has given it back."""
        self._ties.discard(what)

    def hold(self, obj: Any, root: Entry | None, kind: Kind | None = None) -> Entry:
        """One more hold on an object, for the reply that tells of it."""
        entry = here.table.hold(obj, root, kind)
        with self.lock:
            self.holds[entry.number] += 1
        return entry

    def hold_again(self, numbers: list[int]) -> None:
        """Holds for proxies that came by other ways."""
        for number in numbers:
            with self.lock:
                is_gone = self.early[number] > 0
                self.early -= Counter({number: 1})  # keeps what is positive
            entry = here.table.entries.get(number)
            if entry is not None and not is_gone:
                self.hold(entry.obj, entry.root)

    def let_go(self, counts: list[tuple[int, int, int]]) -> None:
        """Proxies are gone, each of which had so many holds, and of which so many pickles were told, or are about to be."""
        for number, holds, leases in counts:
            count = self._given_back(number, holds, leases) if leases else holds
            entry = here.table.entries.get(number)
            with self.lock:
                known = min(count, self.holds[number])
                self.holds[number] -= known
                if not self.holds[number]:
                    del self.holds[number]
                if entry is not None and count > known:
                    self.early[number] += count - known
            if entry is not None:
                here.table.let_go(entry, known)

    def lease(self, number: int, ticket: int = 0) -> None:
        """There is a pickle of a proxy."""
        entry = here.table.entries.get(number)
        if entry is not None:
            _dropping.lease(entry, ticket)
        count = self._given_back(number, 0, -1)
        if count:
            self.let_go([(number, count, 0)])

    def _given_back(self, number: int, holds: int, leases: int) -> int:
        """How many holds can be given back now: none, as long as what came before on another connection has not been read."""
        with self.lock:
            self.late[number] = late = self.late.get(number, 0) + leases
            if late > 0:
                self._put_off[number] = self._put_off.get(number, 0) + holds
                return 0
            if not late:
                del self.late[number]
            return holds + self._put_off.pop(number, 0)

    def end(self) -> None:
        """The process has gone."""
        while self._ties:
            self._ties.pop().left_by(self)
        with self.lock:
            counts = [(number, count, 0) for number, count in self.holds.items()]
        self.let_go(counts)


class Service:
    """One connection, served by one thread.

    Attributes:
        undo: what to do if the reply that is on its way is never read; see :mod:`manyhands.sharing._waiting`.
        descriptor: of the connection.
    """

    __slots__ = ("_held", "_lane", "_stream", "descriptor", "session", "undo")
    atom = staticmethod(_coding.atom)
    method = _coding.METHOD
    async_method = _coding.ASYNC_METHOD
    is_far = True
    copies_views = True

    def __init__(self, session: Session, lane: Lane) -> None:
        self.session = session
        self._lane = lane
        self._held: list[Monitor] = []
        self._stream: Stream | None = None
        self.undo: Undo | None = None
        self.descriptor = lane.socket.fileno()

    @property
    def is_waited_for(self) -> bool:
        """Whether the client sends nothing more before it has a reply."""
        return self._stream is None

    def value(self, value: Any) -> Any:
        """A reply."""
        return _coding.load(value) if self._stream is None else _coding.encode(value)

    copy = value
    error = staticmethod(_coding.encode_error)

    def hold_again(self, numbers: list[int]) -> None:
        """The other process has proxies of these."""
        self.session.hold_again(numbers)

    def mention(self, obj: Any, root: Entry | None, kind: Kind | None = None) -> _coding.Mention:
        """What stands for an object in a reply."""
        return _coding.Mention(self.session.hold(obj, root, kind))

    def taken(self, monitor: Monitor) -> None:
        """A transaction has begun. It lasts as long as this connection, at most."""
        self._held.append(monitor)

    def given(self, monitor: Monitor) -> None:
        """A transaction has ended."""
        self._held.remove(monitor)
        monitor.leave()

    def run(self) -> None:
        """Serve until the other side closes."""
        lane, perform, unmarshalled, one_way = self._lane, _operations.perform, _coding.unmarshalled, _asked.ONE_WAY
        _callers.here.service = self
        try:
            while (frame := lane.receive()) is not None:
                number = 0
                try:
                    caller, operation, number, name, args, kwargs = (
                        unmarshalled(frame) if frame[0] < ENDLESS else _coding.decode_request(frame)
                    )
                    if operation >= one_way:
                        self._note(caller, operation, number, name, args, kwargs)
                        continue
                    self.undo = None  # the last reply has been read
                    _callers.here.number = caller
                    reply = perform(self, caller, operation, number, name, args, kwargs)
                except BaseException as error:  # noqa: BLE001 - what the object raises is the caller's; so is what cannot be rebuilt here
                    reply = _coding.encode_error(error)
                    self.keep_undo(number)
                    self.take_back()
                if self.undo is not None:
                    self.keep_undo(number)
                lane.send(reply)
                frame = args = kwargs = reply = None  # large ones are not to lie here until there is another request
        except OSError:  # it has died, perhaps with a reply unread
            self.take_back()
        finally:
            self._end()

    def _note(self, caller: int, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if operation in _OF_HOLDS:
            _OF_HOLDS[operation](self.session, number, *args)
        elif operation == _asked.FETCH:
            found = here.table.entries.get(number)
            self._lane.send_descriptor(found.obj.fd if found is not None and isinstance(found.obj, SharedMemory) else -1)
        elif operation == _asked.LEAVE:
            if self._stream is not None:
                self._stream.leave()
        elif operation == _asked.GIVE_UP:
            self.take_back()
            self._lane.send(_coding.GIVEN_UP)
        else:
            if self._stream is None:
                from manyhands.sharing import _replying  # noqa: PLC0415 - most connections have a reply to each request

                self._stream = _replying.stream_of(self.session.streams, args[0])
                self._stream.begin(self, self._lane)
            self._stream.serve(caller, operation, number, name, args, kwargs)

    def cancel(self, stream: int, request: int, running: bool) -> bool:
        """A request on another connection of the same process."""
        from manyhands.sharing import _replying  # noqa: PLC0415 - as above

        return _replying.stream_of(self.session.streams, stream).cancel(request, running=running)

    def keep_undo(self, number: int) -> None:
        """Unless it is of what the object that was called has used for itself."""
        if self.undo is not None and not self.undo.concerns(number):
            self.undo = None

    def take_back(self) -> None:
        """What the last reply gave has reached nobody."""
        undo, self.undo = self.undo, None
        if undo is not None:
            undo.do()

    def _end(self) -> None:
        for monitor in self._held:
            monitor.abandon()
        if self._stream is not None:
            self.session.streams.pop(self._stream.number, None)
            self._stream.end()


def _hold(session: Session, _: int, numbers: list[int], tickets: list[int]) -> None:
    session.hold_again(numbers)
    for ticket in tickets:
        here.table.redeem(ticket)


def _let_go(session: Session, _: int, counts: list[tuple[int, int, int]]) -> None:
    session.let_go(counts)


_OF_HOLDS: dict[int, Callable[..., None]] = {_asked.LEASE: Session.lease, _asked.HOLD: _hold, _asked.LET_GO: _let_go}


class Server:
    """What listens in this process; one, from when the first proxy leaves it."""

    def __init__(self) -> None:
        self.folder = _folder.Folder(here.token.hex())
        self._listening = self.folder.listen()
        self._sessions: dict[bytes, Session] = {}
        self._connected: set[socket.socket] = set()
        self._lock = threading.Lock()
        here.address = self.folder.address
        threading.Thread(target=self._accept, name="manyhands-share", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connected,), name="manyhands-share-client", daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        self._connected.add(connected)
        try:
            token = _handshake.as_owner(connected, self.folder.key)
            if token is not None:
                self._serve_session(connected, token)
        finally:
            self._connected.discard(connected)
            connected.close()

    def _serve_session(self, connected: socket.socket, token: bytes) -> None:
        with self._lock:
            session = self._sessions.get(token)
            if session is None:
                session = self._sessions[token] = Session(token)
            session.lanes += 1
        try:
            Service(session, Lane(connected)).run()
        finally:
            with self._lock:
                session.lanes -= 1
                is_last = not session.lanes
                if is_last:
                    del self._sessions[token]
            if is_last:
                session.end()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        for connected in (self._listening, *self._connected):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.folder.remove()

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's."""
        for connected in (self._listening, *self._connected):
            with contextlib.suppress(OSError):
                os.close(connected.detach())  # without a word to the other side
        self.folder.abandon()


class _State:
    server: Server | None = None
    starting = threading.Lock()
    pid = 0


_state = _State()


def ensure() -> str:
    """Where this process can be reached; it listens from now on."""
    if _state.server is None:
        with _state.starting:
            if _state.server is None:
                import atexit  # noqa: PLC0415 - who shares nothing needs none

                _state.server = Server()
                atexit.register(_leave, os.getpid())
    return here.address


def _leave(pid: int) -> None:
    if pid == os.getpid():
        shut_down()


def shut_down() -> None:
    """Listen no more. Those who have proxies are told that this process is gone."""
    server, _state.server = _state.server, None
    if server is not None:
        server.close()


def forked() -> None:
    """In a child: what was shared is the parent's, which the child can reach as any other process."""
    server, _state.server = _state.server, None
    _state.starting = threading.Lock()
    if server is not None:
        server.abandon()
