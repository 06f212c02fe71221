"""The owner's side of connections whose requests are not waited for: replies bear the number of their request, and come when they come.

Calls (``later(c).inc()``) are run one after the other, by the thread that serves the connection. What is awaited (``await c.fetch()``) is
run by an event loop, several at once.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.sharing import _asked, _callers, _coding, _exposing, _operations
from manyhands.sharing._table import here

if TYPE_CHECKING:
    from concurrent.futures import Future

    from manyhands.sharing._lanes import Lane
    from manyhands.sharing._serving import Service
    from manyhands.sharing._table import Entry

NUMBER = struct.Struct("<BQ")  # of the request, before each reply
NUMBERED = 0xFE  # how such a frame begins
NOBODY = 0  # the number of requests that want no reply
_log = logging.getLogger("manyhands")


def stream_of(streams: dict[int, Stream], number: int) -> Stream:
    """The stream that another process calls so."""
    return streams.get(number) or streams.setdefault(number, Stream(number))


class Stream:
    """Requests of one connection, none of which waits for the reply to the one before."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = threading.Lock()  # of what follows, and of sending
        self._started = 0  # the last call that has been
        self._cancelled: set[int] = set()  # calls that are still to come, or that nobody wants to hear of any more
        self._running: dict[int, Future[None]] = {}  # what an event loop runs
        self._is_left = False

    def begin(self, service: Service, lane: Lane) -> None:
        """This is its connection."""
        self._service = service
        self._lane = lane

    def serve(self, caller: int, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run a call, or have it run by an event loop."""
        _, request, inner = args
        with self._lock:
            if request in self._cancelled:
                self._cancelled.discard(request)
                return
            self._started = max(self._started, request)
        try:
            entry = here.table.entries.get(number)
            if entry is None:
                raise errors.NotShared(number)
            if operation == _asked.AWAIT or _is_coroutine_function(entry.obj, name):
                self._await(request, caller, entry, name, inner, kwargs)
                return
            _callers.here.number = caller
            self._service.undo = None  # of the replies before this one nobody knows whether they have been read
            reply = _operations.perform(self._service, caller, _asked.CALL, number, name, inner, kwargs)
            self._service.keep_undo(number)
        except BaseException as error:  # noqa: BLE001 - the caller's, whatever it is
            self._service.keep_undo(number)
            self._service.take_back()
            reply = self._failed(request, error)
        if not self._send(request, reply):
            self._service.take_back()

    def _failed(self, request: int, error: BaseException) -> bytes:
        if request == NOBODY:
            _log.error("a call that was made with reply=False has failed", exc_info=error)
        return _coding.encode_error(error)

    def _send(self, request: int, reply: bytes) -> bool:
        """Send a reply, if anybody wants it. Whether there was somebody to send it to."""
        with self._lock:
            if request == NOBODY:
                self._service.undo = None  # it was not meant to reach anybody
            elif request not in self._cancelled:
                try:
                    self._lane.send(NUMBER.pack(NUMBERED, request) + reply)
                except OSError:  # it has died
                    return False
        return True

    # ------------------------------------------------------------ what is awaited

    def _await(self, request: int, caller: int, entry: Entry, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        from manyhands.sharing import _looping  # noqa: PLC0415 - asyncio takes 40 ms

        if entry.exposed is not None:
            _exposing.check(entry, _asked.CALL, name, args)

        async def run() -> None:
            try:
                reply = await _looping.outcome(self._service, entry, caller, name, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - as above
                reply = self._failed(request, error)
            self._send(request, reply)
            self._cancelled.discard(request)

        with self._lock:
            future = _looping.start(run(), entry)
            self._running[request] = future
        future.add_done_callback(lambda _: self._over(request))

    def _over(self, request: int) -> None:
        with self._lock:
            self._running.pop(request, None)
        self._leave_if_done()

    def cancel(self, request: int, *, running: bool) -> bool:
        """Keep a call from running, or stop it: that can be done of what an event loop runs. False: it has started."""
        with self._lock:
            future = self._running.get(request)
            if future is None:
                if request <= self._started:
                    return False
                self._cancelled.add(request)
                return True
            if running:
                self._cancelled.add(request)
        return running and future.cancel()

    def leave(self) -> None:
        """There will be no more requests."""
        self._is_left = True
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._is_left and not self._running:
            with contextlib.suppress(OSError):
                self._lane.socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """The connection is gone."""
        with self._lock:
            running = list(self._running.values())
        for future in running:
            future.cancel()


def _is_coroutine_function(obj: Any, name: str) -> bool:
    code = getattr(getattr(type(obj), name, None), "__code__", None)
    return code is not None and bool(code.co_flags & _operations.IS_COROUTINE)
