"""Entries are read, and checked before anything of them is unpickled."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.user_line import stacklevel
from manyhands.memory import _read_only, _survey
from manyhands.memory._buffers import Lost
from manyhands.memory._entry import Damaged, Entry, Meta, NotSigned
from manyhands.memory._survey import contents as _contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.memory._buffers import Buffers
    from manyhands.memory._entry_removing import Remover
    from manyhands.memory._folder import Folder
    from manyhands.memory._ledger import Ledger
    from manyhands.memory._signing import Signer

    Bytes = bytes | bytearray | memoryview


class Hit:
    """A result that was there."""

    __slots__ = ("_entry", "value")

    def __init__(self, value: Any, entry: Entry) -> None:
        self.value = value
        self._entry = entry

    @property
    def meta(self) -> Meta:
        """What was stored beside it."""
        return self._entry.meta()


class Reader:
    """Reads entries of one store. For any thread.

    Attributes:
        cannot_load: keys of entries that are as they were written, and whose classes do not load here.
    """

    def __init__(self, folder: Folder, buffers: Buffers, ledger: Ledger, remover: Remover, signer: Signer | None) -> None:
        self.cannot_load: set[bytes] = set()
        self._folder = folder
        self._entries = folder.entries
        self._buffers = buffers
        self._ledger = ledger
        self._remover = remover
        self._signer = signer
        self._said: set[str] = set()

    def get(self, key: bytes, mmap_mode: str | None = None) -> Hit | None:
        """The result that was stored for ``key``; None: there is none, or none that can be used here, which is said once.

        Large arrays are mapped copy-on-write: what is written to them stays in this process. ``mmap_mode="r"``: all arrays are read-only.

        Raises:
            StoreRefused: it is not signed with the key.
            OSError: it cannot be read.
        """
        name = key.hex()
        path = f"{self._entries}/{name[:2]}/{name[2:]}"
        try:
            raw = _contents(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            entry = Entry(raw, key, self._signer)
            large = () if entry.is_simple else self._large(path, entry, mmap_mode)
        except (Damaged, Lost, NotSigned) as reason:
            self._unusable(key, path, raw, reason)
            return None
        try:
            value = entry.value(large) if mmap_mode != "r" else entry.value(large, _read_only.loads)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - what loads it is the user's code, and may have changed
            self.cannot_load.add(key)
            self._say(f"a result of {entry.meta().function} cannot be loaded here, and is computed again ({type(error).__name__}: {error})")
            return None
        hits = self._ledger.hits
        try:
            hits[key] += 1
        except KeyError:
            self._ledger.first_hit(key)
        return Hit(value, entry)

    def has(self, key: bytes) -> bool:
        """Whether there is an entry, other than one that could not be loaded here. It may turn out to be damaged."""
        return key not in self.cannot_load and os.path.exists(self._folder.entry(key))

    def is_whole(self, key: bytes) -> bool:
        """Whether there is an entry, as it was written, with all its large buffers. One that is damaged is set aside.

        Raises:
            StoreRefused, OSError: as :meth:`get`.
        """
        path = self._folder.entry(key)
        raw: Bytes = b""
        try:
            raw = _contents(path)
            entry = Entry(raw, key, self._signer)
            if not entry.is_simple:
                self._large(path, entry, "r")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (Damaged, Lost, NotSigned) as reason:
            self._unusable(key, path, raw, reason)
            return False
        return key not in self.cannot_load

    def meta(self, key: bytes) -> Meta | None:
        """What was stored beside a result, which is not loaded; None: there is none, or it is damaged."""
        try:
            return self.meta_of(key, _contents(self._folder.entry(key)))
        except (OSError, Damaged, NotSigned):
            return None

    def meta_of(self, key: bytes, raw: Bytes) -> Meta:
        """The same of an entry that is given.

        Raises:
            Damaged, NotSigned
        """
        return Entry(raw, key, self._signer).meta()

    def checked(self) -> Iterator[tuple[bytes, str]]:
        """Read every entry with all its buffers: its key, and what is wrong with it; empty: nothing. What is damaged is set aside.

        Raises:
            StoreRefused: an entry is signed, and the store was opened without a key.
        """
        for key in list(_survey.keys(self._folder)):
            path = self._folder.entry(key)
            raw: Bytes = b""
            try:
                raw = _contents(path)
                entry = Entry(raw, key, self._signer)
                self._refuse_without_key(entry, path)
                self._large(path, entry, "r")
            except FileNotFoundError:
                continue
            except NotSigned as reason:
                yield key, str(reason)
            except Lost as reason:
                self._unusable(key, path, raw, reason)
                yield key, "a large buffer of it is gone"
            except Damaged as reason:
                self._unusable(key, path, raw, reason)
                yield key, str(reason)
            else:
                yield key, ""

    def _refuse_without_key(self, entry: Entry, path: str) -> None:
        if self._signer is None and entry.is_signed():
            raise errors.StoreRefused(path, "it is signed, and cannot be checked without the key", "open the store with the key")

    def _large(self, path: str, entry: Entry, mmap_mode: str | None) -> list[Bytes]:
        self._refuse_without_key(entry, path)  # large buffers would all look damaged: their digests are made with the key
        return [self._buffers.load(path, reference, writable=mmap_mode != "r") for reference in entry.references()]

    def _unusable(self, key: bytes, path: str, raw: Bytes, reason: Exception) -> None:
        if isinstance(reason, NotSigned):
            why = f"{reason}, so that anybody may have written it"
            raise errors.StoreRefused(path, why, "open the store with the key that it was written with, or remove what is in it") from None
        if isinstance(reason, Lost):  # somebody is removing it, or stores another in its place
            with contextlib.suppress(OSError):  # as below
                self._remover.delete(key, raw)
            return
        self._say(f"a stored result was damaged ({reason}); it is set aside in {self._folder.damaged}, and computed again")
        with contextlib.suppress(OSError):  # a folder that is only for reading
            self._remover.set_aside(key, raw)

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(what, errors.StoreWarning, stacklevel=stacklevel())
