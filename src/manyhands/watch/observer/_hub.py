"""Where the processes that are watched are connected: it greets them, reads their memory, and tells the model.

Everything runs in one event loop. Messages are read when they come; memory is read some times a second, after the messages: what a record
names may be told a little later. The end of a connection is the end of its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link, _segment
from manyhands.watch.observer import _machine
from manyhands.watch.observer._model import Process, Run

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.1  # seconds between two looks at the memory of all
_MACHINE = 1.0  # seconds between two looks at what the kernel tells of a process
_PACKET = 1 << 16
_NS = 1e9
DIED = "it was killed, or crashed"


class Connection:
    """A process that is watched."""

    def __init__(self, connected: socket.socket, reader: _segment.Reader, process: Process) -> None:
        self.socket = connected
        self.reader = reader
        self.process = process
        self.has_said_how = False
        self._asked_machine = 0.0
        self._machine = _machine.Look(process.pid)

    def catch_up(self, now: float) -> None:
        """Read what the process has told since the last time."""
        process = self.process
        process.read(self.reader.read())
        process.figures = self.reader.figures()
        process.lost = self.reader.lost
        if now - self._asked_machine >= _MACHINE:
            self._asked_machine = now
            process.seen(int(now * _NS), *self._machine.look(now))

    def ask(self, message: dict[str, Any]) -> None:
        """Ask the process for something. Nothing happens if it does not listen."""
        with contextlib.suppress(OSError):
            self.socket.send(_link.packed(message))


class Hub:
    """``wants(hello)`` gives what a process is asked for when it comes.

    Attributes:
        runs: by their tokens, those that have ended as well.
        connections: to those that live, by run and process id.
        changed: called after each look.
    """

    def __init__(self, listening: socket.socket, wants: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._listening = listening
        self._wants = wants
        self.runs: dict[str, Run] = {}
        self.connections: dict[tuple[str, int], Connection] = {}
        self.last_end = time.monotonic()  # when the last run ended, while there is none
        self.changed: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Greet who comes, and look at all that are there; until cancelled."""
        self._listening.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        try:
            while True:
                await asyncio.sleep(TICK)
                self.look()
        finally:
            accepting.cancel()

    def look(self) -> None:
        """Read the memory of all."""
        now = time.monotonic()
        for connection in list(self.connections.values()):
            self._read_messages(connection)
            connection.catch_up(now)
        for run in self.runs.values():
            run.catch_up()
        for tell in self.changed:
            tell()

    @property
    def is_watching(self) -> bool:
        """Whether any run is under way."""
        return any(run.ended is None for run in self.runs.values())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connected, _ = await loop.sock_accept(self._listening)
            connected.setblocking(False)
            loop.add_reader(connected, self._greet, connected)

    def _greet(self, connected: socket.socket) -> None:
        """A process says who it is."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(connected)
        try:
            hello, fd = _link.welcome(connected)
            try:
                reader = _segment.Reader(fd)
            finally:
                os.close(fd)
            now = time.monotonic_ns()
            token, pid = str(hello["run"]), int(hello["pid"])
            run = self.runs.get(token)
            if run is None:
                run = self.runs[token] = Run(token, str(hello.get("program", "")), now)
            connection = Connection(connected, reader, run.greet(hello, now))
            connected.send(_link.packed(self._wants(hello)))
        except (OSError, ValueError, KeyError, TypeError):
            connected.close()
            return
        self.connections[token, pid] = connection
        loop.add_reader(connected, self._read_messages, connection)

    def _read_messages(self, connection: Connection) -> None:
        try:
            while packet := connection.socket.recv(_PACKET):
                self._hear(connection, json.loads(packet))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            pass
        self._end(connection)

    def _hear(self, connection: Connection, message: dict[str, Any]) -> None:
        if "bye" in message:
            connection.has_said_how = True
            if connection.process.role == "program":
                connection.process.run.end(time.monotonic_ns(), str(message["bye"]), str(message.get("how", "")))
        else:
            with contextlib.suppress(KeyError, ValueError, TypeError):
                connection.process.hear(message)

    def _end(self, connection: Connection) -> None:
        """The process has gone."""
        process = connection.process
        key = process.run.token, process.pid
        if self.connections.get(key) is not connection:
            return
        del self.connections[key]
        asyncio.get_running_loop().remove_reader(connection.socket)
        connection.socket.close()
        connection.catch_up(time.monotonic())
        connection.reader.close()
        now = time.monotonic_ns()
        how = "" if connection.has_said_how else DIED
        if process.gone is None:
            process.end(now, how)
        if process.role == "program":
            process.run.end(now, "died", how)
        if not self.is_watching:
            self.last_end = time.monotonic()
