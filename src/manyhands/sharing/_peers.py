"""The other processes whose objects this one has proxies of, and the connections to them.

A thread that calls takes a connection for as long as the call lasts: the threads of a process do not wait for one another, and a reply is
always that to the last request. A connection whose call was interrupted is read out by a thread of its own before it is used again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from manyhands import errors
from manyhands.sharing import _asked as ops
from manyhands.sharing import _callers, _coding, _dropping, _folder, _handshake
from manyhands.sharing._lanes import ENDLESS, Lane

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable

_unmarshalled = _coding.unmarshalled
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_GIVE_UP = _coding.atom((0, ops.GIVE_UP, 0, "", (), {}))


class _Pin:
    """The connection that holds a caller's transactions.

    Attributes:
        depth: how many of these there are in one another.
        is_busy: whether a call is under way over it. What that calls back here, for the same caller, takes another connection.
    """

    __slots__ = ("depth", "is_busy", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.depth = 0
        self.is_busy = False


class Peer:
    """A process that shares objects with this one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_forgotten = False  # this process has nothing to do with it any more
        if os.environ.get("MANYHANDS_SHARE_DEBUG", "0") not in {"", "0"}:
            from manyhands.sharing import _watching  # noqa: PLC0415 - it wraps what uses this module

            _watching.switch(True)
        self.tickets: deque[tuple[list[weakref.ref[Any]], int]] = deque()  # of pickles that have come, with what came: see _dropping.py
        self._idle: list[Lane] = []
        self._is_over = False  # whether they were closed, and none has been made since
        self._pinned: dict[int, _Pin] = {}  # by caller: while it is in a transaction, all its calls go over the connection that holds it

    def request(self, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the other process answers. What the object raises is raised here.

        Raises:
            OwnerDied: it is gone.
            NotSerializable: an argument cannot be sent.
        """
        caller = _callers.current()
        payload = _coding.encode_request((caller, operation, number, name, args, kwargs), self.address, _coding.laden)
        lane = self._pinned_by(caller) if self._pinned else None
        if lane is None:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = self.connect()
        is_sent = False
        try:
            lane.send(payload)
            is_sent = True
            reply = lane.receive()
        except OSError:
            reply = None
        except BaseException:
            self._interrupted(lane, caller, is_sent=is_sent)
            raise
        if reply is None:
            self._lost(lane, caller)
        try:
            return _unmarshalled(reply) if reply[0] < ENDLESS else _coding.read(reply)
        finally:
            if self._pinned:
                self._back(lane, caller)
            else:
                self._put_by(lane)

    def tell_and_request(self, *asked: Any) -> Any:
        """The same, and before it what there is to be told of pickles that have come."""
        _dropping.tell_of(self, list)
        return self.request(*asked)

    def tell(self, operation: int, number: int = 0, args: tuple[Any, ...] | Callable[[], tuple[Any, ...]] = ()) -> bool:
        """Say something that is not answered; False: nobody is there. ``args`` may be what gives them, when it can be said.

        Raises:
            OSError: there is no room for one more descriptor; nothing has been said.
        """
        caller = _callers.current()
        try:
            lane = self._taken(caller)
        except (errors.OwnerDied, errors.ShareRefused):
            return False
        try:
            lane.send(_coding.atom((caller, operation, number, "", args() if callable(args) else args, {})))
        except OSError:
            lane.close()
            return False
        self._back(lane, caller)
        return True

    def fetch(self, number: int) -> int:
        """A descriptor of a shared memory which that process has. It is the caller's.

        Raises:
            OwnerDied: it is gone.
            NotShared: it has not got it any more.
            OSError: there is no room for one more descriptor.
        """
        caller = _callers.current()
        lane = self._taken(caller)
        try:
            lane.send(_coding.atom((caller, ops.FETCH, number, "", (), {})))
            fd = lane.receive_descriptor()
        except ConnectionError:
            self._lost(lane, caller)
        except BaseException:
            self._interrupted(lane, caller, is_sent=False)  # a descriptor is no reply that could be read later
            raise
        self._back(lane, caller)
        if fd is None:
            raise errors.NotShared(number)
        return fd

    # ------------------------------------------------------------ connections

    def _pinned_by(self, caller: int) -> Lane | None:
        """The connection that holds the caller's transactions, unless it is in use."""
        pin = self._pinned.get(caller)
        if pin is None or pin.is_busy:
            return None
        pin.is_busy = True
        return pin.lane

    def _taken(self, caller: int) -> Lane:
        if self._pinned and (pinned := self._pinned_by(caller)) is not None:
            return pinned
        try:
            return self._idle.pop()
        except IndexError:
            return self.connect()

    def _back(self, lane: Lane, caller: int) -> None:
        if (pin := self._pin_of(lane, caller)) is None:
            self._put_by(lane)
        else:
            pin.is_busy = False

    def _put_by(self, lane: Lane) -> None:
        """For the next call."""
        self._idle.append(lane)
        if self._is_over:
            self.close()

    def _pin_of(self, lane: Lane, caller: int) -> _Pin | None:
        pin = self._pinned.get(caller) if self._pinned else None
        return pin if pin is not None and pin.lane is lane else None

    def connect(self) -> Lane:
        """A new connection.

        Raises:
            OwnerDied: nobody is there.
            OSError: there is no room for one more descriptor.
        """
        from manyhands.sharing._table import here  # noqa: PLC0415 - it is another after a fork

        try:
            connected, key = _folder.connect(self.address)
        except OSError as error:
            if error.errno in _NO_ROOM:  # here: that tells nothing of the owner
                raise
            raise errors.OwnerDied(self.address) from error
        try:
            _handshake.as_client(connected, key, here.token)
        except BaseException as error:
            connected.close()
            if isinstance(error, OSError) and not isinstance(error, errors.ShareRefused):
                raise errors.OwnerDied(self.address) from error
            raise
        self._is_over = self.is_forgotten
        return Lane(connected)

    def _lost(self, lane: Lane, caller: int) -> NoReturn:
        """The other process has closed the connection."""
        lane.close()
        self._pinned.pop(caller, None)
        self.close()
        raise errors.OwnerDied(self.address)

    def _interrupted(self, lane: Lane, caller: int, *, is_sent: bool) -> None:
        """A call was left before its reply had come: by Ctrl-C, say."""
        is_pinned = self._pin_of(lane, caller) is not None
        if is_sent and not is_pinned and not lane.is_broken:
            threading.Thread(target=self._read_out, args=(lane,), name="manyhands-share-late", daemon=True).start()
            return
        if is_pinned:  # a transaction ends with its connection
            del self._pinned[caller]
        with contextlib.suppress(OSError):
            self._put_by(self._served())  # who has no connection at all is gone, for the owner
        lane.close()

    def _served(self) -> Lane:
        """A new connection that the owner knows of."""
        lane = self.connect()
        lane.send(_GIVE_UP)
        lane.receive()
        return lane

    def _read_out(self, lane: Lane) -> None:
        """Say that nobody waits any more, and read the late reply, so that what it brings is given back."""
        try:
            lane.send(_GIVE_UP)
            while (reply := lane.receive()) is not None:  # there is none, if it was read in the moment of the interruption
                if reply == _coding.GIVEN_UP:
                    self._put_by(lane)
                    return
                with contextlib.suppress(BaseException):
                    _coding.read(reply)
        except OSError:
            pass
        lane.close()

    # ------------------------------------------------------------ transactions

    def lock(self, number: int, timeout: float | None) -> tuple[bool, bool]:
        """Whether this caller has the object for itself now, and whether its last holder has died in a transaction."""
        caller = _callers.current()
        pin = self._pinned.get(caller)
        if pin is None:
            pin = self._pinned[caller] = _Pin(self._taken(caller))
        pin.depth += 1
        taken = abandoned = False
        try:
            taken, abandoned = self.request(ops.LOCK, number, "", (timeout,), {})
        except BaseException as error:
            if pin.depth == 1 or not isinstance(error, Exception):
                self._break_off(pin, caller)
            raise
        finally:
            if not taken:
                self._let_go(pin, caller)
        return taken, abandoned

    def unlock(self, number: int) -> None:
        """Let others have it again."""
        caller = _callers.current()
        pin = self._pinned.get(caller)
        if pin is None:  # the connection is gone, and the transaction with it
            return
        try:
            self.request(ops.UNLOCK, number, "", (), {})
        except BaseException:
            self._break_off(pin, caller)
            raise
        finally:
            self._let_go(pin, caller)

    def _break_off(self, pin: _Pin, caller: int) -> None:
        """End a transaction of which it is not known whether it has begun or ended, as after Ctrl-C: by its connection."""
        if self._pinned.get(caller) is pin:
            self._interrupted(pin.lane, caller, is_sent=False)

    def _let_go(self, pin: _Pin, caller: int) -> None:
        pin.depth -= 1
        if not pin.depth and self._pinned.get(caller) is pin:
            del self._pinned[caller]
            self._put_by(pin.lane)

    def is_in_transaction(self) -> bool:
        """Whether the caller is in one with an object of that process."""
        return bool(self._pinned) and _callers.current() in self._pinned

    def close(self) -> None:
        """Close the connections that nobody uses just now: the other process forgets what this one has."""
        self._is_over = True
        while self._idle:
            self._idle.pop().close()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's."""
        for lane in [*self._idle, *(pin.lane for pin in self._pinned.values())]:
            with contextlib.suppress(OSError):
                os.close(lane.socket.detach())
        self._idle.clear()
        self.tickets.clear()
        self._pinned.clear()


_peers: dict[str, Peer] = {}


def peer_at(address: str) -> Peer:
    """The process at an address."""
    return _peers.get(address) or _peers.setdefault(address, Peer(address))


def shut_down() -> None:
    """Close the connections that nobody uses just now."""
    for peer in list(_peers.values()):
        peer.is_forgotten = True
        peer.close()
    _peers.clear()


def forked() -> None:
    """In a child: it has no connections yet."""
    for peer in _peers.values():
        peer.forget()
