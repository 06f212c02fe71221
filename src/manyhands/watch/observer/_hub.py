"""Where the processes that are watched are connected: it greets them, reads their memory, and tells the model.

Everything runs in one event loop. Messages are read when they come; memory is read some times a second while any process is connected,
after the messages: what a record names may be told a little later. The end of a connection is the end of its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link, _probe, _segment
from manyhands.watch.observer import _machine
from manyhands.watch.observer._model import Run
from manyhands.watch.observer._snapshot import snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from manyhands.watch.observer._process import Process

TICK = 0.1  # seconds between two looks at the memory of all
RATE = 20.0  # looks of a process at its threads, a second
_MACHINE = 1.0  # seconds between two looks at what the kernel tells of a process
_PACKET = 1 << 16
_MOST_ENDED = 20  # runs that are kept
_SETTLES = 0.3  # seconds until a process that has hung up has ended, unless it has become another program
_ENDS = 5.0  # the same, for one that has said that it ends
_NS = 1e9
DIED = "it was killed, or crashed"
GOES_ON = "it goes on unwatched: it has become another program, or has closed the connection"


class Connection:
    """A process that is watched.

    Attributes:
        stacks: what it writes its stacks to at a signal; None: it cannot. ``stacks_told``: how it is done.
        asking: whoever has it do so is alone.
    """

    def __init__(self, connected: socket.socket, reader: _segment.Reader, process: Process, stacks: int | None, about: object) -> None:
        self.socket = connected
        self.reader = reader
        self.process = process
        self.stacks = stacks
        self.stacks_told: dict[str, int] = about if isinstance(about, dict) else {}
        self.asking = asyncio.Lock()
        self.has_said_how = False
        self.is_leaving = False  # it has said that its process ends
        self.is_ending = False
        self.ending = _machine.Ending(process.pid, connected)
        self._asked_machine = 0.0
        self._machine = _machine.Look(process.pid)

    def catch_up(self, now: float) -> bool:
        """Read what the process has told since the last time; whether that was anything."""
        process = self.process
        process.read(self.reader.read())
        before, process.figures = process.figures[_segment.HEAD], self.reader.figures()
        process.lost = self.reader.lost
        if now - self._asked_machine >= _MACHINE:
            self._asked_machine = now
            process.seen(int(now * _NS), *self._machine.look(now))
        return process.figures[_segment.HEAD] != before

    def ask(self, message: dict[str, Any]) -> bool:
        """Ask the process for something; whether it may hear of it."""
        try:
            self.socket.send(_link.packed(message))
        except OSError:  # it has ended, or does not listen
            return False
        return True

    def close(self) -> None:
        """It has gone."""
        self.socket.close()
        self.reader.close()
        self.ending.close()
        fd, self.stacks = self.stacks, None
        if fd is not None:
            os.close(fd)


class Hub:
    """All runs, and who is connected.

    Attributes:
        activity: grows when a process has told anything.
        runs: by their tokens, the last of those that have ended as well.
        connections: to those that live, by run and process id.
        looked: called after each look.
        changed: called when a run has begun or ended.
        opened: called when a run wants its page to be opened.
        ended: called with a run that has ended.
        questions: what is answered to who is not watched, by the key of the question; perhaps later.
        takers: who takes over the connection of one who asks for more than an answer.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.activity = 0
        self.runs: dict[str, Run] = {}
        self.connections: dict[tuple[str, int], Connection] = {}
        self.looked: list[Callable[[], None]] = []
        self.changed: list[Callable[[], None]] = []
        self.opened: list[Callable[[], object]] = []
        self.ended: list[Callable[[Run], None]] = []
        self.questions: dict[str, Callable[[Any], dict[str, Any] | Awaitable[dict[str, Any]]]] = {}
        self.takers: dict[str, Callable[[socket.socket], None]] = {}
        self._answering: set[asyncio.Future[None]] = set()
        self._has_come = asyncio.Event()

    async def serve(self) -> None:
        """Greet who comes, and look at all that are there; until cancelled."""
        self._listening.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        try:
            while True:
                if self.connections:
                    await asyncio.sleep(TICK)
                else:
                    self._has_come.clear()
                    await self._has_come.wait()
                self.look()
        finally:
            accepting.cancel()

    def look(self) -> None:
        """Read the memory of all."""
        now = time.monotonic()
        for connection in list(self.connections.values()):
            if not connection.is_ending:
                self._read_messages(connection)
            if not connection.is_ending:
                self.activity += connection.catch_up(now)
        for run in self.runs.values():
            run.catch_up()
            if run.ended is None:
                _remember(run, time.monotonic_ns())
        for tell in self.looked:
            tell()

    @property
    def is_watching(self) -> bool:
        """Whether any run is under way."""
        return any(run.ended is None for run in self.runs.values())

    def overview(self) -> list[dict[str, Any]]:
        """The runs in short."""
        now = time.monotonic_ns()
        return [
            {
                "id": run.token,
                "name": run.name,
                "state": run.state,
                "how": run.how,
                "elapsed": ((now if run.ended is None else run.ended) - run.begun) / 1e9,
                "processes": sum(process.gone is None for process in run.processes.values()),
            }
            for run in self.runs.values()
        ]

    def of(self, run: Run) -> list[Connection]:
        """The connections of a run."""
        return [connection for (token, _), connection in self.connections.items() if token == run.token]

    def run_of(self, pid: object) -> str:
        """The token of the run that a process is watched in; empty: it is not."""
        return next((token for token, number in self.connections if number == pid and self.runs[token].ended is None), "")

    # ------------------------------------------------------------ greeting

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(self._listening)
            except OSError:  # no descriptors left: some may be soon
                await asyncio.sleep(TICK)
                continue
            connected.setblocking(False)
            loop.add_reader(connected, self._greet, connected)

    def _greet(self, connected: socket.socket) -> None:
        """A process says who it is, or asks for something."""
        asyncio.get_running_loop().remove_reader(connected)
        try:
            hello, fds = _link.welcome(connected)
            if not fds:
                self._answer(connected, hello)
            else:
                self._take_in(connected, hello, *fds)
        except (OSError, ValueError, KeyError, TypeError):
            connected.close()

    def _answer(self, connected: socket.socket, question: dict[str, Any]) -> None:
        (key, value), *_ = question.items()
        if key in self.takers:
            self.takers[key](connected)
            return
        answer = self.questions[key](value)
        if isinstance(answer, dict):
            with connected:
                connected.send(_link.packed(answer))
        else:
            task = asyncio.ensure_future(_answer_late(connected, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def _take_in(self, connected: socket.socket, hello: dict[str, Any], fd: int, stacks: int | None = None) -> None:
        try:
            if hello.get("version") != _segment.VERSION:
                connected.send(_link.packed({"refused": "another version of manyhands is watching"}))
                raise ValueError("another version")
            reader = _segment.Reader(fd)
        except BaseException:
            if stacks is not None:
                os.close(stacks)
            raise
        finally:
            os.close(fd)
        now = time.monotonic_ns()
        run = self._run(hello, now)
        connection = Connection(connected, reader, run.greet(hello, now), stacks, hello.get("stacks"))
        with contextlib.suppress(OSError):  # it has ended already, which is seen when it is read
            connected.send(_link.packed(self._wants(run)))
        self.connections[_key(connection)] = connection
        asyncio.get_running_loop().add_reader(connected, self._read_messages, connection)
        self._has_come.set()
        self._tell()

    def _run(self, hello: dict[str, Any], now: int) -> Run:
        token = str(hello["run"])
        self.activity += 1
        run = self.runs.get(token)
        if run is None:
            run = self.runs[token] = Run(token, str(hello.get("program", "")), now)
            self._forget_old()
        if hello.get("role") == "program":
            run.has_program = True
        elif run.ended is not None and not run.has_program:
            run.resume()
        if "choices" in hello:
            self._choose(run, hello["choices"])
        return run

    def _choose(self, run: Run, choices: dict[str, Any]) -> None:
        """The program has said how it wants to be watched."""
        run.choices = {**run.choices, **choices}
        for connection in self.of(run):
            connection.ask(self._wants(run))
        if run.choices.pop("open", False):
            for tell in self.opened:
                tell()

    def _wants(self, run: Run) -> dict[str, Any]:
        return {"rate": RATE, **{key: run.choices[key] for key in _probe.WANTED if key in run.choices}}

    def _forget_old(self) -> None:
        ended = [token for token, run in self.runs.items() if run.ended is not None and not self.of(run)]
        for token in ended[: max(0, len(ended) - _MOST_ENDED)]:
            del self.runs[token]

    # ------------------------------------------------------------ hearing

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
        process = connection.process
        self.activity += 1
        with contextlib.suppress(KeyError, ValueError, TypeError):
            if "choices" in message:
                self._choose(process.run, message["choices"])
            elif "bye" in message:
                # Who ends by sys.exit() cannot tell its status; of others than the program nothing but that counts.
                connection.is_leaving = bool(message.get("ends"))
                connection.has_said_how = not connection.is_leaving or (process.role == "program" and message["bye"] != "done")
                if process.role == "program":
                    self._end_run(connection, str(message["bye"]), str(message.get("how", "")))
                    self._tell()
            else:
                process.hear(message)

    # ------------------------------------------------------------ ends

    def _end(self, connection: Connection) -> None:
        """The process has hung up. The kernel does that for it before it can be told how it has ended."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(connection.socket)
        connection.is_ending = True
        connection.catch_up(time.monotonic())
        how = "" if connection.has_said_how else connection.ending.told()
        if how is not None or connection.ending.fd is None:
            self._settle(connection, how)
            return
        settle = partial(self._settle_late, connection)
        loop.add_reader(connection.ending.fd, settle)
        loop.call_later(_ENDS if connection.is_leaving else _SETTLES, settle)

    def _settle_late(self, connection: Connection) -> None:
        if connection.ending.fd is not None:
            asyncio.get_running_loop().remove_reader(connection.ending.fd)
            self._settle(connection, connection.ending.told())

    def _settle(self, connection: Connection, how: str | None) -> None:
        """The process has gone; ``how`` None: nobody knows."""
        process = connection.process
        if self.connections.get(_key(connection)) is connection:
            del self.connections[_key(connection)]
        self.activity += 1
        process.end(time.monotonic_ns(), how or "")
        if process.role == "program":
            self._end_run(connection, *_ending(how, is_there=connection.ending.is_there()))
            if how and not connection.has_said_how:
                process.run.correct(*_ending(how))
        elif not process.run.has_program and not self.of(process.run):
            self._end_run(connection, "done", "")
        connection.close()
        self._tell()

    def _end_run(self, connection: Connection, state: str, how: str) -> None:
        run = connection.process.run
        if run.ended is not None:
            return
        for each in self.of(run):  # what they have done by now belongs to it
            each.catch_up(time.monotonic())
        run.catch_up()
        run.end(time.monotonic_ns(), state, how)
        for tell in self.ended:
            tell(run)

    def _tell(self) -> None:
        """A run, or a process, has come or gone."""
        for tell in (*self.looked, *self.changed):
            tell()


async def _answer_late(connected: socket.socket, answer: Awaitable[dict[str, Any]]) -> None:
    with connected, contextlib.suppress(OSError):  # who has asked has gone
        connected.send(_link.packed(await answer))


def _ending(how: str | None, *, is_there: bool = False) -> tuple[str, str]:
    """The state of a run whose program has hung up, and how it has ended; ``how`` None: nobody knows."""
    if how is None:
        return ("done", GOES_ON) if is_there else ("died", DIED)
    return "done" if how == "" else "failed" if how.startswith("exit") else "died", how


def _remember(run: Run, now: int) -> None:
    """How it is, if it is time for that."""
    history = run.history
    if history.is_due(now):
        history.note(snapshot(run, now), now)
    if history.are_heats_due(now):
        history.note_heats(run.heat, now)


def _key(connection: Connection) -> tuple[str, int]:
    return connection.process.run.token, connection.process.pid
