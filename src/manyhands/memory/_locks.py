"""One lock file for each key that is being computed. The death of its holder frees it."""

from __future__ import annotations

import contextlib
import fcntl
import os

_LENGTH = 64  # of what a holder writes into its file


def open_lock(path: str) -> int:
    """A descriptor of a lock file, which is made if it is not there.

    Raises:
        OSError: the folder cannot be written to.
    """
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def try_lock(fd: int) -> bool:
    """Whether it is held now.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(fd: int) -> None:
    """Wait until it is held.

    Raises:
        OSError: the file system has no locks.
    """
    fcntl.flock(fd, fcntl.LOCK_EX)


def sign(fd: int, who: str) -> None:
    """Write into the file who holds it."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, who.encode().ljust(_LENGTH, b"\0"), 0)


def is_at(fd: int, path: str) -> bool:
    """Whether a file still is the one at ``path``: who held it last has removed it."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def release(fd: int, path: str) -> None:
    """Remove the file and let others in. The lock is given up explicitly: a child of this process may have a copy of the descriptor."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
