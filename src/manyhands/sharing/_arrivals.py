"""References as they arrive in a process: as the object itself in its owner, as a proxy anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _passing, _pickling
from manyhands.sharing import _asked as ops
from manyhands.sharing import _callers, _coding, _dropping, _freight, _peers, _proxies, _serving
from manyhands.sharing._kinds import Kind
from manyhands.sharing._table import Entry, here, new_ticket

if TYPE_CHECKING:
    import types
    from collections.abc import Callable

# Loaded by who needs them.
_OPTIONAL = tuple(f"manyhands.sharing.{name}" for name in ("_looping", "_streams", "_own_calls"))
_EMPTY: dict[str, Any] = {}


class Remote:
    """A reference to an object of another process.

    Attributes:
        count: how many holds of this process the owner knows of, for this object.
        leases: how often it has been told that there is a pickle.
    """

    __slots__ = ("_ask", "count", "kind", "leases", "local", "number", "peer")

    def __init__(self, peer: _peers.Peer, number: int, kind: Kind, count: int) -> None:
        self.peer = peer
        self.number = number
        self.kind = kind
        self.count = count
        self.leases = 0
        self.local: types.SimpleNamespace | None = None
        self._ask: Callable[..., Any] = peer.request

    @property
    def address(self) -> str:
        return self.peer.address

    def request(self, operation: int, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = _EMPTY) -> Any:
        if not self.count:
            self.hold()
        return self._ask(operation, self.number, name, args, kwargs)

    def hold(self) -> None:
        """Have the owner know that this process has it."""
        _dropping.tell_of(self.peer, self._counted)

    def _counted(self) -> list[int]:
        self.count_one()  # when there is a connection to say it over
        return [self.number]

    def count_one(self) -> None:
        """The owner is about to be told of one more hold."""
        with _counting[0]:  # the thread that tidies up does it as well
            self.count += 1

    def hold_now(self) -> None:
        """The same; it knows when this returns."""
        self.count_one()
        with contextlib.suppress(ConnectionError):  # it is gone
            self.peer.request(ops.GREET, 0, "", ([self.number],), {})

    def tell_first(self, first: bool) -> None:
        """Whether the owner is to be told of pickles that have come, before it is asked anything: else a process that ends soon may not."""
        self._ask = self.peer.request
        if first:
            self._ask = self.peer.tell_and_request

    def lock(self, timeout: float | None) -> tuple[bool, bool]:
        if not self.count:
            self.hold()
        return self.peer.lock(self.number, timeout)

    def unlock(self) -> None:
        self.peer.unlock(self.number)

    def is_in_transaction(self) -> bool:
        """Whether the caller is in one, with an object of that process."""
        return self.peer.is_in_transaction()

    def raised(self, error: Any) -> BaseException:
        return _coding.decode_error(error)

    def told(self) -> tuple[Any, ...]:
        self._lease()
        return self.named()

    def named(self) -> tuple[Any, ...]:
        return arrived, (self.peer.address, self.number, *self.kind)

    def promised(self) -> tuple[tuple[Any, ...], Callable[[], object]]:
        if _coding.way.to == self.peer.address:  # this process has it until the answer is there
            return self.named(), _nothing
        ticket = new_ticket()
        said = ticket, self.peer.address, self.number, *self.kind
        return (arrived_once, said), lambda: self._lease(ticket)

    def _lease(self, *ticket: int) -> None:
        if self.peer.tell(ops.LEASE, self.number, ticket):
            with _counting[0]:
                self.leases += 1

    def __del__(self) -> None:
        if self.count and not self.peer.is_forgotten:
            _dropping.drop(self.peer, self.number, self.count, self.leases)


class Local:
    """A reference to an object of this process."""

    __slots__ = ("entry", "kind", "local", "number", "table")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.number = entry.number
        self.kind = entry.kind
        self.table = here.table
        self.local: types.SimpleNamespace | None = None

    @property
    def address(self) -> str:
        return here.token.hex()

    def request(self, operation: int, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = _EMPTY) -> Any:
        from manyhands.sharing import _local  # noqa: PLC0415 - it makes such references

        return _local.do(self.entry, operation, name, args, kwargs)

    def lock(self, timeout: float | None) -> tuple[bool, bool]:
        taken, abandoned = self.request(ops.LOCK, "", (timeout,))
        return taken, abandoned

    def unlock(self) -> None:
        self.request(ops.UNLOCK, "")

    def is_in_transaction(self) -> bool:
        """Whether the caller is in one, or in the midst of a call."""
        return self.entry.monitor.holder == _callers.current()

    def raised(self, error: Any) -> BaseException:
        assert isinstance(error, BaseException)
        return error

    def told(self) -> tuple[Any, ...]:
        said = self.named()
        _dropping.lease(self.entry)
        return said

    def named(self) -> tuple[Any, ...]:
        return arrived, (_serving.ensure(), self.number, *self.kind)

    def promised(self) -> tuple[tuple[Any, ...], Callable[[], object]]:
        return promised(self.entry)

    def __del__(self) -> None:
        if self.table is here.table:
            self.table.let_go(self.entry)


def arrived(address: str, number: int, module: str, name: str, mask: int, token: bytes) -> Any:
    """What a pickled proxy becomes: the object where it is from, if a request brings it there; a proxy anywhere else."""
    if address == here.address:
        entry = here.table.entries.get(number)
        if entry is None:
            raise errors.NotShared(number)
        return entry.obj if _coding.way.is_home else local(entry.obj, entry)
    proxy = _proxies.known.get((address, number))
    if proxy is None:
        proxy = _proxies.proxy_of(Remote(_peers.peer_at(address), number, Kind(module, name, mask, token), 0))
        _dropping.hold_soon(_peers.peer_at(address), proxy)
        if _pickling.home:  # it has come with a task
            if not _arrived:
                _passing.unsettled.append(_settle)
            _arrived.append(weakref.ref(proxy))
    return proxy


def arrived_once(ticket: int, address: str, *said: Any) -> Any:
    """The same, where the owner keeps the object until it is told that this has come."""
    found = arrived(address, *said)
    if address == here.address:
        here.table.redeem(ticket)
    else:
        _dropping.redeem_soon(_peers.peer_at(address), [found], ticket)
    return found


def promised(entry: Entry) -> tuple[tuple[Any, ...], Callable[[], object]]:
    """What a pickle that is read once says of an object of this process."""
    ticket = new_ticket()
    said = ticket, _serving.ensure(), entry.number, *entry.kind
    return (arrived_once, said), lambda: _dropping.lease(entry, ticket)


def _nothing() -> None:
    """Nothing has to be promised."""


# Of a worker: what has come with its tasks, and whose owners may not know yet that it has.
_arrived: list[weakref.ref[Any]] = []


def _settle() -> None:
    """Have owners know of what is still here, and be told that they do."""
    coming = [proxy for ref in _arrived if (proxy := ref()) is not None]
    _arrived.clear()
    for proxy in coming:
        reference: Any = _proxies.reference_of(proxy)
        if type(reference) is Remote:
            reference.hold_now()


def granted(address: str, number: int, module: str, name: str, mask: int, token: bytes) -> Any:
    """The same for what a reply brings: the owner has counted it already."""
    proxy = _proxies.known.get((address, number))
    if proxy is None:
        return _proxies.proxy_of(Remote(_peers.peer_at(address), number, Kind(module, name, mask, token), 1))
    reference: Any = _proxies.reference_of(proxy)
    with _counting[0]:
        reference.count += 1
    if reference.kind != (module, name, mask, token):
        _proxies.be_of_kind(proxy, Kind(module, name, mask, token))
    return proxy


_counting = [threading.Lock()]


def local(obj: Any, root: Entry | None = None, kind: Kind | None = None) -> Any:
    """The proxy of an object of this process, here."""
    entry = here.table.hold(obj, root, kind)
    proxy = _proxies.known.get((here.token.hex(), entry.number))
    if proxy is not None:
        here.table.let_go(entry)
        _proxies.be_of_kind(proxy, entry.kind)
        return proxy
    return _proxies.proxy_of(Local(entry))


def referred(obj: Any) -> Any:
    """The proxy of an object that is to go by reference. See :func:`adopted`."""
    if _proxies.reference_of(obj) is not None:
        return obj
    is_new = id(obj) not in here.table.by_id
    proxy = local(obj)
    if is_new:
        reference: Any = _proxies.reference_of(proxy)
        here.referred.add(reference.number)
    return proxy


def adopted(proxy: Any, root: Entry) -> Any:
    """What a method of ``root`` returns by reference is a part of that, unless it was shared before."""
    reference = _proxies.reference_of(proxy)
    if type(reference) is Local and reference.number in here.referred:
        here.referred.discard(reference.number)
        reference.entry.become_part(root)
    return proxy


def leased(obj: object) -> tuple[str, int]:
    """The address and the number of an object of this process that others will ask for; it is kept for them as long as a proxy would be."""
    address = _serving.ensure()
    entry = here.table.hold(obj)
    _dropping.lease(entry)
    here.table.let_go(entry)
    return address, entry.number


def descriptor_of(address: str, number: int) -> int:
    """A descriptor of a shared memory of another process: the caller's.

    Raises:
        OwnerDied, NotShared: it cannot be had there any more.
    """
    return _peers.peer_at(address).fetch(number)


def itself(value: Any) -> Any:
    """The object, if a value is a proxy of one of this process; else the value."""
    reference = _proxies.reference_of(value)
    return reference.entry.obj if type(reference) is Local else value


def shut_down() -> None:
    """Share nothing any more, and let go of what others share."""
    for name in _OPTIONAL:
        if (module := sys.modules.get(name)) is not None:
            module.shut_down()
    _freight.shut_down()
    _serving.shut_down()
    _peers.shut_down()  # before the thread that tells of proxies: its last one would be dropped there, and have another thread started
    _dropping.shut_down()
    here.__init__()  # type: ignore[misc]


# ---------------------------------------------------------------- forks

_child = [0]  # the ticket of all that there is here, for the child that is being forked


def _before_fork() -> None:
    """A child can reach what is shared here only if there is somebody who listens."""
    _child[0] = 0
    if here.table.entries:
        _serving.ensure()
        _child[0] = _dropping.lease_all()


def _in_child() -> None:
    _counting[0] = threading.Lock()
    _arrived.clear()
    address = here.address
    token = here.token.hex()
    mine = [proxy for (owner, _), proxy in list(_proxies.known.items()) if owner == token]
    here.__init__()  # type: ignore[misc]
    for name in _OPTIONAL:
        if (module := sys.modules.get(name)) is not None:
            module.forked()
    _freight.forked()
    _peers.forked()
    _serving.forked()
    _dropping.forked()
    for proxy in mine:
        old: Any = _proxies.reference_of(proxy)
        del _proxies.known[token, old.number]  # each is known once: below, its holds are counted anew
        _proxies.rebind(proxy, Remote(_peers.peer_at(address), old.number, old.kind, 0))
        _proxies.known[address, old.number] = proxy
    for proxy in list(_proxies.known.values()):
        reference: Any = _proxies.reference_of(proxy)
        if type(reference) is Remote:  # and not of another machine
            reference.count = 0
            _dropping.hold_soon(reference.peer, proxy)
    if _child[0]:
        _dropping.redeem_soon(_peers.peer_at(address), mine, _child[0])


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
