"""A store that machines share: a local one for each, and behind it a remote one, anywhere that fsspec leads.

::

    get      local ── not there ──▶ remote: brought into the local one, then loaded from there
    put      local ── noted in its outbox ──▶ remote, in the background

What is remote is byte for byte what is local: entries, and large buffers by content (README.md beside this file). So all that makes a
result sure (checksum, key, signature, digests) is looked at here, before anything of it is unpickled, and a large array is mapped from the
local folder, once it has been brought there.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._core.user_line import stacklevel
from manyhands.memory import _at_end, _ends
from manyhands.memory._buffers import Lost
from manyhands.memory._entry import Damaged, Entry, NotSigned
from manyhands.memory._remote_files import RemoteFiles, Unavailable
from manyhands.memory._store import NAME, Store
from manyhands.memory._uploads import Uploads, buffer_name, entry_name, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.memory._entry import Meta, Reference
    from manyhands.memory._folder import Folder


class Options(NamedTuple):
    """What tells one remote store from another in a process. ``storage``: a pickle."""

    url: str
    storage: bytes
    near: str
    size_limit: int | None
    codec: str | None
    level: int | None
    key: bytes | None


_stores: dict[Options, RemoteStore] = {}  # connections are dear, and functions come with their Memory for each task


def open_store(options: Options, *, checks: bool = False) -> RemoteStore:
    """The store of this process with these options; ``checks``: see that it can be used, if it can be reached.

    Raises:
        StoreRefused: there is no such bucket, or it may not be listed; or the local folder is not private.
    """
    found = _stores.get(options)
    if found is None:
        found = RemoteStore(options)
        if checks:
            found.check()
        found = _stores.setdefault(options, found)
    return found


def open_here(url: str) -> RemoteStore:
    """The store of this process for a URL that has come without its secrets.

    Raises:
        StoreRefused: this process has not opened it with them.
    """
    for options, store in _stores.items():
        if options.url == url:
            return store
    why = "it came to this process without its key and storage options: only tasks of manyhands bring them along"
    raise errors.StoreRefused(url, why, "open a Memory with them here first")


class RemoteStore:
    """Results by key, on this machine and for all that share the URL. For any thread; the same folder for any number of processes.

    **Promises.** Nothing that is remote can make a computed result be lost: where that cannot be reached, it is said once and tried again
    after a while, and the local store does on its own. Nobody sees half an entry. What was not signed with the key is not unpickled.
    """

    has_remote = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self.location = options.url
        self._near = Store(options.near, size_limit=options.size_limit, codec=options.codec, level=options.level, key=options.key)
        self._files = RemoteFiles(f"{options.url.rstrip('/')}/{NAME}", pickle.loads(options.storage))
        self._uploads = Uploads(self._near.folder, self._files)
        self._said: set[str] = set()
        self._too_old: dict[bytes, float] = {}  # when those were stored that have been rejected
        # What is asked of what is here; a hit costs what it costs without a remote store.
        self.get = self._near.get
        self.has = self._near.has
        self.is_whole = self._near.is_whole
        self.meta = self._near.meta
        self.index = self._near.index
        self.evict = self._near.evict
        self.functions = self._near.functions
        self.statistics = self._near.statistics
        self.checked = self._near.checked
        self.expects_imports = self._near.expects_imports
        self.expect_imports = self._near.expect_imports
        _at_end.remember(self)

    def __repr__(self) -> str:
        return f"<RemoteStore {self.location}, and {self._near.folder.path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        is_secret = self._options.key is not None or bool(pickle.loads(self._options.storage))
        return (open_here, (self.location,)) if is_secret else self.reduced_with_secret()

    def reduced_with_secret(self) -> tuple[Any, ...]:
        """For a task of manyhands: with the key, and whatever opens the remote store."""
        return open_store, (self._options,)

    @property
    def folder(self) -> Folder:
        """For the locks: of this machine's processes, one computes a key. Other machines may compute it, too."""
        return self._near.folder

    def check(self) -> None:
        """See whether the remote store can be used, and send what other runs have left.

        Raises:
            StoreRefused: there is no such bucket, or it may not be listed.
        """
        self._files.check()
        self._tell()
        self._uploads.resume()

    # ------------------------------------------------------------ results

    def fetch(self, key: bytes) -> bool:
        """Bring a result here that another machine has stored. False: there is none that can be used, which is said once.

        Raises:
            StoreRefused: it is not signed with the key.
        """
        after = self._too_old.get(key)
        try:
            raw = self._files.read(entry_name(key))
            if raw is None or (after is not None and self._near.meta_of(key, raw).time <= after):
                return False
            self._near.adopt(key, raw, self._bring)
        except Unavailable:
            self._tell()
        except Lost:  # a large buffer has expired, or somebody is removing it
            self._drop(key)
        except Damaged as reason:
            self._drop(key, raw)
            self._say(f"a result in {self.location} was damaged ({reason}); it is removed there, and computed again")
        except NotSigned as reason:
            why = f"{reason}, so that anybody may have written it"
            mend = "open the store with the key that it was written with, or remove what is in it"
            raise errors.StoreRefused(f"{self._files.url}/{entry_name(key)}", why, mend) from None
        except (OSError, errors.BackendMissing) as error:
            self._say(f"a result in {self.location} could not be brought to {self._near.folder.path}: {error}")
        else:
            return True
        return False

    def put(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store a result here, and have it sent in the background. Raises what :meth:`Store.put` raises."""
        self._near.put(key, value, meta)
        self._too_old.pop(key, None)
        self._uploads.add(key)
        self._tell()

    def reject(self, key: bytes) -> None:
        """What is here is too old for its user: remove it here. From there, only a younger one will do; the old one is left to whoever
        stores another."""
        before = self._near.meta(key)
        if before is not None:
            self._too_old[key] = before.time
        self._near.delete(key)

    def delete(self, key: bytes) -> bool:
        """Remove a result, here and there; False: there was none here.

        Raises:
            OSError: it cannot be removed.
        """
        with self._uploads.halted:
            was_here = self._near.delete(key)
            with self._removing():
                self._files.remove([entry_name(key)])
        return was_here

    def clear(self, function: str | None = None, is_meant: Callable[[Meta], bool] | None = None) -> None:
        """Remove all results, or those of one function, here and there; of these, ``is_meant``: those of which this is true. Other machines
        keep what they have brought to themselves.

        Raises:
            OSError: the remote store cannot be reached, or does not allow it.
        """
        with self._uploads.halted:
            self._near.clear(function, is_meant)
            with self._removing():
                if function is None:
                    self._files.remove_all()
                else:
                    names = _ends.entries_of(self._files, function)
                    self._files.remove(names if is_meant is None else [name for name in names if self._is(name, is_meant)])

    def _is(self, name: str, is_meant: Callable[[Meta], bool]) -> bool:
        raw = self._files.read(name)
        try:
            return raw is not None and is_meant(self._near.meta_of(key_of(name), raw))
        except (Damaged, NotSigned):
            return False

    # ------------------------------------------------------------ its end

    def close(self) -> None:
        """Return when all that waits is sent, or cannot be now, and close what is open. The store can be used afterwards."""
        self._uploads.finish()
        self._files.close()
        self._near.close()
        self._tell()

    def forked(self) -> None:
        """This is another process now."""
        self._uploads.forked()
        self._files.forked()

    # ------------------------------------------------------------ what is there

    def _bring(self, reference: Reference, fd: int) -> None:
        """
        Raises:
            Lost: it is not there.
            Unavailable, OSError
        """
        if not self._files.read_into(buffer_name(reference), fd):
            raise Lost

    def _drop(self, key: bytes, raw: bytes | None = None) -> None:
        """Remove a bad entry that is there, and what may be bad of it, so that the next one who stores it stores all of it."""
        names = [entry_name(key)]
        if raw is not None:
            names += _buffers_of(raw, key)
        try:
            self._files.remove(names)
        except Unavailable:
            self._tell()

    @contextlib.contextmanager
    def _removing(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            msg = f"removed from {self._near.folder.path}, but not from {self.location}: {error}"
            raise ConnectionError(msg) from error

    def _tell(self) -> None:
        """Say in the user's thread what has gone wrong, wherever that was."""
        for fault in self._files.faults():
            what = "what this machine has does until it can be, which is tried now and then"
            warnings.warn(f"{fault}; {what}", errors.StoreWarning, stacklevel=stacklevel())

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(what, errors.StoreWarning, stacklevel=stacklevel())


def _buffers_of(raw: bytes, key: bytes) -> list[str]:
    try:
        return [buffer_name(reference) for reference in Entry(raw, key).references()]
    except Damaged:
        return []
