"""Tells owners which proxies this process has got, and which are gone, without anybody waiting for it.

One thread per process, from the first such proxy on. It sleeps while there is nothing to tell.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
import weakref
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked as ops
from manyhands.sharing._table import here, new_ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._peers import Peer
    from manyhands.sharing._proxies import Proxy
    from manyhands.sharing._table import Entry

_AT_ONCE = 1000
_PAUSE = 0.05  # seconds, where there is no room for a connection
_FAREWELL = 1.0  # seconds that it may take to tell what there is


class _Housekeeping:
    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.is_running = False
        self.is_ending = False
        self.thread: threading.Thread | None = None
        self.lock = threading.Lock()

    def put(self, *what: Any) -> None:
        self.queue.put(what)
        if not self.is_running:
            self._start()

    def _start(self) -> None:
        # The interpreter ends: before 3.12 whoever starts a thread then waits for ever. Or somebody does it, perhaps this very thread.
        if sys.is_finalizing() or not self.lock.acquire(blocking=False):
            return
        try:
            if not self.is_running:
                self.thread = threading.Thread(target=self._run, name="manyhands-share-tidy", daemon=True)
                self.thread.start()
                self.is_running = True
        except RuntimeError:  # the interpreter is about to end
            pass
        finally:
            self.lock.release()

    def _run(self) -> None:
        while not self.is_ending:
            try:
                first = self.queue.get(timeout=here.table.next_end())
            except queue.Empty:
                continue
            self._tell([first, *self._waiting()])

    def _waiting(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        while len(found) < _AT_ONCE:
            try:
                found.append(self.queue.get_nowait())
            except queue.Empty:
                break
        return found

    def _tell(self, notes: list[tuple[Any, ...]]) -> None:
        came: defaultdict[Peer, list[weakref.ref[Proxy]]] = defaultdict(list)
        gone: defaultdict[Peer, list[tuple[int, int, int]]] = defaultdict(list)
        for peer, what, more in notes:
            if peer is None:
                pass
            elif type(what) is int:
                gone[peer].append((what, *more))
            else:
                came[peer] += what
        for peer, proxies in came.items():
            try:
                tell_of(peer, partial(_held, proxies, again=False))
            except OSError:
                self._put_off([(peer, proxies, 0)])
        for peer, counts in gone.items():
            try:
                peer.tell(ops.LET_GO, 0, (counts,))
            except OSError:
                self._put_off([(peer, number, tuple(more)) for number, *more in counts])

    def _put_off(self, notes: list[tuple[Any, ...]]) -> None:
        """Tell it later: this process has no descriptor for a connection just now."""
        for note in notes:
            self.queue.put(note)
        time.sleep(_PAUSE)


def tell_of(peer: Peer, held: Callable[[], list[int]]) -> None:
    """Tell an owner of proxies that have come, and of those that came by pickles that are read once: all in one message, so that it knows
    of what has come before the time of the pickle ends. ``held`` gives the numbers of the others.
    """

    def told() -> tuple[list[int], list[int]]:  # when there is a connection: meanwhile another thread, which uses one of them, may do it
        numbers, tickets = held(), []
        while peer.tickets:
            with contextlib.suppress(IndexError):  # as above
                proxies, ticket = peer.tickets.popleft()
                numbers += _held(proxies, again=True)
                tickets.append(ticket)
        return numbers, tickets

    peer.tell(ops.HOLD, 0, told)


def _held(proxies: list[weakref.ref[Proxy]], *, again: bool) -> list[int]:
    """The numbers of those that are still there, of each of which its owner is to be told; ``again``: though it has been."""
    from manyhands.sharing import _proxies  # noqa: PLC0415 - it is loaded

    numbers: list[int] = []
    for proxy in proxies:
        found = proxy()
        reference: Any = None if found is None else _proxies.reference_of(found)
        if reference is not None and (again or not reference.count):
            reference.tell_first(False)
            reference.count_one()
            numbers.append(reference.number)
    return numbers


_state = [_Housekeeping()]  # of this process


def drop(peer: Peer, number: int, count: int, leases: int) -> None:
    """A proxy is gone that had so many holds, and of which so many pickles were told.

    Called by the garbage collector: it must neither wait nor raise.
    """
    _state[0].put(peer, number, (count, leases))


def hold_soon(peer: Peer, proxy: Proxy) -> None:
    """A proxy has come by a pickle: have its owner know before the lease of the pickle ends."""
    _state[0].put(peer, [weakref.ref(proxy)], 0)


def redeem_soon(peer: Peer, proxies: list[Proxy], ticket: int) -> None:
    """The same for a pickle that is read once: its lease ends then."""
    from manyhands.sharing import _proxies  # noqa: PLC0415 - it is loaded

    for proxy in proxies:
        reference: Any = _proxies.reference_of(proxy)
        reference.tell_first(True)
    peer.tickets.append(([weakref.ref(proxy) for proxy in proxies], ticket))
    _state[0].put(peer, [], 0)


def lease(entry: Entry, ticket: int = 0) -> None:
    """Keep an object of this process for a while: there is a pickle of its proxy. ``ticket``: see ``Table.promise``."""
    is_first = here.table.promise([entry], ticket) if ticket else here.table.lease(entry)
    if is_first:  # else the thread knows when to look
        _state[0].put(None, None, 0)


def lease_all() -> int:
    """The same for all that there are, by a ticket: a child is about to be forked, which has their proxies."""
    ticket = new_ticket()
    if here.table.promise(here.table.snapshot(), ticket):
        _state[0].put(None, None, 0)
    return ticket


def shut_down() -> None:
    """End the thread, when it has told what there is."""
    old, _state[0] = _state[0], _Housekeeping()
    old.is_ending = True
    if old.thread is not None:
        old.put(None, None, 0)
        old.thread.join(_FAREWELL)


def forked() -> None:
    """In a child."""
    _state[0] = _Housekeeping()
