"""Shared objects for other machines: what ``share.listen`` does.

**Guarantees.** Who does not know the key gets nothing but a random number, and holds a thread for ten seconds at most. What is received is
data (``_data.py``), sealed (``_sealed_lanes.py``). Nothing can be reached but the objects that are exposed, by their public names and
operators, and what these give: values, and references to containers and iterators. Where a message is not as it should be, its connection
ends, and no other.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _arrivals, _handshake
from manyhands.sharing._far_requests import Client, Exposed, Service
from manyhands.sharing._places import SECONDS, Place, checked_key, keep_alive, place_of
from manyhands.sharing._sealed_lanes import LIMIT, SealedLane
from manyhands.sharing._table import here

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_STRANGERS = 64  # connections at a time that have not proven anything yet


class Listener:
    """What ``share.listen`` gives: it serves until it is closed, or the program ends.

    Attributes:
        address: where; with the port that the system has chosen, if that was 0.
    """

    def __init__(
        self, place: Place, key: bytes, exposed: Mapping[str, Exposed], tls: ssl.SSLContext | None = None, limit: int = LIMIT
    ) -> None:
        self._key = key
        self._exposed = exposed
        self._tls = tls
        self._limit = limit
        self._lock = threading.Lock()
        self._clients: dict[bytes, Client] = {}
        self._connections: set[socket.socket] = set()
        self._strangers = threading.BoundedSemaphore(_STRANGERS)
        self._entries = [here.table.hold(one.obj) for one in exposed.values()]
        self._listening = socket.create_server(
            (place.host, place.port), family=socket.AF_INET6 if ":" in place.host else socket.AF_INET, backlog=128
        )
        self.address = str(Place(place.host, self._listening.getsockname()[1], ""))
        _listeners.add(self)
        threading.Thread(target=self._accept, name="manyhands-share-tcp", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                if self._listening.fileno() < 0:
                    return
                continue
            if not self._strangers.acquire(blocking=False):
                connected.close()
                continue
            threading.Thread(target=self._serve, args=(connected,), name="manyhands-share-tcp-client", daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with self._lock:
            self._connections.add(connected)
        own = connected
        try:
            try:
                keep_alive(connected)
                connected = self._secured(connected)
                proven = _handshake.prove_as_owner(connected, self._key)
            finally:
                self._strangers.release()
            if proven is not None:
                self._serve_client(proven, SealedLane(connected, proven.to_client, proven.to_owner, self._limit))
        except OSError:  # of TLS as well
            pass
        finally:
            connected.close()
            own.close()
            with self._lock:
                self._connections.discard(own)

    def _secured(self, connected: socket.socket) -> socket.socket:
        if self._tls is None:
            return connected
        connected.settimeout(SECONDS)
        return self._tls.wrap_socket(connected, server_side=True)

    def _serve_client(self, proven: _handshake.Proven, lane: SealedLane) -> None:
        with self._lock:
            client = self._clients.get(proven.token)
            if client is None:
                client = self._clients[proven.token] = Client(proven.token)
            client.lanes += 1
        try:
            Service(client, lane, self._exposed).run()
        finally:
            with self._lock:
                client.lanes -= 1
                is_last = not client.lanes
                if is_last:
                    del self._clients[proven.token]
            if is_last:
                client.end()

    def close(self) -> None:
        """Listen no more, and end the connections that there are."""
        if self in _listeners:
            _listeners.discard(self)
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            with self._lock:
                open_now = list(self._connections)
            for connected in open_now:
                with contextlib.suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)
            for entry in self._entries:
                here.table.let_go(entry)

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's."""
        self._listening.close()
        for connected in self._connections:
            with contextlib.suppress(OSError):
                os.close(connected.detach())

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Listener {self.address}: {', '.join(sorted(self._exposed))}>"


_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()


def exposed_of(expose: Mapping[str, Any]) -> dict[str, Exposed]:
    """What may be used: objects by name, or ``name.method`` for one method of an object.

    Raises:
        ValueError: nothing is exposed, or a name is none.
    """
    found: dict[str, Exposed] = {}
    for said, obj in expose.items():
        name, _, member = said.partition(".")
        if not name.isidentifier() or (member and not member.isidentifier()):
            raise ValueError(f"{said!r:.80} is no name; one is 'counter', or 'counter.add' for a method of it")
        inner = _arrivals.itself(obj)
        before = found.get(name)
        names = frozenset({member}) if member else None
        if before is not None and (before.obj is not inner or before.names is None or names is None):
            raise ValueError(f"{name!r} is exposed twice")
        found[name] = Exposed(inner, names if before is None or names is None else names | (before.names or names))
    if not found:
        raise ValueError("nothing is exposed: expose={'counter': counter}, say, lets other machines use that one")
    return found


def _by_their_names(expose: Iterable[str]) -> dict[str, Any]:
    """The same, of what has been shared under names."""
    if isinstance(expose, str):
        raise TypeError(f"expose={expose!r:.80} is one text; it is a list of names, as [{expose!r:.80}]")
    found = {}
    for said in expose:
        if not isinstance(said, str):
            raise TypeError(f"expose= takes a name for each object: expose={{'counter': counter}}; a {type(said).__name__} alone is none")
        entry = here.table.names.get(said.partition(".")[0])
        if entry is None:
            name = said.partition(".")[0]
            raise ValueError(
                f"nothing of this process is shared under the name {name!r:.80}: share(obj, name={name!r:.80}), or expose= a dict"
            )
        found[said] = entry.obj
    return found


def _forked() -> None:
    for listener in list(_listeners):
        listener.abandon()
    _listeners.clear()


os.register_at_fork(after_in_child=_forked)


def listen(address: str, key: bytes | str | None, expose: Mapping[str, Any] | Iterable[str], tls: Any, limit: int) -> Listener:
    """See ``share.listen``."""
    if not isinstance(expose, Mapping):
        expose = _by_their_names(expose)
    return Listener(place_of(address), checked_key(key), exposed_of(expose), tls, limit)
