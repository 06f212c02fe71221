"""What the page asks for, and what it is told. Everybody who gets here has been let in, see ``_security.py``."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from manyhands.watch.observer import _control, _exports, _questions, _stack
from manyhands.watch.observer._saving import in_turn
from manyhands.watch.observer._security import Guard
from manyhands.watch.observer._sources import Sources
from manyhands.watch.observer._static import Files

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from manyhands.watch.observer._broadcast import Broadcast
    from manyhands.watch.observer._hub import Connection, Hub
    from manyhands.watch.observer._keys import Keys
    from manyhands.watch.observer._model import Run

MOST_CONNECTIONS = 100
_WAITING = 1024
_AT_ONCE = 32  # connections that are let in before the next look at how many there are
_OWN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_LONGEST_POST = 1 << 16
_WIDEST = 10_000  # pixels of a timeline
_NOT_BUILT = "The files of the page are not in this installation of manyhands.\n"


def application(hub: Hub, broadcast: Broadcast, keys: Keys, admitted: Callable[[], None]) -> ASGIApp:
    """The page and what belongs to it, behind its guard."""
    pages = Pages(hub, broadcast)
    routes = [
        Route("/events", pages.events),
        Route("/timeline", pages.timeline),
        Route("/history", pages.history),
        Route("/files", pages.files),
        Route("/source", pages.source),
        Route("/stack", pages.stack),
        Route("/control", pages.control, methods=["POST"]),
        *(Route(f"/{name}", pages.export) for name in _exports.KINDS),
        Route("/{name:path}", pages.file),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: _told}), keys, admitted)


class Door(H11Protocol):
    """A connection. There are so many at most: everybody on the machine can connect, and need not say anything. Whoever comes then takes
    the place of who has been there longest without a request under way; so descriptors are left for the processes that are watched.
    """

    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as above
        """Somebody has come."""
        super().connection_made(transport)
        self.since = time.monotonic()
        if len(self.connections) > MOST_CONNECTIONS:
            idle = [each for each in self.connections if isinstance(each, Door) and each is not self and each.is_idle]
            leaving = min(idle, key=lambda each: each.since, default=self)
            leaving.transport.abort()
            self.connections.discard(leaving)  # at once: others may come before it has gone

    @property
    def is_idle(self) -> bool:
        """Whether no request of it is answered just now."""
        return self.cycle is None or self.cycle.response_complete


async def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Serve, until cancelled.

    ``uvicorn.Server.serve`` would take over the signals, and wake up ten times a second to see whether it should end.
    """
    kinds: dict[str, Any] = {"http": Door, "ws": "none", "lifespan": "off", "proxy_headers": False}
    config = uvicorn.Config(app, **kinds, backlog=_AT_ONCE, log_config=None, access_log=False, server_header=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    listening.listen(_WAITING)  # more may wait than are let in at a time
    try:
        await asyncio.Event().wait()
    finally:
        for each in server.servers:
            each.close()


async def _told(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


class Events(StreamingResponse):
    """Server-sent events to one who looks."""

    def __init__(self, broadcast: Broadcast) -> None:
        super().__init__(broadcast.events(), media_type="text/event-stream")
        self._broadcast = broadcast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the other side has gone."""
        with self._broadcast.looking():
            await super().__call__(scope, receive, send)


class Pages:
    """One method for each address."""

    def __init__(self, hub: Hub, broadcast: Broadcast) -> None:
        self._hub = hub
        self._broadcast = broadcast
        self._files = Files()
        self._sources = Sources()

    async def events(self, _: Request) -> Response:
        """How all runs are, again and again."""
        return Events(self._broadcast)

    async def timeline(self, request: Request) -> Response:
        """Tasks over time, in as much detail as a picture so wide can show."""
        begin, end = _number(request, "from", 0.0), _number(request, "to", float("inf"))
        width = int(min(_WIDEST, max(1.0, _number(request, "width", 1000.0))))
        return _json(_questions.timeline(self._run(request), begin, end, width, time.monotonic_ns()))

    async def history(self, request: Request) -> Response:
        """How the figures of a run have been."""
        return _json(_questions.history(self._run(request)))

    async def files(self, request: Request) -> Response:
        """All files, the hottest first."""
        return _json(_questions.files(self._run(request)))

    async def source(self, request: Request) -> Response:
        """A file that has been seen at work, with its heat."""
        run = self._run(request)
        number = _whole(request, "file")
        process = run.processes.get(_whole(request, "pid")) if "pid" in request.query_params else None
        if not 0 <= number < len(run.heat.paths) or (process is None and "pid" in request.query_params):
            raise HTTPException(404, "There is no such file or process.")
        path = run.heat.paths[number]
        source = await asyncio.to_thread(_questions.source, self._sources, run, path)
        return _json(_questions.heat(run, process, path, source))

    async def stack(self, request: Request) -> Response:
        """The stacks of all threads of a process, now."""
        connection = self._connection(self._run(request), _whole(request, "pid"))
        text = await _stack.of(connection)
        if text is None:
            raise HTTPException(404, "It has ended, or does not listen.")
        return _json({"text": text, "own": _OWN})

    async def control(self, request: Request) -> Response:
        """Cancel a task; pause a worker, let it go on, replace it."""
        asked = await _posted(request)
        run = self._hub.runs.get(str(asked.get("run")))
        if run is None:
            raise HTTPException(404, "There is no such run.")
        if not run.choices.get("control"):
            raise HTTPException(403, "Control is not switched on: watch(control=True) does that.")
        pid, deed = asked.get("pid"), asked.get("do")
        if deed not in _control.DEEDS:
            raise HTTPException(400, "It can be asked to cancel, pause, resume or restart.")
        if not isinstance(pid, int) or (pid not in run.thread_workers and (run.token, pid) not in self._hub.connections):
            raise HTTPException(404, "There is no such worker.")
        why = await _control.do(self._hub, run, pid, deed)
        return _json({"done": False, "why": why} if why else {"done": True})  # no error: browsers would note one in their console

    async def export(self, request: Request) -> Response:
        """A run as a file that is kept."""
        run = self._run(request)
        kind = _exports.KINDS[request.url.path.strip("/")]
        headers = {"Content-Disposition": f'attachment; filename="{_exports.file_name(run, kind)}"'}
        parts = in_turn(kind.made(run, time.monotonic_ns()))
        return StreamingResponse(parts, media_type=kind.media_type, headers=headers)

    async def file(self, request: Request) -> Response:
        """A file of the page itself."""
        found = self._files.find(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "There is no such page." if request.path_params["name"] else _NOT_BUILT.strip())
        headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.kind, headers=headers)

    def _run(self, request: Request) -> Run:
        run = self._hub.runs.get(request.query_params.get("run", ""))
        if run is None:
            raise HTTPException(404, "There is no such run.")
        return run

    def _connection(self, run: Run, pid: int) -> Connection:
        connection = self._hub.connections.get((run.token, pid))
        if connection is None:
            raise HTTPException(404, "There is no such process.")
        return connection


async def _posted(request: Request) -> dict[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_POST:
            raise HTTPException(413, "That is too long.")
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise HTTPException(400, "That is no JSON object.")
    return asked


def _json(value: object) -> Response:
    """In ASCII: names of files and functions may hold what is no text in UTF-8 (``JSONResponse`` fails by it)."""
    return Response(json.dumps(value, allow_nan=False, separators=(",", ":")), media_type="application/json")


def _number(request: Request, name: str, default: float) -> float:
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = float("nan")
    if value != value:
        raise HTTPException(400, f"{name} is no number.")
    return value


def _whole(request: Request, name: str) -> int:
    try:
        return int(request.query_params.get(name, ""))
    except ValueError:
        raise HTTPException(400, f"{name} is no whole number.") from None
