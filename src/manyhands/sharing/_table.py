"""The objects of this process that others may reach, by number, and who holds them."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands.sharing._kinds import Kind, kind_of_object
from manyhands.sharing._monitors import Monitor

if TYPE_CHECKING:
    from collections.abc import Iterable

# For so long an object is kept for those who have its proxy in a pickle that nobody has loaded yet. Java's remote objects do the same, by
# leases of ten minutes.
LEASE = 600.0


class Entry:
    """One object that others may reach.

    Attributes:
        obj: the object.
        number: what it is called in requests; never that of another.
        kind: what proxies have to know of its class.
        monitor: held by whoever does something with it; the same for all parts of one root.
        root: the entry of the object that it was first reached through; itself, of one that was shared.
        holds: how many proxies there are: one for each process that has it.
        leased: until then (``time.monotonic``) it is kept, whoever holds it.
        free: names of methods that do not take the monitor.
        exposed: the only names that may be used; None: all.
        loop: of a root, the event loop for its coroutines; None: that of a thread of manyhands' own.
    """

    __slots__ = ("_root", "exposed", "free", "holds", "kind", "leased", "loop", "monitor", "number", "obj")

    def __init__(self, obj: Any, number: int, kind: Kind, root: Entry | None) -> None:
        self.obj = obj
        self.number = number
        self.kind = kind
        self._root = None if root is None else root.root  # not itself: it would live until the garbage collector comes
        self.monitor: Monitor = Monitor() if root is None else root.monitor
        self.holds = 0
        self.leased = 0.0
        self.free: frozenset[str] = free_names(type(obj))
        self.exposed: frozenset[str] | None = None
        self.loop: Any = None

    @property
    def root(self) -> Entry:
        """As above."""
        return self if self._root is None else self._root

    def become_part(self, root: Entry) -> None:
        """From now on it is a part of another object."""
        self._root = root.root
        self.monitor = root.monitor


class Table:
    """All of them. ``lock`` may be taken again by its holder, since a proxy may be collected anywhere."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entries: dict[int, Entry] = {}
        self.by_id: dict[int, Entry] = {}  # of the object, which the entry keeps alive
        self._numbers = itertools.count(1)
        self._leased: dict[int, Entry] = {}
        self._promised: dict[int, tuple[float, list[Entry]]] = {}  # by ticket: until when, in the order of that; each is one hold
        self._redeemed: set[int] = set()  # tickets that were given back before they came here
        self._kept: dict[int, Entry] = {}  # whoever holds them
        self.names: dict[str, Entry] = {}  # by which other processes find them

    def hold(self, obj: Any, root: Entry | None = None, kind: Kind | None = None) -> Entry:
        """The entry of an object, with one hold more. It is made if there is none: as a part of what ``root`` is of."""
        with self.lock:
            entry = self.by_id.get(id(obj))
            if entry is None:
                entry = Entry(obj, next(self._numbers), kind or kind_of_object(obj), root)
            entry.holds += 1
            self.entries[entry.number] = self.by_id[id(obj)] = entry
            return entry

    def let_go(self, entry: Entry, holds: int = 1) -> None:
        """Give back holds. Without any, the object is no longer kept."""
        with self.lock:
            entry.holds -= holds
            self._drop_if_free(entry)

    def lease(self, entry: Entry) -> bool:
        """Keep it for a while: there is a pickle of its proxy. Whether nothing was kept so until now."""
        with self.lock:
            is_first = not self._leased and not self._promised
            entry.leased = time.monotonic() + LEASE
            self._leased[entry.number] = entry
            return is_first

    def promise(self, entries: Iterable[Entry], ticket: int) -> bool:
        """The same until :meth:`redeem` is told the number of the ticket: the pickle bears it, and who reads that is the only one."""
        with self.lock:
            if ticket in self._redeemed:
                self._redeemed.discard(ticket)
                return False
            is_first = not self._leased and not self._promised
            kept = list(entries)
            for entry in kept:
                entry.holds += 1
            self._promised[ticket] = time.monotonic() + LEASE, kept
            return is_first

    def redeem(self, ticket: int) -> None:
        """Its pickle has been read, and who has read it holds the object."""
        with self.lock:
            if ticket not in self._promised:
                self._redeemed.add(ticket)
                return
            for entry in self._promised.pop(ticket)[1]:
                self.let_go(entry)

    def keep(self, entry: Entry) -> None:
        """Keep it until it is closed."""
        with self.lock:
            if entry.number not in self._kept:
                self._kept[entry.number] = entry
                entry.holds += 1

    def next_end(self) -> float | None:
        """End the leases that are over. How many seconds there are until the next ends; None: there is none."""
        with self.lock:
            now = time.monotonic()
            for entry in [entry for entry in self._leased.values() if entry.leased <= now]:
                del self._leased[entry.number]
                entry.leased = 0.0
                self._drop_if_free(entry)
            for ticket in [ticket for ticket, (end, _) in self._promised.items() if end <= now]:
                self.redeem(ticket)
            ends = [*(entry.leased for entry in self._leased.values()), *(end for end, _ in self._promised.values())]
            return min(ends) - now if ends else None

    def close(self, entry: Entry) -> None:
        """Forget an object, whoever holds it."""
        with self.lock:
            self._leased.pop(entry.number, None)
            for _, kept in self._promised.values():
                kept[:] = [other for other in kept if other is not entry]
            self._kept.pop(entry.number, None)
            self._drop(entry)

    def snapshot(self) -> Iterable[Entry]:
        """Those that there are now."""
        with self.lock:
            return list(self.entries.values())

    def _drop_if_free(self, entry: Entry) -> None:
        if entry.holds <= 0 and not entry.leased:
            self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        if self.entries.pop(entry.number, None) is not None:
            del self.by_id[id(entry.obj)]


# Classes whose objects are made for being waited for: their methods do not take the monitor, which would keep out who is waited for.
_WAITED_FOR = {
    "threading": ("Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "_RLock", "Thread", "Timer"),
    "_thread": ("lock", "RLock"),
    "queue": ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"),
    "_queue": ("SimpleQueue",),
    "concurrent.futures._base": ("Executor", "Future"),
    "multiprocessing.pool": ("Pool", "ThreadPool", "ApplyResult", "IMapIterator"),
    "manyhands.pool": ("_Base",),
    "manyhands.async_results": ("AsyncResult", "IMapIterator"),
    "manyhands.sharing._waiting": ("Shareable",),
}
_ALL = frozenset({"*"})
_NONE: frozenset[str] = frozenset()
_free: dict[type, frozenset[str]] = {}


def free_names(cls: type) -> frozenset[str]:
    """The methods of a class that do not take the monitor: ``share.concurrent``. ``*`` stands for all of them."""
    found = _free.get(cls)
    if found is None:
        found = _ALL if is_waited_for(cls) else _NONE
        for base in cls.__mro__:
            if vars(base).get(CONCURRENT) is True:
                found = _ALL
            found |= {name for name, member in vars(base).items() if _is_concurrent(member)}
        _free[cls] = found
    return found


def is_waited_for(cls: type) -> bool:
    """Whether objects of a class are made for being waited for. What one gives to who has waited is theirs, and no part of it."""
    found = _waited_for.get(cls)
    if found is None:
        found = _waited_for[cls] = any(base.__qualname__ in _WAITED_FOR.get(base.__module__, ()) for base in cls.__mro__)
    return found


_waited_for: dict[type, bool] = {}
CONCURRENT = "__manyhands_concurrent__"


def _is_concurrent(member: Any) -> bool:
    return getattr(getattr(member, "__func__", member), "__dict__", {}).get(CONCURRENT) is True


class _Here:
    """This process as an owner."""

    def __init__(self) -> None:
        self.table = Table()
        self.token = os.urandom(8)
        self.address = ""  # where it can be reached; empty: nowhere yet
        self.referred: set[int] = set()  # what share.ref() has been given, and nobody yet
        self.is_keeper = False  # it has nothing else to do


def new_ticket() -> int:
    """A number that nobody has: see :meth:`Table.promise`."""
    return int.from_bytes(os.urandom(8), "little") or 1


here = _Here()


def _be_another() -> None:
    """In a forked child. Where there may be proxies, :mod:`manyhands.sharing._arrivals` sees to more than this."""
    if "manyhands.sharing._arrivals" not in sys.modules:
        here.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_be_another)
