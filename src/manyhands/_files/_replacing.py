"""A file that takes the place of another when it is complete, and not before.

**Guarantees**: who opens the path sees the old file or the new one, whole. Whatever ends the program, nothing else is left: the new file
has no name until it is complete. Between getting one and taking its place, which is two system calls, it is called
``.NAME.manyhands``; the next that is written there removes that. Where a file system knows no files without names, one called
``.NAME.N.manyhands`` is locked while it is written, and the next takes over what is not locked any more.

It is not waited for until the disk has it: after a power failure the file may be damaged, which its checksums tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".manyhands"
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
_NO_ROOM_IN_FOLDER = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_TRIES = 1000
_LONGEST_NAME = 200  # of the 255 bytes that a name may have


@contextlib.contextmanager
def replacing(path: str) -> Iterator[int]:
    """The descriptor of a new file, which is found under ``path`` when the block has ended well. What is no regular file (a pipe, a
    device), or is in a folder that cannot be written to, is written to as it is.

    Raises:
        OSError: as ``open()`` does.
    """
    mode = _mode_of(path)
    if mode is None or stat.S_ISREG(mode):  # of /dev/stdout, a link to something without a path, the path says nothing
        path = os.path.realpath(path)
    try:
        new = _begin(path, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    try:
        if mode is not None and type(new) is not _InPlace:
            os.fchmod(new.fd, stat.S_IMODE(mode))
        yield new.fd
        new.publish(exists=mode is not None)
    except BaseException:
        new.discard()
        raise
    finally:
        os.close(new.fd)


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        if path:
            return None
        raise


def _begin(path: str, mode: int | None) -> _InPlace:
    if mode is not None and (not stat.S_ISREG(mode) or not os.access(path, os.W_OK)):
        return _InPlace(path)
    try:
        return _Unnamed(path)
    except OSError as error:
        if mode is not None and error.errno in _NO_ROOM_IN_FOLDER:
            return _InPlace(path)
        if error.errno not in _NO_UNNAMED:
            raise
    return _Named(path)


class _InPlace:
    """Written to as it is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = self.open()

    def open(self) -> int:
        """A descriptor to write to."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def publish(self, *, exists: bool) -> None:
        """It is complete; ``exists``: there was a file of that name."""

    def discard(self) -> None:
        """It will not be."""


class _Unnamed(_InPlace):
    def open(self) -> int:
        return os.open(os.path.dirname(self.path), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666)

    def publish(self, *, exists: bool) -> None:
        if not exists:
            with contextlib.suppress(FileExistsError):
                return self._link(self.path)
        folder, name = os.path.split(self.path)
        beside = os.path.join(folder, f".{name[:_LONGEST_NAME]}{_SUFFIX}")
        with _alone_in(folder):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)  # of a program that was killed
            self._link(beside)
            os.replace(beside, self.path)

    def _link(self, path: str) -> None:
        # With a folder's descriptor, though neither path is relative: otherwise Python does not follow the symbolic link.
        here = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{self.fd}", path, src_dir_fd=here, follow_symlinks=True)
        finally:
            os.close(here)


@contextlib.contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """No other that publishes a file in a folder, as far as its file system knows locks: two could take each other's file away."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)  # also if another thread has forked meanwhile
        os.close(fd)


class _Named(_InPlace):
    """For file systems that know no files without names."""

    def open(self) -> int:
        folder, name = os.path.split(self.path)
        for number in range(_TRIES):
            self.beside = os.path.join(folder, f".{name[:_LONGEST_NAME]}.{number}{_SUFFIX}")
            fd = os.open(self.beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if self._is_mine(fd):
                os.ftruncate(fd, 0)
                return fd
            os.close(fd)
        msg = "too many programs write to it at a time"
        raise OSError(errno.EBUSY, msg)

    def _is_mine(self, fd: int) -> bool:
        """Whether it is locked by nobody else, and has not been given its name meanwhile."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(fd), os.stat(self.beside))
        except (BlockingIOError, FileNotFoundError):
            return False

    def publish(self, *, exists: bool) -> None:
        os.replace(self.beside, self.path)

    def discard(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.beside)
