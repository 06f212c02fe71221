"""Entries on disk, for many processes and threads at once. See README.md beside this file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from manyhands.memory import _at_end, _compression, _eviction, _signing
from manyhands.memory._buffers import Buffers
from manyhands.memory._entry_reading import Reader
from manyhands.memory._entry_removing import Remover
from manyhands.memory._entry_writing import Writer
from manyhands.memory._eviction import Evicted
from manyhands.memory._folder import Folder
from manyhands.memory._inventory import Inventory
from manyhands.memory._ledger import Ledger
from manyhands.memory._signing import Signer
from manyhands.memory._upkeep import Upkeep

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator

    from manyhands.memory._entry import Meta, Reference
    from manyhands.memory._journal import Journal

    Bytes = bytes | bytearray | memoryview

NAME = "manyhands"  # of the folder below the location


class Store:
    """Results by key, in the folder ``manyhands`` at a location. For any thread; the same folder for any number of processes.

    Its parts have one job each: :class:`Reader`, :class:`Writer`, :class:`Remover` and :class:`Inventory`. What they do is said there; here
    is what takes several of them.

    Args:
        location: made if it is not there, when something is first stored.
        size_limit: in bytes; beyond it, what is worth least is evicted in the background (``_eviction.py``). None: no limit.
        codec: ``"zlib"``, ``"lz4"`` or ``"zstd"`` for what is stored from now on; None: not compressed, and large arrays are mapped.
        level: of the codec, as its library has them; None: what it has by default.
        key: at least 16 secret bytes, kept elsewhere; what is not signed with them is refused before anything of it is unpickled.

    Raises:
        StoreRefused: the folder is another user's, or others may write to it, and there is no ``key``.
        ValueError, BackendMissing: of the codec or the key.
    """

    has_remote = False

    def __init__(
        self,
        location: str,
        *,
        size_limit: int | None = None,
        codec: str | None = None,
        level: int | None = None,
        key: bytes | None = None,
    ) -> None:
        number = _compression.number_of(codec)
        self.location = os.path.abspath(location)
        self.size_limit = size_limit
        self._codec_name = codec
        self._level = level
        self._signer = signer = None if key is None else Signer(key)
        if key is not None:
            _signing.give(self.location, key)
        self.folder = folder = Folder(os.path.join(self.location, NAME), trusts_others=key is not None)
        self._upkeep = Upkeep(self)
        self._ledger = ledger = Ledger(folder)
        buffers = Buffers(folder, signer, level)
        self._remover = remover = Remover(folder, buffers, ledger)
        self._reader = reader = Reader(folder, buffers, ledger, remover, signer)
        self._writer = Writer(folder, buffers, ledger, remover, self._upkeep, codec=number, level=level, signer=signer)
        inventory = Inventory(folder, ledger, reader.meta)
        # As attributes: a method of this class would be a second call for each hit.
        self.get = reader.get
        self.has = reader.has
        self.is_whole = reader.is_whole
        self.meta = reader.meta
        self.meta_of = reader.meta_of
        self.checked = reader.checked
        self.delete = remover.delete
        self.tidy = remover.tidy
        self.sweep_buffers = remover.sweep_buffers
        self.unstage = remover.unstage
        self.entries = inventory.entries
        self.index = inventory.index
        self.functions = inventory.functions
        self.statistics = inventory.statistics
        self.flush = ledger.flush
        _at_end.remember(self)

    def __repr__(self) -> str:
        return f"<Store {self.folder.path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced(_signing.LEFT_OUT if self._signer else None)

    def reduced_with_secret(self) -> tuple[Any, ...]:
        """For a task of manyhands: with the key."""
        return self._reduced(self._signer and self._signer.key)

    def _reduced(self, key: object) -> tuple[Any, ...]:
        return _at_end.come, (self.location, self.size_limit, self._codec_name, self._level, key)

    # ------------------------------------------------------------ results

    def put(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store a result: see :meth:`Writer.put`."""
        self._writer.put(key, value, meta)
        self._reader.cannot_load.discard(key)

    def adopt(self, key: bytes, raw: Bytes, write: Callable[[Reference, int], object]) -> None:
        """Take in an entry of another store: see :meth:`Writer.adopt`."""
        self._writer.adopt(key, raw, write)
        self._reader.cannot_load.discard(key)

    def fetch(self, key: bytes) -> bool:
        """There is nowhere else to look."""
        return False

    def reject(self, key: bytes) -> None:
        """Remove an entry that is too old for its user."""
        self.delete(key)

    def verify(self) -> Iterator[bytes]:
        """Read every entry with all its buffers; the keys of those that are damaged, which are set aside, or not signed.

        Raises:
            StoreRefused: an entry is signed, and the store was opened without a key.
        """
        return (key for key, fault in self.checked() if fault)

    # ------------------------------------------------------------ removing

    def evict(
        self,
        bytes_limit: int | None = None,
        items_limit: int | None = None,
        age_limit: float | None = None,
        *,
        function: str | None = None,
        dry_run: bool = False,
    ) -> Evicted:
        """Remove what is worth least, until the store is within the limits: bytes, entries, seconds since the last use.

        ``function``: look at its entries alone, and at their sizes together. ``dry_run``: remove nothing, and tell what would be; of the
        bytes then those that others have as well count, too.

        Raises:
            OSError: it cannot be removed.
        """
        index = self.index()
        entries, stored = index.infos(), index.bytes_stored()
        if function is not None:
            own = [entry for entry in entries if entry.function == function]
            entries, stored = iter(own), sum(entry.size + entry.large for entry in own)
        limits = {"bytes_limit": bytes_limit, "items_limit": items_limit, "age_limit": age_limit}
        going = _eviction.victims(entries, now=time.time(), stored=stored, **limits)  # type: ignore[arg-type]
        return Evicted(len(going), sum(entry.size + entry.large for entry in going)) if dry_run else self._remover.remove(going)

    def clear(self, function: str | None = None, is_meant: Callable[[Meta], bool] | None = None) -> None:
        """Remove all entries, or those of one function; of these, ``is_meant``: those of which this is true."""
        if function is None:
            if os.path.isdir(self.folder.path):
                self._remover.empty()
            return
        found = [entry for entry in self.entries() if entry.function == function]
        if is_meant is not None:
            found = [entry for entry in found if (meta := self.meta(entry.key)) is not None and is_meant(meta)]
        self._remover.remove(found)

    # ------------------------------------------------------------ imports from joblib

    def expects_imports(self, code: bytes) -> bool:
        """Whether results of a function, by the digest of its code, have been imported from joblib; they may be gone."""
        return os.path.exists(f"{self.folder.imported}/{code.hex()}")

    def expect_imports(self, code: bytes) -> None:
        """From now on, say so.

        Raises:
            OSError: that cannot be noted.
        """
        self.folder.make()
        os.makedirs(self.folder.imported, 0o700, exist_ok=True)
        self.folder.publish([], f"{self.folder.imported}/{code.hex()}", replace=True)

    # ------------------------------------------------------------ its end

    def close(self) -> None:
        """Write down what is noted, evict what is beyond the limit, and close the journal. The store can be used afterwards."""
        self._upkeep.finish()
        self._ledger.close()

    def __del__(self) -> None:
        try:
            self._upkeep.wait()
            self._ledger.close()
        except Exception:  # noqa: BLE001 - the interpreter may be half gone, contextlib with it
            pass

    def forked(self) -> None:
        """This is another process now."""
        self._ledger.forked()
        self._upkeep.forked()

    def journal(self) -> contextlib.AbstractContextManager[Journal]:
        """For the upkeep."""
        return self._ledger.journal()
