"""The page of the observer: its address, who looks at it, and what it takes to be let in. What serves it is loaded meanwhile."""

from __future__ import annotations

import socket
import threading
import webbrowser
from typing import TYPE_CHECKING

from manyhands.watch.observer._broadcast import Broadcast
from manyhands.watch.observer._keys import Keys

if TYPE_CHECKING:
    from manyhands.watch.observer._hub import Hub
    from manyhands.watch.observer._life import Life

_WAITING = 128  # connections


def bound(host: str, port: int) -> socket.socket:
    """A socket for the page. What connects before the page can be served waits.

    Raises:
        OSError: the address is not to be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING)
    except BaseException:
        listening.close()
        raise
    return listening


class Site:
    """The page, at a socket.

    Attributes:
        url: its address, which lets in who has it.
        frame: the same for a frame in somebody else's page.
        broadcast: what tells those who look.
    """

    def __init__(self, hub: Hub, host: str, listening: socket.socket, life: Life) -> None:
        port = listening.getsockname()[1]
        self._hub = hub
        self._life = life
        self._listening = listening
        self.keys = Keys(host, port)
        self.home = f"http://{_shown(listening)}:{port}/"
        self.url = f"{self.home}?token={self.keys.token}"
        self.frame = f"{self.home}frame/{self.keys.frame}/"
        self.broadcast = Broadcast(hub, life.note)

    @property
    def lookers(self) -> int:
        """How many have the page open."""
        return self.broadcast.lookers

    def open(self) -> None:
        """Open the page in a browser, unless somebody looks already.

        Everybody on the machine may read what a browser is started with, so that address is good for one time.
        """
        if self.lookers:
            return
        self._life.expect()
        address = f"{self.home}?token={self.keys.for_once()}"
        # A thread of its own: some browsers return when they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    async def serve(self) -> None:
        """Serve the page; until cancelled."""
        from manyhands.watch.observer import _server  # noqa: PLC0415 - 0.2 s, while programs join

        app = _server.application(self._hub, self.broadcast, self.keys, self._life.note)
        await _server.serve(app, self._listening)


def _shown(listening: socket.socket) -> str:
    """The address by which a browser on this machine reaches the page."""
    host = str(listening.getsockname()[0])
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1" if listening.family == socket.AF_INET else "[::1]"
    return f"[{host}]" if ":" in host else host
