"""What a store holds: as it is noted, and as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from manyhands.memory import _index, _overview, _survey
from manyhands.memory._folder import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.memory._entry import Meta
    from manyhands.memory._folder import Folder
    from manyhands.memory._index import EntryInfo
    from manyhands.memory._ledger import Ledger

_LOOKED_AT = 200  # entries, for the versions that they were computed with


class Inventory:
    """That of one store. For any thread."""

    def __init__(self, folder: Folder, ledger: Ledger, meta: Callable[[bytes], Meta | None]) -> None:
        """``meta``: what is stored beside the result of a key."""
        self._folder = folder
        self._ledger = ledger
        self._meta = meta

    def entries(self) -> Iterator[EntryInfo]:
        """All entries, from the folder itself; what is not known of one is read from it."""
        return _survey.entries(self._folder, self._ledger.read()[0]).infos()

    def index(self) -> _index.Index:
        """What is known of the entries without looking at them; it is made anew from them where some of it is missing or damaged."""
        index, is_there = self._ledger.read()
        if (index.is_whole and is_there) or not os.path.isdir(self._folder.entries):
            return index
        return self._rebuilt()

    def _rebuilt(self) -> _index.Index:
        with self._ledger.mending() as (noted, replace):
            index = _survey.entries(self._folder, noted)
            index.buffers = _survey.buffers(self._folder)
            replace(index)
        return index

    def functions(self) -> list[_overview.FunctionSummary]:
        """What is stored of each function, the largest first: from the index, without looking at the entries."""
        return _overview.by_function(self.index())

    def statistics(self) -> _overview.Statistics:
        """What is stored in all, how much of it has been used, and what with it was computed."""
        index = self.index()
        summaries = _overview.by_function(index)
        newest = [meta for summary in summaries[:_LOOKED_AT] if (meta := self._meta(summary.newest)) is not None]
        versions = _overview.versions_in(meta.why for meta in newest)
        return _overview.together(summaries, self._folder.path, index.bytes_stored(), len(listed(self._folder.damaged)), versions)
