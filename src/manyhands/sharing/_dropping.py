"""Tells owners which proxies this process has got, and which are gone, without anybody waiting for it.

One thread per process, from the first such proxy on. It sleeps while there is nothing to tell.
"""

from __future__ import annotations

import queue
import sys
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked as ops
from manyhands.sharing._table import here

if TYPE_CHECKING:
    from manyhands.sharing._peers import Peer
    from manyhands.sharing._proxies import Proxy

_AT_ONCE = 1000
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
        gone: defaultdict[Peer, list[tuple[int, int]]] = defaultdict(list)
        for peer, number, count in notes:
            if peer is None:
                self._hold(number)
            else:
                gone[peer].append((number, count))
        for peer, counts in gone.items():
            peer.tell(ops.LET_GO, 0, (counts,))

    def _hold(self, proxy: weakref.ref[Proxy]) -> None:
        from manyhands.sharing import _proxies  # noqa: PLC0415 - it is loaded

        found = proxy()
        reference: Any = None if found is None else _proxies.reference_of(found)
        if reference is not None and not reference.count:
            reference.hold()


_state = [_Housekeeping()]  # of this process


def drop(peer: Peer, number: int, count: int) -> None:
    """A proxy is gone that had so many holds. Called by the garbage collector: it must neither wait nor raise."""
    _state[0].put(peer, number, count)


def hold_soon(proxy: Proxy) -> None:
    """A proxy has come by a pickle: have its owner know before the lease of the pickle ends."""
    _state[0].put(None, weakref.ref(proxy), 0)


def lease_soon() -> None:
    """There are leases that end."""
    if not _state[0].is_running:
        _state[0].put(None, _nothing, 0)


def _nothing() -> None:
    """Stands for a proxy that is gone."""


def shut_down() -> None:
    """End the thread, when it has told what there is."""
    old, _state[0] = _state[0], _Housekeeping()
    old.is_ending = True
    if old.thread is not None:
        old.put(None, _nothing, 0)
        old.thread.join(_FAREWELL)


def forked() -> None:
    """In a child."""
    _state[0] = _Housekeeping()
