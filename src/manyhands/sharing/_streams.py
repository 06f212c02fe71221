"""The other side of :mod:`manyhands.sharing._replying`: connections whose requests are not waited for.

A thread has one for its calls (``later(c).inc()``), so that they are run in the order in which it makes them; a process has one more for
what is awaited, where no request waits for another. A thread of manyhands' own reads the replies.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked, _callers, _coding
from manyhands.sharing._replying import NOBODY, NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._lanes import Lane
    from manyhands.sharing._peers import Peer

    Told = Callable[[bytes | None], object]

_numbers = itertools.count(NOBODY + 1)


class _Reading:
    """What the thread that reads has; the stream itself may be gone."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.waiting: dict[int, Told] = {}
        self.is_over = False

    def run(self) -> None:
        """Give each reply to who waits for it; None, when there will be none."""
        with contextlib.suppress(OSError):
            while (frame := self.lane.receive()) is not None:
                _, number = NUMBER.unpack_from(frame)
                told = self.waiting.pop(number, None)
                if told is not None:
                    told(bytes(frame[NUMBER.size :]))
        self.is_over = True
        while self.waiting:
            with contextlib.suppress(KeyError):
                self.waiting.popitem()[1](None)
        self.lane.close()

    def close(self) -> None:
        """Have the thread end."""
        with contextlib.suppress(OSError):
            self.lane.socket.shutdown(socket.SHUT_RDWR)


class Stream:
    """One connection."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.number = _callers.another()
        self.caller = _callers.another()
        self._lock = threading.Lock()
        self._reading = _Reading(peer.connect())
        threading.Thread(target=self._reading.run, name="manyhands-share-later", daemon=True).start()
        _readings.add(self._reading)

    @property
    def is_over(self) -> bool:
        """Whether the other process is gone."""
        return self._reading.is_over

    def send(
        self,
        operation: int,
        caller: int,
        number: int,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        told: Told | None,
    ) -> int:
        """Send a request; its number. ``told(reply)`` is called by another thread; with None, if the other process is gone.

        Raises:
            NotSerializable: an argument cannot be sent.
        """
        request = NOBODY if told is None else next(_numbers)
        wrapped = (self.number, request, args)
        payload = _coding.encode_request((caller, operation, number, name, wrapped, kwargs), self.peer.address)
        if told is not None:
            self._reading.waiting[request] = told
        with self._lock, contextlib.suppress(OSError):  # the thread that reads finds out as well
            self._reading.lane.send(payload)
        if self._reading.is_over and told is not None and self._reading.waiting.pop(request, None) is not None:
            told(None)
        return request

    def cancel(self, request: int) -> None:
        """Stop what is awaited."""
        self._reading.waiting.pop(request, None)
        _tell(self.peer, self.number, request)

    def __del__(self) -> None:
        reading = getattr(self, "_reading", None)
        if reading is not None and not reading.is_over and not _is_over():
            with contextlib.suppress(OSError):
                reading.lane.send(_coding.atom((0, _asked.LEAVE, 0, "", (), {})))


def _is_over() -> bool:
    return threading is None or not threading.main_thread().is_alive()


def _tell(peer: Peer, stream: int, request: int) -> None:
    with contextlib.suppress(ConnectionError):
        peer.request(_asked.CANCEL, 0, "", (stream, request, True), {})


# ---------------------------------------------------------------- those of this process

_readings: weakref.WeakSet[_Reading] = weakref.WeakSet()


class _State:
    def __init__(self) -> None:
        self.of_thread = threading.local()
        self.of_process: dict[Peer, Stream] = {}
        self.making = threading.Lock()


_state = [_State()]


def of_this_thread(peer: Peer) -> Stream:
    """The one for calls that this thread makes.

    Raises:
        OwnerDied: the other process is gone.
    """
    mine = vars(_state[0].of_thread)
    return _living(mine, peer)


def of_all(peer: Peer) -> Stream:
    """The one for what is awaited.

    Raises:
        OwnerDied: the other process is gone.
    """
    state = _state[0]
    found = state.of_process.get(peer)
    if found is not None and not found.is_over:
        return found
    with state.making:
        return _living(state.of_process, peer)


def _living(streams: dict[Any, Stream], peer: Peer) -> Stream:
    stream = streams.get(peer)
    if stream is None or stream.is_over:
        stream = streams[peer] = Stream(peer)
    return stream


def shut_down() -> None:
    """End all connections."""
    _state[0] = _State()
    for reading in list(_readings):
        reading.close()


def forked() -> None:
    """In a child: they are the parent's."""
    for reading in list(_readings):
        reading.is_over = True
        with contextlib.suppress(OSError):
            os.close(reading.lane.socket.detach())
    _readings.clear()
    _state[0] = _State()
