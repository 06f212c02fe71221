"""Entries are written: whole, noted beforehand, and in the place of what was there."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from manyhands.memory import _index
from manyhands.memory._buffers import Changed
from manyhands.memory._entry import LARGE, Entry, Meta, NotSigned, Reference, sealed
from manyhands.memory._pickled import pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands.memory._buffers import Buffers
    from manyhands.memory._buffers import Writer as BufferWriter
    from manyhands.memory._entry_removing import Remover
    from manyhands.memory._folder import Folder
    from manyhands.memory._ledger import Ledger
    from manyhands.memory._signing import Signer
    from manyhands.memory._upkeep import Upkeep

    Bytes = bytes | bytearray | memoryview

_TRIES = 3  # with a value that changes while it is stored


class Writer:
    """Writes entries of one store. For any thread.

    **Promises.** An entry is noted before it has its name, and its end is dated before it loses it: both under the lock of its shard. So
    the notes of all processes together tell, by their times, which was last.
    """

    def __init__(
        self,
        folder: Folder,
        buffers: Buffers,
        ledger: Ledger,
        remover: Remover,
        upkeep: Upkeep,
        *,
        codec: int,
        level: int | None,
        signer: Signer | None,
    ) -> None:
        self._folder = folder
        self._buffers = buffers
        self._ledger = ledger
        self._remover = remover
        self._upkeep = upkeep
        self._codec = codec
        self._level = level
        self._signer = signer
        self._made = False

    def put(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store a result, in the place of what is there. Others see all of it or nothing.

        Raises:
            NotStorable: it cannot be pickled.
            RuntimeError: another thread has changed it all the while.
            ValueError: the key is empty, or longer than 32 bytes.
            OSError: it cannot be written. In all cases nothing of it is left.
        """
        if not 0 < len(key) <= _index.LONGEST_KEY:
            msg = f"a key has 1 to {_index.LONGEST_KEY} bytes, not {len(key)}"
            raise ValueError(msg)
        payload, buffers = pickled(value, meta.function)
        meta.time = meta.time or time.time()
        for remaining in reversed(range(_TRIES)):
            named = [self._reference(buffer) for buffer in buffers]
            pieces = sealed(key, payload, named, meta.to_bytes(), self._codec, self._signer, self._level)
            pairs = zip(named, buffers, strict=True)
            large = [(reference, self._buffers.writer(reference, data)) for reference, data in pairs if isinstance(reference, Reference)]
            try:
                self._write(key, pieces, large, meta)
                return
            except Changed:
                if not remaining:
                    msg = f"the result of {meta.function}() cannot be stored: another thread changes it meanwhile"
                    raise RuntimeError(msg) from None

    def adopt(self, key: bytes, raw: Bytes, write: Callable[[Reference, int], object]) -> None:
        """Take in an entry as another store of the same key has it. ``write(reference, fd)`` writes a large buffer, as it is stored there,
        to a file; it is asked for those whose content is not here.

        Raises:
            Damaged, NotSigned: the entry, or a buffer; NotSigned also if it is signed and this store has no key.
            Exception: what ``write`` raises; OSError: it cannot be written here. In all cases nothing of it is left.
        """
        entry = Entry(raw, key, self._signer)
        if self._signer is None and entry.is_signed():
            raise NotSigned("it is signed, and cannot be checked without the key")
        large = [(reference, self._buffers.receiver(reference, write)) for reference in entry.references()]
        self._write(key, [raw], large, entry.meta())

    def _reference(self, buffer: Bytes) -> Reference | Bytes:
        size = len(buffer)
        return Reference(self._buffers.digest(buffer), size, self._codec) if size >= LARGE else buffer

    def _write(self, key: bytes, pieces: Sequence[Bytes], large: Sequence[tuple[Reference, BufferWriter]], meta: Meta) -> None:
        if not self._made:
            self._folder.make()
            self._made = True
        if large:
            with self._ledger.links(key):
                written = self._write_with_buffers(key, pieces, large, meta)
        else:
            with self._folder.locked(key):
                self._publish(key, pieces, (), meta)
            written = 0
        self._upkeep.poke(sum(map(len, pieces)) + written)

    def _write_with_buffers(self, key: bytes, pieces: Sequence[Bytes], large: Sequence[tuple[Reference, BufferWriter]], meta: Meta) -> int:
        """How many bytes of buffers were new."""
        staged: list[tuple[str, Reference]] = []
        written: dict[bytes, int] = {}
        try:
            for reference, write in large:
                name, new = self._buffers.stage(reference, write)
                staged.append((name, reference))
                written[reference.digest] = new
            with self._folder.locked(key):
                self._publish(key, pieces, staged, meta)
        finally:
            self._buffers.drop([name for name, _ in staged])
        self._ledger.stored(written)
        return sum(written.values())

    def _publish(self, key: bytes, pieces: Sequence[Bytes], staged: Sequence[tuple[str, Reference]], meta: Meta) -> None:
        """Under the lock of the shard."""
        path = self._folder.entry(key)
        replaced = _size_of(path)
        if replaced >= 0 and not staged:  # it may have links, which go
            with self._ledger.links(key):
                self._give_name(key, path, pieces, (), meta, replaced)
        else:
            self._give_name(key, path, pieces, staged, meta, replaced)

    def _give_name(
        self, key: bytes, path: str, pieces: Sequence[Bytes], staged: Sequence[tuple[str, Reference]], meta: Meta, replaced: int
    ) -> None:
        size = sum(map(len, pieces))
        self._ledger.will_put(key, size, [reference for _, reference in staged], meta, replaced)
        try:
            for name, reference in staged:
                self._buffers.attach(name, path, reference)
            self._folder.publish(pieces, path, replace=True)
        except BaseException:
            if staged:
                self._remover.tidy_locked(key)
            if replaced < 0:
                self._ledger.gone([(key, time.time())], {}, size)
            raise
        if replaced >= 0:
            self._remover.tidy_locked(key)


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
