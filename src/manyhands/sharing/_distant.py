"""Shared objects of another machine, as they are seen from here: what ``share.connect`` does."""

from __future__ import annotations

import builtins
import contextlib
import os
import socket
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.sharing import _asked as ops
from manyhands.sharing import _callers, _coding, _data, _handshake, _proxies
from manyhands.sharing._far_requests import OPEN
from manyhands.sharing._kinds import Kind
from manyhands.sharing._places import SECONDS, Place, keep_alive
from manyhands.sharing._sealed_lanes import LIMIT, SealedLane

if TYPE_CHECKING:
    import ssl
    import types

_OURS = {"NotShared": errors.NotShared, "NotExposed": errors.NotExposed, "ShareRefused": errors.ShareRefused}


class Machine:
    """A process on another machine, and the connections to it: as many as threads call at the same time."""

    def __init__(self, place: Place, key: bytes, tls: ssl.SSLContext | None, limit: int = LIMIT) -> None:
        self._place = place
        self._key = key
        self._tls = tls
        self._limit = limit
        self.token = os.urandom(_handshake.TOKEN)
        self.address = f"{Place(place.host, place.port, '')}#{self.token.hex()}"
        self._idle: list[SealedLane] = []
        self._pinned: dict[int, tuple[SealedLane, int]] = {}  # by caller: what holds its transaction, and how many are in one another
        self.gone: deque[tuple[int, int]] = deque()  # proxies of which the other side does not know that yet
        self.is_forked = False
        _machines.add(self)

    def open(self, name: str) -> Any:
        """The proxy of what is exposed there under a name."""
        return self.request(OPEN, 0, name, (), {})

    def request(self, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the other side answers.

        Raises:
            OwnerDied: it is gone.
            ShareRefused: it does not do that.
            NotSerializable: an argument is no data.
        """
        caller = _callers.here.number
        payload = _data.encode((caller, operation, number, name, args, kwargs), self._reference)
        lane = self._taken(caller)
        is_sent = False
        try:
            self._tell_gone(lane)
            lane.send(payload)
            is_sent = True
            reply = lane.receive()
        except errors.ShareRefused:
            if is_sent:
                self._lose(lane, caller)
            else:  # it is too long
                self._back(lane, caller)
            raise
        except OSError:
            reply = None
        except BaseException:
            self._interrupted(lane, caller)
            raise
        if reply is None:
            self._lose(lane, caller)
            raise errors.OwnerDied(self.address)
        self._back(lane, caller)
        return self._read(reply)

    def _read(self, reply: bytearray) -> Any:
        kind, value = _data.decode(reply, self._proxy)
        if kind == "v":
            return value
        if kind == "m":
            return _coding.IS_METHOD
        if kind == "e":
            raise StopIteration
        raise _error_of(*value)

    def lock(self, number: int, timeout: float | None) -> tuple[bool, bool]:
        """Whether this caller has the object for itself now, and whether its last holder has died in a transaction."""
        caller = _callers.here.number
        lane, depth = self._pinned.get(caller) or (self._taken(caller), 0)
        self._pinned[caller] = lane, depth + 1
        taken = abandoned = False
        try:
            taken, abandoned = self.request(ops.LOCK, number, "", (timeout,), {})
        finally:
            if not taken:
                self._unpin(caller)
        return taken, abandoned

    def unlock(self, number: int) -> None:
        """Let others have it again."""
        caller = _callers.here.number
        if caller in self._pinned:  # else the connection is gone, and the transaction with it
            try:
                self.request(ops.UNLOCK, number, "", (), {})
            finally:
                self._unpin(caller)

    def _unpin(self, caller: int) -> None:
        if caller in self._pinned:
            lane, depth = self._pinned.pop(caller)
            if depth > 1:
                self._pinned[caller] = lane, depth - 1
            else:
                self._idle.append(lane)

    # ------------------------------------------------------------ references

    def _reference(self, obj: Any) -> tuple[Any, ...] | None:
        """What is said of an object of that machine among the arguments."""
        reference = _proxies.reference_of(obj)
        if reference is None:
            return None
        if isinstance(reference, Distant) and reference.machine is self:
            return (reference.number,)
        part = errors.Part("argument", reference.kind.name, "it is shared by another process", "pass what is in it: snapshot(it)")
        raise errors.NotSerializable("what goes to another machine", [part])

    def _proxy(self, said: tuple[Any, ...]) -> Any:
        number, module, name, mask, token = said
        proxy = _proxies.known.get((self.address, number))
        if proxy is None:
            return _proxies.proxy_of(Distant(self, number, Kind(module, name, mask, token)))
        reference: Any = _proxies.reference_of(proxy)
        reference.count += 1
        return proxy

    def _tell_gone(self, lane: SealedLane) -> None:
        while self.gone and not self.is_forked:
            with contextlib.suppress(IndexError):
                number, count = self.gone.popleft()
                lane.send(_data.encode((0, ops.LET_GO, number, "", (count,), {}), self._reference))

    # ------------------------------------------------------------ connections

    def _taken(self, caller: int) -> SealedLane:
        if caller in self._pinned:
            return self._pinned[caller][0]
        try:
            return self._idle.pop()
        except IndexError:
            return self._connected()

    def _connected(self) -> SealedLane:
        try:
            connected = socket.create_connection((self._place.host, self._place.port), SECONDS)
        except OSError as error:
            raise errors.OwnerDied(self.address) from error
        try:
            keep_alive(connected)
            if self._tls is not None:
                connected = self._tls.wrap_socket(connected, server_hostname=self._place.host)
            proven = _handshake.as_client(connected, self._key, self.token)
        except errors.ShareRefused:
            connected.close()
            raise
        except OSError as error:
            connected.close()
            raise errors.ShareRefused(f"{self._place} has refused the connection: another key, or no manyhands there ({error})") from error
        except BaseException:
            connected.close()
            raise
        return SealedLane(connected, proven.to_owner, proven.to_client, self._limit)

    def _back(self, lane: SealedLane, caller: int) -> None:
        if caller not in self._pinned:
            self._idle.append(lane)

    def _interrupted(self, lane: SealedLane, caller: int) -> None:
        """A call was left before its reply had come, which would be taken for that of the next."""
        if caller not in self._pinned:
            threading.Thread(target=self._read_out, args=(lane,), name="manyhands-share-late", daemon=True).start()
            return
        del self._pinned[caller]  # a transaction ends with its connection, but what was told to this process does not
        with contextlib.suppress(OSError):
            if not self._idle:
                self._idle.append(self._connected())
        lane.close()

    def _read_out(self, lane: SealedLane) -> None:
        try:
            reply = lane.receive()
            if reply is not None:
                with contextlib.suppress(BaseException):
                    self._read(reply)
                self._idle.append(lane)
                return
        except OSError:
            pass
        lane.close()

    def _lose(self, lane: SealedLane, caller: int) -> None:
        self._pinned.pop(caller, None)
        lane.close()
        self.close()

    def is_in_transaction(self) -> bool:
        """Whether the caller is in one with an object of that process."""
        return _callers.here.number in self._pinned

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        while self._idle:
            self._idle.pop().close()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's, and so is the telling which proxies are gone."""
        self.is_forked = True
        for lane in [*self._idle, *(lane for lane, _ in self._pinned.values())]:
            with contextlib.suppress(OSError):
                os.close(lane.socket.detach())
        self._idle.clear()
        self._pinned.clear()

    def __del__(self) -> None:
        self.close()


class Distant:
    """A reference to an object of another machine: see :class:`manyhands.sharing._proxies.Reference`."""

    __slots__ = ("count", "kind", "local", "machine", "number")

    def __init__(self, machine: Machine, number: int, kind: Kind) -> None:
        self.machine = machine
        self.number = number
        self.kind = kind
        self.count = 1
        self.local: types.SimpleNamespace | None = None

    @property
    def address(self) -> str:
        return self.machine.address

    def request(self, operation: int, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = {}) -> Any:  # noqa: B006 - not changed
        return self.machine.request(operation, self.number, name, args, kwargs)

    def lock(self, timeout: float | None) -> tuple[bool, bool]:
        return self.machine.lock(self.number, timeout)

    def unlock(self) -> None:
        self.machine.unlock(self.number)

    def is_in_transaction(self) -> bool:
        """Whether the caller is in one, with an object of that process."""
        return self.machine.is_in_transaction()

    def raised(self, error: Any) -> BaseException:
        return StopIteration() if error is None else _error_of(*error)

    def told(self) -> Any:
        raise TypeError(
            "the proxy of an object on another machine cannot be pickled, for its key would be, too: share.connect() where it is used"
        )

    named = promised = told

    def __del__(self) -> None:
        self.machine.gone.append((self.number, self.count))


def _error_of(module: str, name: str, made_of: Any, text: str) -> BaseException:
    """The exception itself, if it is one of Python's or of ours."""
    kind: Any = getattr(builtins, name, None) if module == "builtins" else _OURS.get(name) if module == "manyhands.errors" else None
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(Exception):
            made = kind(*made_of)
            assert isinstance(made, BaseException)
            return made
    return errors.RemoteError(
        type_name=f"{module}.{name}", text=text, traceback="", reason="the object that raised it is on another machine"
    )


_machines: weakref.WeakSet[Machine] = weakref.WeakSet()


def shut_down() -> None:
    """Close the connections that nobody uses just now."""
    for machine in list(_machines):
        machine.close()


def _forked() -> None:
    for machine in list(_machines):
        machine.forget()


os.register_at_fork(after_in_child=_forked)
