"""Entries on disk, for many processes and threads at once. See README.md beside this file."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import warnings
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.memory import _at_end, _compression, _eviction, _index, _overview, _read_only, _signing, _survey
from manyhands.memory._buffers import Buffers, Changed, Lost, link_of, links_of
from manyhands.memory._entry import LARGE, Damaged, Entry, Meta, NotSigned, Reference, sealed
from manyhands.memory._eviction import Evicted
from manyhands.memory._folder import Folder, listed, remove_tree
from manyhands.memory._ledger import Ledger
from manyhands.memory._pickled import pickled
from manyhands.memory._signing import Signer
from manyhands.memory._survey import contents as _contents
from manyhands.memory._upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from manyhands.memory._buffers import Writer
    from manyhands.memory._index import EntryInfo
    from manyhands.memory._journal import Journal

    Bytes = bytes | bytearray | memoryview

NAME = "manyhands"  # of the folder below the location

_AT_ONCE = 256  # entries that are removed while others wait
_LOOKED_AT = 200  # entries, for the versions that they were computed with
_TRIES = 3  # with a value that changes while it is stored


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


class Store:
    """Results by key, in the folder ``manyhands`` at a location. For any thread; the same folder for any number of processes.

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
        self.location = os.path.abspath(location)
        self.size_limit = size_limit
        self._codec_name = codec
        self._codec = _compression.number_of(codec)
        self._level = level
        self._signer = None if key is None else Signer(key)
        if key is not None:
            _signing.give(self.location, key)
        self.folder = Folder(os.path.join(self.location, NAME), trusts_others=key is not None)
        self._entries = self.folder.entries
        self._buffers = Buffers(self.folder, self._signer, level)
        self._ledger = Ledger(self.folder)
        self._said: set[str] = set()
        self._cannot_load: set[bytes] = set()
        self._made = False
        self._upkeep = Upkeep(self)
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

    # ------------------------------------------------------------ reading

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
            self._unusable(key, path, reason)
            return None
        try:
            value = entry.value(large) if mmap_mode != "r" else entry.value(large, _read_only.loads)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - what loads it is the user's code, and may have changed
            self._cannot_load.add(key)
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
        return key not in self._cannot_load and os.path.exists(self._path(key))

    def is_whole(self, key: bytes) -> bool:
        """Whether there is an entry, as it was written, with all its large buffers. One that is damaged is set aside.

        Raises:
            StoreRefused, OSError: as :meth:`get`.
        """
        path = self._path(key)
        try:
            entry = Entry(_contents(path), key, self._signer)
            if not entry.is_simple:
                self._large(path, entry, "r")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (Damaged, Lost, NotSigned) as reason:
            self._unusable(key, path, reason)
            return False
        return key not in self._cannot_load

    def meta(self, key: bytes) -> Meta | None:
        """What was stored beside a result, which is not loaded; None: there is none, or it is damaged."""
        try:
            return self.meta_of(key, _contents(self._path(key)))
        except (OSError, Damaged, NotSigned):
            return None

    def meta_of(self, key: bytes, raw: Bytes) -> Meta:
        """The same of an entry that is given.

        Raises:
            Damaged, NotSigned
        """
        return Entry(raw, key, self._signer).meta()

    def _refuse_without_key(self, entry: Entry, path: str) -> None:
        if self._signer is None and entry.is_signed():
            raise errors.StoreRefused(path, "it is signed, and cannot be checked without the key", "open the store with the key")

    def _large(self, path: str, entry: Entry, mmap_mode: str | None) -> list[Bytes]:
        self._refuse_without_key(entry, path)  # large buffers would all look damaged: their digests are made with the key
        return [self._buffers.load(path, reference, writable=mmap_mode != "r") for reference in entry.references()]

    def _unusable(self, key: bytes, path: str, reason: Exception) -> None:
        if isinstance(reason, NotSigned):
            why = f"{reason}, so that anybody may have written it"
            raise errors.StoreRefused(path, why, "open the store with the key that it was written with, or remove what is in it") from None
        if isinstance(reason, Lost):  # somebody is removing it
            with contextlib.suppress(OSError):  # as below
                self.delete(key)
            return
        self._say(f"a stored result was damaged ({reason}); it is set aside in {self.folder.damaged}, and computed again")
        with contextlib.suppress(OSError):  # a folder that is only for reading
            with self.folder.locked(key), self._ledger.links(key):
                size = os.stat(path).st_size
                self.folder.set_aside(path, key.hex())
                freed = self._buffers.drop(links_of(path))
            self._ledger.gone([(key, time.time())], freed, size)

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(what, errors.StoreWarning, stacklevel=4)

    def fetch(self, key: bytes) -> bool:
        """There is nowhere else to look."""
        return False

    # ------------------------------------------------------------ writing

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

    def _write(self, key: bytes, pieces: Sequence[Bytes], large: Sequence[tuple[Reference, Writer]], meta: Meta) -> None:
        if not self._made:
            self.folder.make()
            self._made = True
        self._cannot_load.discard(key)
        if large or self.has(key):
            with self._ledger.links(key):
                self._write_with_links(key, pieces, large, meta)
        else:
            self._publish(key, pieces, (), meta)
            self._upkeep.poke(sum(map(len, pieces)))

    def _write_with_links(self, key: bytes, pieces: Sequence[Bytes], large: Sequence[tuple[Reference, Writer]], meta: Meta) -> None:
        """With buffers, or in the place of another entry."""
        staged: list[tuple[str, Reference]] = []
        written: dict[bytes, int] = {}
        try:
            for reference, write in large:
                name, new = self._buffers.stage(reference, write)
                staged.append((name, reference))
                written[reference.digest] = new
            with self.folder.locked(key):
                self._publish(key, pieces, staged, meta)
        finally:
            self._buffers.drop([name for name, _ in staged])
        self._ledger.stored(written)
        self._upkeep.poke(sum(map(len, pieces)) + sum(written.values()))

    def _publish(self, key: bytes, pieces: Sequence[Bytes], staged: Sequence[tuple[str, Reference]], meta: Meta) -> None:
        path = self._path(key)
        size, replaced = sum(map(len, pieces)), _size_of(path)
        self._ledger.will_put(key, size, [reference for _, reference in staged], meta, replaced)
        try:
            for name, reference in staged:
                self._buffers.attach(name, path, reference)
            self.folder.publish(pieces, path, replace=True)
        except BaseException:
            if staged:
                self._tidy(key)
            if replaced < 0:
                self._ledger.gone([(key, time.time())], {}, size)
            raise
        if replaced >= 0:
            self._tidy(key)

    def tidy(self, key: bytes) -> None:
        """Remove the links to large buffers that the entry of ``key`` does not have, or no longer."""
        with self.folder.locked(key):
            self._tidy(key)

    def _tidy(self, key: bytes) -> None:
        path = self._path(key)
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
        for name in listed(self.folder.staging):
            if name.startswith(f"{token}."):
                path = os.path.join(self.folder.staging, name)
                self._ledger.gone([], self._buffers.drop([path]))
                remove_tree(path)

    # ------------------------------------------------------------ removing

    def delete(self, key: bytes) -> bool:
        """Remove an entry; False: there was none.

        Raises:
            OSError: it cannot be removed.
        """
        size, freed, when = self._remove(key)
        if size >= 0:
            self._ledger.gone([(key, when)], freed, size)
        return size >= 0

    def reject(self, key: bytes) -> None:
        """Remove an entry that is too old for its user."""
        self.delete(key)

    def _remove(self, key: bytes) -> tuple[int, dict[bytes, int], float]:
        """What its file took up (-1: there was none), buffers that nobody refers to any more, and when that was."""
        path = self._path(key)
        with self.folder.locked(key):
            when = time.time()
            try:
                raw = _contents(path)
            except FileNotFoundError:
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

    def _remove_all(self, entries: Iterable[EntryInfo]) -> Evicted:
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
        folder = os.path.dirname(self._path(batch[0].key))
        with self.folder.locked(batch[0].key):
            linked = {name.partition(".")[0] for name in listed(folder) if "." in name}
            for entry in batch:
                path, when = self._path(entry.key), time.time()
                if os.path.basename(path) in linked:
                    was_there = os.path.exists(path)
                    yield entry, was_there, self._remove_with_links(entry.key, path), when
                    continue
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    yield entry, False, {}, when
                else:
                    yield entry, True, {}, when

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
        return Evicted(len(going), sum(entry.size + entry.large for entry in going)) if dry_run else self._remove_all(going)

    def clear(self, function: str | None = None, is_meant: Callable[[Meta], bool] | None = None) -> None:
        """Remove all entries, or those of one function; of these, ``is_meant``: those of which this is true."""
        if function is not None:
            found = [entry for entry in self.entries() if entry.function == function]
            if is_meant is not None:
                found = [entry for entry in found if (meta := self.meta(entry.key)) is not None and is_meant(meta)]
            self._remove_all(found)
            return
        if os.path.isdir(self.folder.path):
            self._ledger.hits = {}
            when = time.time()
            self.folder.empty()
            self._ledger.replace(_index.Index())
            left = self._ledger.read()[0]  # what other processes have noted: it is theirs, and can be outdated only
            gone = {key: known[0] for key, known in left.entries.items() if known[4] <= when}
            if gone:
                self._ledger.gone([(key, when) for key in gone], left.buffers, sum(gone.values()), len(gone))

    # ------------------------------------------------------------ what there is

    def entries(self) -> Iterator[EntryInfo]:
        """All entries, from the folder itself; what is not known of one is read from it."""
        return _survey.entries(self.folder, self._ledger.read()[0]).infos()

    def index(self) -> _index.Index:
        """What is known of the entries without looking at them; it is made anew from them where some of it is missing or damaged."""
        index, is_there = self._ledger.read()
        if (index.is_whole and is_there) or not os.path.isdir(self.folder.entries):
            return index
        return self.rebuild(index)

    def rebuild(self, old: _index.Index | None = None) -> _index.Index:
        """Make the index anew from the files; what ``old`` knows of them is kept."""
        index = _survey.entries(self.folder, old or _index.Index())
        index.buffers = _survey.buffers(self.folder)
        self._ledger.replace(index)
        return index

    def functions(self) -> list[_overview.FunctionSummary]:
        """What is stored of each function, the largest first: from the index, without looking at the entries."""
        return _overview.by_function(self.index())

    def statistics(self) -> _overview.Statistics:
        """What is stored in all, how much of it has been used, and what with it was computed."""
        index = self.index()
        summaries = _overview.by_function(index)
        newest = [meta for summary in summaries[:_LOOKED_AT] if (meta := self.meta(summary.newest)) is not None]
        versions = _overview.versions_in(meta.why for meta in newest)
        return _overview.together(summaries, self.folder.path, index.bytes_stored(), len(listed(self.folder.damaged)), versions)

    def verify(self) -> Iterator[bytes]:
        """Read every entry with all its buffers; the keys of those that are damaged, which are set aside, or not signed.

        Raises:
            StoreRefused: an entry is signed, and the store was opened without a key.
        """
        return (key for key, fault in self.checked() if fault)

    def checked(self) -> Iterator[tuple[bytes, str]]:
        """Read every entry with all its buffers: its key, and what is wrong with it; empty: nothing. See :meth:`verify`.

        Raises:
            StoreRefused: an entry is signed, and the store was opened without a key.
        """
        for key in list(_survey.keys(self.folder)):
            path = self._path(key)
            try:
                entry = Entry(_contents(path), key, self._signer)
                self._refuse_without_key(entry, path)
                self._large(path, entry, "r")
            except FileNotFoundError:
                continue
            except NotSigned as reason:
                yield key, str(reason)
            except Lost as reason:
                self._unusable(key, path, reason)
                yield key, "a large buffer of it is gone"
            except Damaged as reason:
                self._unusable(key, path, reason)
                yield key, str(reason)
            else:
                yield key, ""

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

    def flush(self) -> None:
        """Write down the hits that have been noted."""
        self._ledger.flush()

    def __del__(self) -> None:
        try:
            self._upkeep.wait()
            self._ledger.close()
        except Exception:  # noqa: BLE001 - the interpreter may be half gone, contextlib with it
            pass

    def forked(self) -> None:
        """This is another process now."""
        self._ledger.forked()
        self._upkeep = Upkeep(self)

    def journal(self) -> contextlib.AbstractContextManager[Journal]:
        """For the upkeep."""
        return self._ledger.journal()

    def _path(self, key: bytes) -> str:
        return self.folder.entry(key)


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
