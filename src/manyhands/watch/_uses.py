"""How often caches and shared objects of this process are used, and what that saves or takes.

While the process is watched, the functions that find and store results, and those that do what is asked of shared objects, are replaced by
ones that count. Otherwise nothing of it is there.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands._engine._on_import import when_imported
from manyhands._probe import _segment as told

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._probe._probe import Probe

_CACHED, _SHARED, _MONITORS = "manyhands.memory._cached", "manyhands.sharing._operations", "manyhands.sharing._monitors"
_EACH = 16  # of so many hits, one is asked what it saves
_WAITING = frozenset({"acquire", "__enter__", "wait", "wait_for", "get", "put", "join"})  # methods of locks and queues that may wait
_LEAST_WAIT = 50_000  # nanoseconds; what takes less has not waited


class _State:
    uses: Uses | None = None  # what counts now


_state = _State()


def _begin_results(module: Any) -> None:
    if _state.uses is not None:
        _state.uses.count_results(module)


def _begin_requests(module: Any) -> None:
    if _state.uses is not None:
        _state.uses.count_requests(module)


def _begin_waits(module: Any) -> None:
    if _state.uses is not None:
        _state.uses.time_waits(module)


class _Cache:
    """Of one function, since it was told of last. ``each``: nanoseconds that a hit saves, as far as is known."""

    __slots__ = ("each", "hits", "misses", "saved", "taken")

    def __init__(self) -> None:
        self.hits = self.misses = self.saved = self.taken = self.each = 0


class Uses:
    """Counts, and tells of it by a probe at each look."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._caches: dict[str, _Cache] = {}
        self._calls: dict[Any, int] = {}  # by object
        self._waits: dict[Any, list[int]] = {}  # by monitor, or object: how often, nanoseconds
        self._lock = threading.Lock()
        self._undo: list[Callable[[], object]] = []

    def start(self) -> None:
        """From now on."""
        _state.uses = self
        when_imported(_CACHED, _begin_results)
        when_imported(_SHARED, _begin_requests)
        when_imported(_MONITORS, _begin_waits)

    def stop(self) -> None:
        """No more. What was replaced is as it was."""
        _state.uses = None
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        plain = getattr(owner, name)
        setattr(owner, name, functools.wraps(plain)(make(plain)))
        self._undo.append(lambda: setattr(owner, name, plain))

    # ------------------------------------------------------------ caches

    def count_results(self, module: Any) -> None:
        """The module has been loaded."""
        clock = time.perf_counter

        def finding(plain: Callable[..., Any]) -> Callable[..., Any]:
            def find(function: Any, key: bytes) -> Any:
                hit = plain(function, key)
                if hit is not None:
                    self._hit(function.key.name, hit)
                return hit

            return find

        def finishing(plain: Callable[..., Any]) -> Callable[..., Any]:
            def finish(function: Any, work: Any, value: Any) -> Any:
                taken = clock() - work.start
                cache = self._cache(function.key.name)
                cache.misses += 1
                cache.taken += int(taken * 1e9)
                return plain(function, work, value)

            return finish

        self._replace(module.MemorizedFunc, "_find", finding)
        self._replace(module.MemorizedFunc, "_finish", finishing)

    def _hit(self, name: str, hit: Any) -> None:
        cache = self._cache(name)
        if not cache.hits % _EACH:
            with contextlib.suppress(Exception):  # watching ends nothing; joblib's entries may know nothing
                cache.each = int(hit.meta.seconds * 1e9)
        cache.hits += 1
        cache.saved += cache.each

    def _cache(self, name: str) -> _Cache:
        return self._caches.get(name) or self._caches.setdefault(name, _Cache())

    # ------------------------------------------------------------ shared objects

    def count_requests(self, module: Any) -> None:
        """The module has been loaded."""
        calls, doing = self._calls, module._DOING  # noqa: SLF001 - a table of what is done, made to be looked up in
        from manyhands.sharing import _asked, _waiting  # noqa: PLC0415 - where something is shared

        def counting(plain: Callable[..., Any]) -> Callable[..., Any]:
            def count(teller: Any, caller: int, entry: Any, *rest: Any) -> Any:
                root = entry.root
                calls[root] = calls.get(root, 0) + 1
                return plain(teller, caller, entry, *rest)

            return count

        def timing(plain: Callable[..., Any]) -> Callable[..., Any]:
            def timed(teller: Any, caller: int, entry: Any, name: str, *rest: Any) -> Any:
                if name not in _WAITING or not isinstance(entry.obj, _waiting.Shareable):
                    return plain(teller, caller, entry, name, *rest)
                begin = time.monotonic_ns()
                try:
                    return plain(teller, caller, entry, name, *rest)
                finally:
                    self._waited(entry.root, time.monotonic_ns() - begin)

            return timed

        before = dict(doing)
        doing.update({operation: counting(timing(plain) if operation == _asked.CALL else plain) for operation, plain in before.items()})
        self._undo.append(lambda: doing.update(before))

    def time_waits(self, module: Any) -> None:
        """The module has been loaded."""

        def timing(plain: Callable[..., Any]) -> Callable[..., Any]:
            def wait(monitor: Any, caller: int, timeout: float) -> Any:
                begin = time.monotonic_ns()
                try:
                    return plain(monitor, caller, timeout)
                finally:
                    self._waited(monitor, time.monotonic_ns() - begin)

            return wait

        self._replace(module.Monitor, "_wait", timing)

    def _waited(self, what: Any, nanoseconds: int) -> None:
        if nanoseconds >= _LEAST_WAIT:
            with self._lock:
                waits = self._waits.setdefault(what, [0, 0])
                waits[0] += 1
                waits[1] += nanoseconds

    # ------------------------------------------------------------ told

    def look(self) -> None:
        """Tell what has come since the last time."""
        now = time.monotonic_ns()
        for name, cache in list(self._caches.items()):
            if cache.hits or cache.misses:
                each = cache.each
                self._caches[name] = fresh = _Cache()
                fresh.each = each
                self._probe.write(told.CACHE, now, self._probe.text(name), cache.hits << 32 | cache.misses, cache.saved, cache.taken)
        if self._calls or self._waits:
            self._tell_shared(now)

    def _tell_shared(self, now: int) -> None:
        with self._lock:
            waits = dict(self._waits)
            self._waits.clear()
        while self._calls:
            with contextlib.suppress(KeyError):
                entry, calls = self._calls.popitem()
                counts = [sum(pair) for pair in zip(waits.pop(entry, (0, 0)), waits.pop(entry.monitor, (0, 0)), strict=True)]
                self._probe.write(told.SHARED, now, self._probe.text(_name_of(entry)), calls, *counts)


def _name_of(entry: Any) -> str:
    """What a shared object is called: its class, and its number in its process, or the name that it is shared by."""
    from manyhands.sharing._table import here  # noqa: PLC0415 - where something is shared

    name = next((name for name, named in list(here.table.names.items()) if named is entry), None)
    return f"{entry.kind.name} {name!r}" if name is not None else f"{entry.kind.name} {entry.number}"
