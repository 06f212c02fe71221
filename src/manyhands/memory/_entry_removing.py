"""Entries are removed, with the large buffers that nobody else refers to; and what writers leave that have died."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from typing import TYPE_CHECKING

from manyhands.memory import _index
from manyhands.memory._buffers import link_of, links_of
from manyhands.memory._entry import Damaged, Entry
from manyhands.memory._eviction import Evicted
from manyhands.memory._folder import listed, remove_tree
from manyhands.memory._survey import contents as _contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from manyhands.memory._buffers import Buffers
    from manyhands.memory._folder import Folder
    from manyhands.memory._index import EntryInfo
    from manyhands.memory._ledger import Ledger

    Bytes = bytes | bytearray | memoryview

_AT_ONCE = 256  # entries that are removed while others wait


class Remover:
    """Removes entries of one store. For any thread."""

    def __init__(self, folder: Folder, buffers: Buffers, ledger: Ledger) -> None:
        self._folder = folder
        self._buffers = buffers
        self._ledger = ledger

    # ------------------------------------------------------------ one

    def delete(self, key: bytes, seen: Bytes | None = None) -> bool:
        """Remove an entry; False: there was none. ``seen``: only if it is still this one.

        Raises:
            OSError: it cannot be removed.
        """
        size, freed, when = self._remove(key, seen)
        if size >= 0:
            self._ledger.gone([(key, when)], freed, size)
        return size >= 0

    def set_aside(self, key: bytes, seen: Bytes) -> None:
        """Keep a damaged entry where it is none, for who wants to look at it, unless another has taken its place.

        Raises:
            OSError
        """
        path = self._folder.entry(key)
        with self._folder.locked(key), self._ledger.links(key):
            if _contents(path) != seen:
                return
            when = time.time()
            self._folder.set_aside(path, key.hex())
            freed = self._buffers.drop(links_of(path))
        self._ledger.gone([(key, when)], freed, len(seen))

    def _remove(self, key: bytes, seen: Bytes | None) -> tuple[int, dict[bytes, int], float]:
        """What its file took up (-1: there was none), buffers that nobody refers to any more, and when that was."""
        path = self._folder.entry(key)
        with self._folder.locked(key):
            when = time.time()
            try:
                raw = _contents(path)
            except FileNotFoundError:
                return -1, {}, when
            if seen is not None and raw != seen:
                return -1, {}, when
            try:
                has_links = bool(Entry(raw, key).references())
            except Damaged:
                has_links = True
            if not has_links:
                os.unlink(path)
                return len(raw), {}, when
            return len(raw), self._remove_with_links(key, path), when

    def _remove_with_links(self, key: bytes, path: str) -> dict[bytes, int]:
        with self._ledger.links(key):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return self._buffers.drop(links_of(path))

    # ------------------------------------------------------------ many

    def remove(self, entries: Iterable[EntryInfo]) -> Evicted:
        """Remove entries, as far as they are still there.

        Raises:
            OSError: one cannot be removed.
        """
        gone: list[tuple[bytes, float]] = []
        buffers: dict[bytes, int] = {}
        own = count = 0
        ordered = sorted(entries)  # folder by folder: on a disk, that is what it takes
        for _, shard in itertools.groupby(ordered, key=lambda entry: entry.key[:1]):
            while batch := list(itertools.islice(shard, _AT_ONCE)):
                for entry, was_there, freed, when in self._remove_batch(batch):
                    gone.append((entry.key, when if was_there else entry.created))
                    buffers.update(freed)
                    own += entry.size * was_there
                    count += was_there
        self._ledger.gone(gone, buffers, own, count)
        return Evicted(count, own + sum(buffers.values()))

    def _remove_batch(self, batch: Sequence[EntryInfo]) -> Iterator[tuple[EntryInfo, bool, dict[bytes, int], float]]:
        """Of one folder, which is looked at once: that tells who has links, without reading the entries."""
        folder = os.path.dirname(self._folder.entry(batch[0].key))
        with self._folder.locked(batch[0].key):
            linked = {name.partition(".")[0] for name in listed(folder) if "." in name}
            for entry in batch:
                name, when = entry.key.hex()[2:], time.time()
                path = f"{folder}/{name}"
                if name in linked:
                    was_there = os.path.exists(path)
                    yield entry, was_there, self._remove_with_links(entry.key, path), when
                    continue
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    yield entry, False, {}, when
                else:
                    yield entry, True, {}, when

    def empty(self) -> None:
        """Remove all entries, at once for everybody who looks.

        Raises:
            OSError: they cannot be removed.
        """
        self._ledger.hits = {}
        with self._folder.all_locked():
            when = time.time()
            away = self._folder.move_away()
            self._ledger.replace(_index.Index())
            left = self._ledger.read()[0]  # what other processes have noted: it is theirs, and can be outdated only
            gone = {key: known[0] for key, known in left.entries.items() if known[4] <= when}
            if gone:
                self._ledger.gone([(key, when) for key in gone], left.buffers, sum(gone.values()), len(gone))
        for path in away:
            remove_tree(path)

    # ------------------------------------------------------------ what is left over

    def tidy(self, key: bytes) -> None:
        """Remove the links to large buffers that the entry of ``key`` does not have, or no longer."""
        with self._folder.locked(key):
            self.tidy_locked(key)

    def tidy_locked(self, key: bytes) -> None:
        """The same for who has the lock of the shard."""
        path = self._folder.entry(key)
        found = links_of(path)
        if found:
            try:
                wanted = {link_of(path, reference) for reference in Entry(_contents(path), key).references()}
            except (OSError, Damaged):
                wanted = set()
            self._ledger.gone([], self._buffers.drop([link for link in found if link not in wanted]))

    def sweep_buffers(self) -> None:
        """Remove contents that nobody refers to."""
        self._ledger.gone([], self._buffers.sweep())

    def unstage(self, token: str) -> None:
        """Remove what a writer has left that has died."""
        for name in listed(self._folder.staging):
            if name.startswith(f"{token}."):
                path = os.path.join(self._folder.staging, name)
                self._ledger.gone([], self._buffers.drop([path]))
                remove_tree(path)
