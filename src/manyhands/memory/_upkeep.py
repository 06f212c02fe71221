"""What is done in the background of writes: what writers have left that were killed is removed, and what goes beyond the size limit."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING

from manyhands.memory import _eviction, _index, _waits
from manyhands.memory._background import Background
from manyhands.memory._folder import listed

if TYPE_CHECKING:
    from manyhands.memory._store import Store

_LEAST_WRITTEN = 1 << 20
_MOST_PUTS = 4096
_PATIENCE = 5.0  # seconds that a program waits for it at its end


class Upkeep:
    """Of one store, in a thread that ends when there is nothing left to do: after the first write, and each hundredth of the limit."""

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self.forked()

    def forked(self) -> None:
        """This is another process now: it begins anew."""
        self._background = Background("manyhands-store", self._tend)
        self._swept = False
        self._written = 0
        self._puts = 0

    def poke(self, written: int) -> None:
        """So much has been written."""
        self._written += written
        self._puts += 1
        store = self._store()
        if store is None or (self._swept and self._puts < _MOST_PUTS and self._written < _step(store.size_limit)):
            return
        self._swept = True
        self._written = self._puts = 0
        self._background.poke()

    def wait(self) -> None:
        """Until nothing is being done."""
        self._background.wait(_PATIENCE)

    def finish(self) -> None:
        """Wait, and see to it that what has been written since fits the limit as well."""
        self.wait()
        store = self._store()
        if store is None or not self._puts or store.size_limit is None:
            return
        self._written = self._puts = 0
        with contextlib.suppress(OSError):
            _keep_within(store, store.size_limit)

    def _tend(self) -> None:
        store = self._store()
        if store is not None:
            with contextlib.suppress(OSError):  # removed by somebody, or full: the next write finds it so, too
                tend(store)


def tend(store: Store) -> None:
    """All of it once."""

    with store.journal() as journal:
        unfinished = journal.adopt()
    _sweep_staging(store)
    if unfinished:
        for key in set().union(*map(_index.keys_of_links, unfinished)):
            store.tidy(key)
        store.sweep_buffers()
        with store.journal() as journal:
            journal.append([], busy=-1)
    _waits.sweep(store.folder.locks)
    with store.journal() as journal:
        _, _, base, logs = journal.estimate()
    if store.size_limit is not None:
        _keep_within(store, store.size_limit)
    with store.journal() as journal:
        if journal.is_due(base, logs):
            journal.compact()


def _keep_within(store: Store, limit: int) -> None:
    with store.journal() as journal:
        stored = journal.estimate()[0]
    if stored > limit:
        _shrink(store, int(limit * _eviction.KEPT))


def _shrink(store: Store, size: int) -> None:
    store.index()  # made anew first, if it has to be
    with store.journal() as journal:
        alone = journal.only_one()
    with alone as is_mine:
        evicted = store.evict(bytes_limit=size) if is_mine else None
    if evicted is not None and not evicted.entries:  # the heads of the journals say more than is there
        with store.journal() as journal:
            journal.compact()


def _step(limit: int | None) -> int:
    return 1 << 62 if limit is None else max(min(limit // 100, 1 << 30), min(_LEAST_WRITTEN, limit // 4))


def _sweep_staging(store: Store) -> None:
    """What belongs to no journal: its writer was killed before it had one, or after another process had taken it over."""
    names = listed(store.folder.staging)
    if names:
        tokens = {name.removesuffix(".log") for name in listed(store.folder.index)} | {store.folder.token}
        for token in {name.partition(".")[0] for name in names} - tokens:
            store.unstage(token)
