"""What one process notes of a store: what it has written and removed, at once, and its hits, now and then. For any thread."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from manyhands.memory import _at_end, _index
from manyhands.memory._journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from manyhands.memory._entry import Meta, Reference
    from manyhands.memory._folder import Folder

_MOST_HITS = 4096  # keys whose hits are kept before they are written


class Ledger:
    """The notes are a hint: where they cannot be written, that is no error.

    Attributes:
        hits: by key, since they were last written; changed without the lock, so that a count may get lost.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._journal = Journal(folder)
        self._lock = threading.Lock()  # of the journal
        self.hits: dict[bytes, int] = {}

    def first_hit(self, key: bytes) -> None:
        """Of a key, since they were last written."""
        _at_end.at_end()
        self.hits[key] = 1
        if len(self.hits) >= _MOST_HITS:
            self.flush()

    def flush(self) -> None:
        """Write the hits."""
        records = self._hit_records()
        if records and os.path.isdir(self._folder.index):
            self._append(records)

    @contextlib.contextmanager
    def links(self, key: bytes) -> Iterator[None]:
        """Within the block, the links of an entry are changed: should this process die, the next writer tidies them up."""
        _at_end.at_end()
        self._append([_index.record(_index.LINKS, key, 0.0)], busy=1)
        try:
            yield
        finally:
            self._append([], busy=-1)

    def will_put(self, key: bytes, size: int, references: Sequence[Reference], meta: Meta, replaced: int) -> None:
        """An entry will be there, or is. ``replaced``: what the one takes up that is there, or -1."""
        # Beforehand: one that is not in the index would never be evicted, and what a writer leaves that is killed is found by it.
        _at_end.at_end()
        large = sum([reference.size for reference in references])
        now = time.time()
        known = size, large, meta.seconds, _index.name_number(meta.function), now, now, 0
        records = [_index.put_record(key, known), *self._hit_records()]
        self._append(records, [meta.function], stored=size - max(replaced, 0), count=int(replaced < 0))

    def stored(self, buffers: dict[bytes, int]) -> None:
        """Buffers have been written: what they take up, by digest; 0: it was there."""
        now = time.time()
        self._append(
            [_index.record(_index.BUFFER, digest, now, size) for digest, size in buffers.items() if size], stored=sum(buffers.values())
        )

    def gone(self, keys: Sequence[tuple[bytes, float]], buffers: dict[bytes, int], size: int = 0, count: int = 1) -> None:
        """Entries are no more, since when; ``count`` of them were there, with ``size`` bytes. And buffers."""
        now = time.time()
        records = [_index.record(_index.GONE, key, when) for key, when in keys]
        records += [_index.record(_index.BUFFER_GONE, digest, now) for digest in buffers]
        self._append(records, stored=-size - sum(buffers.values()), count=-count if keys else 0)

    def read(self) -> tuple[_index.Index, bool]:
        """What all processes have noted, and whether any has."""
        self.flush()
        with self._lock:
            return self._journal.read(), self._journal.has_any()

    def replace(self, index: _index.Index) -> None:
        """All that counts is in ``index``."""
        with self._lock, contextlib.suppress(OSError), self._journal.only_one() as is_mine:
            if is_mine:
                self._journal.replace(index)

    @contextlib.contextmanager
    def mending(self) -> Iterator[tuple[_index.Index, Callable[[_index.Index], None]]]:
        """What has been noted, and what to call with a better index that has been made of it. What is noted meanwhile stays noted."""
        self.flush()
        with self._journal.only_one() as is_mine:
            with self._lock:
                index, mark = self._journal.read(), self._journal.mark()

            def replace(better: _index.Index) -> None:
                with self._lock, contextlib.suppress(OSError):
                    if is_mine:
                        self._journal.replace(better, since=mark)

            yield index, replace

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal, for who does more with it."""
        with self._lock:
            yield self._journal

    def close(self) -> None:
        """Write the hits, and leave the journal for the next writer. Another is made if it is needed."""
        self.flush()
        with self._lock:
            self._journal.close()

    def forked(self) -> None:
        """This is another process now: what the parent has noted is the parent's, and so is its journal."""
        self._lock = threading.Lock()
        self.hits = {}
        self._journal.close()

    def _hit_records(self) -> list[bytes]:
        hits, self.hits = self.hits, {}
        if not hits:
            return []
        now = time.time()
        return [_index.hit_record(key, uses, now) for key, uses in list(hits.items())]

    def _append(self, records: Sequence[bytes], names: Sequence[str] = (), *, stored: int = 0, count: int = 0, busy: int = 0) -> None:
        if records or busy:
            with self._lock, contextlib.suppress(OSError):  # no room, say
                self._journal.append(records, names, stored=stored, count=count, busy=busy)
