"""What tells those who look at the page how things stand: server-sent events, the same bytes for all, made when there is something new.

While nobody looks, nothing is made. Who is slow misses what has been overtaken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING

from manyhands.watch._commands import LAST, MORE, PIECE
from manyhands.watch.observer._snapshot import snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator

    from manyhands.watch.observer._hub import Hub
    from manyhands.watch.observer._model import Run

_EVERY = 0.2  # seconds between two events, while anything happens
_CALM = 1.0  # the same while nothing does, but runs are under way: their time goes on
_HEARTBEAT = 5.0
_DATA = b"data: "
_STILL_HERE = b": still here\n\n"
_AGAIN = b"retry: 1000\n\n"  # milliseconds until a browser that has lost the connection tries again


class Broadcast:
    """Of a hub; ``changed()`` is called when somebody begins or ends to look.

    Attributes:
        lookers: how many look.
        looked: when somebody looked last, in nanoseconds of the monotonic clock; 0: never.
        made: how many events have been made.
    """

    def __init__(self, hub: Hub, changed: Callable[[], None]) -> None:
        self._hub = hub
        self._changed = changed
        self._event = b""
        self._at = 0.0
        self._activity = -1
        self._new = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Future[None]] = set()
        self.lookers = 0
        self.looked = 0
        self.made = 0
        hub.looked.append(self._note)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody looks."""
        self.lookers += 1
        self._changed()
        try:
            yield
        finally:
            self.lookers -= 1
            self.looked = time.monotonic_ns()
            self._changed()

    def has_shown(self, run: Run) -> bool:
        """Whether anybody has looked since a run began."""
        return bool(self.lookers) or self.looked >= run.begun

    async def events(self) -> AsyncIterator[bytes]:
        """For one who looks."""
        yield _AGAIN
        self._make()
        while True:
            new = self._new
            yield self._event
            while new is self._new:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        await new.wait()
                except TimeoutError:
                    yield _STILL_HERE

    def tell(self, connected: socket.socket) -> None:
        """Tell one who looks from a terminal, through a socket that keeps packets apart: see :class:`manyhands.watch._commands.Look`."""
        task = asyncio.ensure_future(self._tell(connected))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, connected: socket.socket) -> None:
        send = asyncio.get_running_loop().sock_sendall
        with connected, self.looking(), contextlib.suppress(OSError):  # it has gone
            async for event in self.events():
                told = event.removeprefix(_DATA).rstrip() if event.startswith(_DATA) else b""
                while len(told) > PIECE:
                    await send(connected, MORE + told[:PIECE])
                    told = told[PIECE:]
                await send(connected, LAST + told)

    def _note(self) -> None:
        """The hub has looked at everybody."""
        if not self.lookers:
            return
        lasted = time.monotonic() - self._at
        if self._activity == self._hub.activity:
            if lasted >= _CALM:
                self._make()
        elif lasted >= _EVERY:
            self._make()
        elif self._late is None:  # there may be no further look
            self._late = asyncio.get_running_loop().call_later(_EVERY - lasted, self._make_late)

    def _make_late(self) -> None:
        self._late = None
        if self.lookers and self._activity != self._hub.activity:
            self._make()

    def _make(self) -> None:
        self._at, self._activity = time.monotonic(), self._hub.activity
        now = time.monotonic_ns()
        told = {"now": time.time(), "runs": [snapshot(run, now) for run in self._hub.runs.values()]}
        self._event = b"%s%s\n\n" % (_DATA, json.dumps(told, separators=(",", ":")).encode())
        self.made += 1
        old, self._new = self._new, asyncio.Event()
        old.set()
