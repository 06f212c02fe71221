"""The folder of a store: private, and files appear in it whole or not at all.

A file is written without a name (``O_TMPFILE``) and then linked to where it belongs, so that whoever is killed leaves nothing. Where the
file system cannot do that (NFS), it is written in ``staging`` under a name that begins with its writer's token, and renamed; what writers
leave there that have died is removed by the next one (``_upkeep.py``).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import stat
from typing import TYPE_CHECKING

from manyhands import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Bytes = bytes | bytearray | memoryview

_CANNOT = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EXDEV}
_MOST_DAMAGED = 16  # files
_PIECES = 512  # in one call; systems take 1024

# For backups and for git: nothing here is worth keeping.
_TAGS = {
    "CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n# Results remembered by manyhands. They can be computed again.\n",
    ".gitignore": b"# Results remembered by manyhands.\n*\n",
}


class Folder:
    """One on disk, made when something is first written to it.

    ``entries`` hold a folder for each first two digits of keys, ``buffers`` for those of digests.
    """

    def __init__(self, path: str, *, trusts_others: bool = False) -> None:
        """``trusts_others``: it may be another user's, since what is in it is signed.

        Raises:
            StoreRefused: it is another user's, or others may write to it.
        """
        self.path = path
        self.entries = os.path.join(path, "entries")
        self.buffers = os.path.join(path, "buffers")
        self.index = os.path.join(path, "index")
        self.locks = os.path.join(path, "locks")
        self.staging = os.path.join(path, "staging")
        self.damaged = os.path.join(path, "damaged")
        self.imported = os.path.join(path, "imported")
        self.token = new_token()
        self._trusts_others = trusts_others
        self._numbers = itertools.count()
        self._nameless = hasattr(os, "O_TMPFILE")
        if os.path.lexists(path):
            self._check()

    def make(self) -> None:
        """See to it that it is there."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        self._check()
        for part in (self.entries, self.buffers, self.index, self.locks, self.staging):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700)
        for name, text in _TAGS.items():
            with contextlib.suppress(OSError):
                self.publish([text], os.path.join(self.path, name), replace=False)

    def _check(self) -> None:
        found = os.lstat(self.path)
        if not stat.S_ISDIR(found.st_mode):
            raise errors.StoreRefused(self.path, "it is not a folder", "give another location")
        if self._trusts_others:
            return
        if found.st_uid != os.geteuid():
            why = f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}: loading what others have written runs their code"
            raise errors.StoreRefused(self.path, why, "give a location of your own, or a key with which all who share it sign")
        if found.st_mode & 0o022:
            why = "other users may write to it, and loading what they have written would run their code"
            raise errors.StoreRefused(self.path, why, "remove it, or take the right away (chmod go-w) if nobody has used it")

    def entry(self, key: bytes) -> str:
        """The path of an entry."""
        name = key.hex()
        return f"{self.entries}/{name[:2]}/{name[2:]}"

    # ------------------------------------------------------------ writing

    def publish(self, pieces: Iterable[Bytes], target: str, *, replace: bool) -> bool:
        """Make a file of ``pieces``; False: there is one already, and it is not to be replaced.

        Raises:
            OSError: it cannot be written; then nothing of it is left.
        """
        return self.publish_by(lambda fd: write_all(fd, pieces), lambda: target, replace=replace)

    def publish_by(self, write: Callable[[int], None], target: Callable[[], str], *, replace: bool) -> bool:
        """The same with a file that is written by ``write(fd)``, and whose name is asked for afterwards."""
        fd, name = self._new()
        try:
            write(fd)
            path = target()
            try:
                return self._give_name(fd, name, path, replace)
            except FileNotFoundError:  # the first of its shard
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                return self._give_name(fd, name, path, replace)
        finally:
            os.close(fd)
            if name is not None:
                with contextlib.suppress(OSError):
                    os.unlink(name)

    @contextlib.contextmanager
    def locked(self, key: bytes) -> Iterator[None]:
        """Nobody else gives names to entries of the shard of ``key`` and to their large buffers, or removes them. Never for long."""
        fd = -1
        with contextlib.suppress(OSError):  # a file system without locks: entries may lose buffers to who writes them at the same moment
            fd = os.open(f"{self.index}/{key.hex()[:2]}.links", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if fd >= 0:
                with contextlib.suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)  # a child that is forked meanwhile has a copy of the descriptor
                os.close(fd)

    @contextlib.contextmanager
    def all_locked(self) -> Iterator[None]:
        """The same of all shards, for what concerns all entries at once. Who has the lock of one does not ask for another: no circle."""
        with contextlib.ExitStack() as stack:
            for shard in range(256):
                stack.enter_context(self.locked(bytes([shard])))
            yield

    def link(self, source: str, target: str) -> None:
        """Another name for a file.

        Raises:
            FileExistsError, OSError
        """
        try:
            os.link(source, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            os.link(source, target)

    def _new(self) -> tuple[int, str | None]:
        if self._nameless:
            try:
                return os.open(self.path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o400), None
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                if os.path.isdir(self.staging):
                    self._nameless = False
        name = self.staged()
        try:
            return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o400), name
        except FileNotFoundError:  # somebody has removed all of it
            self.make()
            return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o400), name

    def staged(self) -> str:
        """A path for this writer alone; what is left there when it dies is removed."""
        return os.path.join(self.staging, f"{self.token}.{next(self._numbers)}")

    def _give_name(self, fd: int, name: str | None, target: str, replace: bool) -> bool:
        if name is not None:
            return _move(name, target, replace)
        try:
            self._link_nameless(fd, target)
        except FileExistsError:
            if not replace:
                return False
            name = self.staged()
            self._link_nameless(fd, name)
            os.replace(name, target)
        return True

    def _link_nameless(self, fd: int, target: str) -> None:
        # Through /proc, since linking a descriptor itself takes a capability; the folder is given only to have Python use linkat().
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)

    # ------------------------------------------------------------ removing

    def set_aside(self, path: str, name: str) -> None:
        """Keep a damaged file as ``name`` for who wants to look at it; of many, the last ones.

        Raises:
            OSError
        """
        os.makedirs(self.damaged, 0o700, exist_ok=True)
        before = sorted(os.scandir(self.damaged), key=lambda found: found.stat().st_mtime)
        for old in before[: max(len(before) - _MOST_DAMAGED + 1, 0)]:
            os.unlink(old)
        os.replace(path, os.path.join(self.damaged, name))

    def move_away(self) -> list[str]:
        """Nothing is stored any more, for everybody who looks; where it is now, to be removed. The folder is made if it is not there."""
        away = []
        for part in (self.entries, self.buffers, self.damaged, self.imported):
            path = self.staged()
            with contextlib.suppress(FileNotFoundError):
                os.rename(part, path)
                away.append(path)
        self.make()
        return away


def new_token() -> str:
    """Names one writer: no two have the same."""
    return f"{os.getpid()}-{os.urandom(6).hex()}"


def remove_tree(path: str) -> None:
    """Remove a file, or a folder and all in it, as far as possible."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except FileNotFoundError:
        pass


def listed(path: str) -> list[str]:
    """The names in a folder; none if it is not there."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def write_all(fd: int, pieces: Iterable[Bytes]) -> None:
    """Write ``pieces`` to the end of a file."""
    left = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    while left:
        written = os.writev(fd, left[:_PIECES])
        done = 0
        while done < len(left) and written >= len(left[done]):
            written -= len(left[done])
            done += 1
        del left[:done]
        if written:
            left[0] = left[0][written:]


def _move(name: str, target: str, replace: bool) -> bool:
    if replace:
        os.rename(name, target)
        return True
    try:
        os.link(name, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}:
            raise
        os.rename(name, target)  # a file system without links
    return True
