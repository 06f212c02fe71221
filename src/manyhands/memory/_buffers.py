"""Large buffers: each content is stored once, and mapped when it is loaded.

::

    entries/ab/cdef...              the entry: names the digests of its buffers
    entries/ab/cdef....<digest>     its own link to one of them  ──┐
    buffers/di/gest                 where others find the content ──┴── one file, as long as it has a name

The file system counts the references. An entry loads through its own link, so whoever removes the name in ``buffers``, at whatever
moment, takes it from nobody: the next writer of the same content only stores it again. A writer has the content under a name of its own
first, then attaches it: only that, and the removal of links, happen under a lock.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import TYPE_CHECKING

from manyhands._wire._segments import mapped
from manyhands.memory import _compression
from manyhands.memory._entry import Damaged, Reference
from manyhands.memory._folder import listed, write_all
from manyhands.memory._signing import digest_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.memory._folder import Folder
    from manyhands.memory._signing import Signer

    Bytes = bytes | bytearray | memoryview
    Writer = Callable[[int], None]  # of a file, by its descriptor

_SUFFIXES = {_compression.RAW: "", _compression.ZLIB: "z", _compression.LZ4: "l", _compression.ZSTD: "s"}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_MOST_VERIFIED = 65536


class Lost(Exception):
    """The file of a buffer is gone: its entry has been removed meanwhile."""


class Buffers:
    """Those of one store. For any thread."""

    def __init__(self, folder: Folder, signer: Signer | None, level: int | None = None) -> None:
        self._folder = folder
        self._level = level  # that buffers are compressed at
        self._digest = digest_by(signer)
        self._verified: set[tuple[int, int, int, int]] = set()  # files that this process has read in full and found right

    def digest(self, data: Bytes) -> bytes:
        """What names a content."""
        return self._digest(data)

    # ------------------------------------------------------------ storing

    def stage(self, reference: Reference, write: Writer) -> tuple[str, int]:
        """Have the content under a name of this writer's own; how many bytes have been written for that: none if it is there.

        Raises:
            OSError: it cannot be written.
            Exception: what ``write`` raises.
        """
        pool = self._pool(name_of(reference))
        staged = f"{self._folder.staged()}.{name_of(reference)}"
        try:
            self._folder.link(pool, staged)
        except OSError as error:
            if error.errno not in {errno.ENOENT, *_NO_LINKS}:
                raise
        else:
            return staged, 0
        self._folder.publish_by(write, lambda: staged, replace=False)
        try:
            self._folder.link(staged, pool)
        except FileExistsError:  # another has been quicker: one copy is enough
            with contextlib.suppress(OSError):
                again = f"{self._folder.staged()}.{name_of(reference)}"
                self._folder.link(pool, again)
                os.replace(again, staged)
                return staged, 0
        except OSError:  # no links here: then it is stored once for each entry
            pass
        return staged, os.stat(staged).st_size

    def writer(self, reference: Reference, data: Bytes) -> Writer:
        """Writes a content; raises :class:`Changed` if somebody has changed the data since their digest was taken."""

        def write(fd: int) -> None:
            write_all(fd, [_compression.compress(reference.codec, data, self._level)])
            # Another thread may have written to the array meanwhile: what counts is what has got into the file.
            if reference.codec == _compression.RAW and not self._is_right(fd, reference):
                raise Changed

        return write

    def receiver(self, reference: Reference, write: Callable[[Reference, int], object]) -> Writer:
        """Has ``write`` write a content as it is stored elsewhere; raises :class:`Damaged` if it is another one."""

        def receive(fd: int) -> None:
            write(reference, fd)
            os.lseek(fd, 0, os.SEEK_SET)
            self._loaded(fd, reference, writable=False)

        return receive

    def attach(self, staged: str, entry: str, reference: Reference) -> None:
        """Have the entry at path ``entry`` refer to a content that has been staged. Under the lock of its shard.

        Raises:
            OSError
        """
        link = link_of(entry, reference)
        try:
            os.replace(staged, link)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(link), 0o700, exist_ok=True)
            os.replace(staged, link)
        with contextlib.suppress(FileNotFoundError):  # one file already: then the system leaves both names
            os.unlink(staged)

    def _is_right(self, fd: int, reference: Reference) -> bool:
        with mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as written, memoryview(written) as view:
            return self._digest(view) == reference.digest

    # ------------------------------------------------------------ loading

    def load(self, entry: str, reference: Reference, *, writable: bool = True) -> Bytes:
        """The content, in memory of its own: mapped, and what is written to it stays here; or decompressed.

        Raises:
            Lost, Damaged
        """
        try:
            fd = os.open(link_of(entry, reference), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Lost from None
        try:
            return self._loaded(fd, reference, writable=writable)
        finally:
            os.close(fd)

    def _loaded(self, fd: int, reference: Reference, *, writable: bool) -> Bytes:
        load = self._mapped if reference.codec == _compression.RAW else self._decompressed
        return load(fd, reference, writable)

    def _mapped(self, fd: int, reference: Reference, writable: bool) -> Bytes:
        found = os.fstat(fd)
        if found.st_size != reference.size:
            raise Damaged(f"a large buffer of it has {found.st_size} bytes instead of {reference.size}")
        view = memoryview(mapped(mmap.mmap, fd, found.st_size, mmap.MAP_PRIVATE))
        if not writable:
            view = view.toreadonly()
        seen = found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
        if seen not in self._verified:
            if self._digest(view) != reference.digest:
                raise Damaged("the checksum of a large buffer of it is wrong")
            if len(self._verified) >= _MOST_VERIFIED:
                self._verified.clear()
            self._verified.add(seen)
        return view

    def _decompressed(self, fd: int, reference: Reference, writable: bool) -> Bytes:
        with open(fd, "rb", closefd=False) as file:
            compressed = file.read()
        try:
            plain = _compression.decompress(reference.codec, compressed)
        except (ImportError, MemoryError):
            raise
        except Exception as error:
            raise Damaged(f"a large buffer of it cannot be decompressed ({error})") from error
        if len(plain) != reference.size or self._digest(plain) != reference.digest:
            raise Damaged("the checksum of a large buffer of it is wrong")
        return bytearray(plain) if writable else plain

    # ------------------------------------------------------------ dropping

    def drop(self, links: list[str]) -> dict[bytes, int]:
        """Remove an entry's links, and the contents that nobody else refers to: their digests, and the bytes that are free now."""
        freed: dict[bytes, int] = {}
        for link in links:
            name = link.rpartition(".")[2]
            pool = self._pool(name)
            size = 0
            with contextlib.suppress(OSError):
                size = os.stat(link).st_size
                os.unlink(link)
            with contextlib.suppress(OSError):
                if os.stat(pool).st_nlink == 1:
                    os.unlink(pool)
                    freed[bytes.fromhex(name[:32])] = size
        return freed

    def sweep(self) -> dict[bytes, int]:
        """Remove the contents that nobody refers to: their digests, and the bytes that are free now."""
        freed: dict[bytes, int] = {}
        for shard in listed(self._folder.buffers):
            for name in listed(f"{self._folder.buffers}/{shard}"):
                path = f"{self._folder.buffers}/{shard}/{name}"
                with contextlib.suppress(OSError, ValueError):
                    found = os.stat(path)
                    if found.st_nlink == 1:  # a writer has it under a name of its own first
                        os.unlink(path)
                        freed[bytes.fromhex((shard + name)[:32])] = found.st_size
        return freed

    def _pool(self, name: str) -> str:
        return f"{self._folder.buffers}/{name[:2]}/{name[2:]}"


class Changed(Exception):
    """The data were written to while they were stored."""


def name_of(reference: Reference) -> str:
    """Of the content as it is stored: digest and codec."""
    return reference.digest.hex() + _SUFFIXES[reference.codec]


def link_of(entry: str, reference: Reference) -> str:
    """The path through which an entry loads a buffer."""
    return f"{entry}.{name_of(reference)}"


def links_of(entry: str) -> list[str]:
    """All that lie beside an entry, whether or not it is still there."""
    folder, _, name = entry.rpartition("/")
    try:
        found = os.listdir(folder)
    except OSError:
        return []
    return [f"{folder}/{other}" for other in found if other.startswith(f"{name}.")]
