"""Where the sockets of this user's processes are: a folder that nobody else can look into.

Each process that shares objects has a folder of its own in there, with its socket and the key that both sides of a connection prove to
know. The folder is locked as long as the process lives; those of the dead are removed by the next one that makes its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import time

from manyhands import errors
from manyhands._wire import _posix
from manyhands.sharing import _lanes

_SOCKET, _KEY, _LOCK = "s", "key", "lock"
_KEY_SIZE = 32
_NEW = ".new-"
OBSERVER = "watch"  # the folder of who observes this user's programs
_OLD = 60.0  # seconds, after which one that is being made is one that nobody has finished
VARIABLE = "MANYHANDS_RUNTIME_DIR"


def base() -> str:
    """The folder of this user; it is made if it is not there.

    Raises:
        ShareRefused: it belongs to another, or others may write to it.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        is_mine = runtime and os.path.isdir(runtime) and os.access(runtime, os.W_OK | os.X_OK)
        path = os.path.join(runtime, "manyhands") if is_mine else os.path.join(tempfile.gettempdir(), f"manyhands-{os.geteuid()}")
    with contextlib.suppress(FileExistsError):
        os.makedirs(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise errors.ShareRefused(f"{path} is not a folder that only you can use. Remove it, or name another in {VARIABLE}")
    return path


class Folder:
    """The folder of this process, as long as it shares objects."""

    def __init__(self, name: str) -> None:
        parent, unlocked = _made(name)
        self.address = os.path.join(parent, name)
        self._lock = os.open(os.path.join(unlocked, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.key = os.urandom(_KEY_SIZE)
        descriptor = os.open(os.path.join(unlocked, _KEY), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, self.key)
        finally:
            os.close(descriptor)
        os.rename(unlocked, self.address)

    def listen(self) -> socket.socket:
        """A socket in the folder, to which clients connect."""
        listening = socket.socket(socket.AF_UNIX, _lanes.KIND)
        with _posix.short_path(self.address) as path:
            listening.bind(os.path.join(path, _SOCKET))
        listening.listen(1024)
        return listening

    def remove(self) -> None:
        """Remove it, with the names that lead there: this process shares nothing any more."""
        token = os.path.basename(self.address)
        for entry in _entries(os.path.dirname(self.address)):
            with contextlib.suppress(OSError):
                if entry.is_symlink() and os.readlink(entry.path) == token:
                    os.unlink(entry.path)
        shutil.rmtree(self.address, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are in there
            os.rmdir(os.path.dirname(self.address))
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: it is the parent's."""
        with contextlib.suppress(OSError):
            os.close(self._lock)


def _made(name: str) -> tuple[str, str]:
    """The folder of this user, and the new one in it: by another name until it is locked, since it looks like that of a dead process."""
    while True:
        parent = base()
        _sweep(parent)
        unlocked = os.path.join(parent, f"{_NEW}{name}")
        try:
            os.mkdir(unlocked, 0o700)
        except FileNotFoundError:  # the last of the others has just left
            continue
        return parent, unlocked


def connect(address: str) -> tuple[socket.socket, bytes]:
    """A socket to the process whose folder that is, and its key.

    Raises:
        OSError: it is gone.
    """
    with open(os.path.join(address, _KEY), "rb", buffering=0) as file:
        key = file.read(_KEY_SIZE)
    connected = socket.socket(socket.AF_UNIX, _lanes.KIND)
    try:
        with _posix.short_path(address) as path:
            connected.connect(os.path.join(path, _SOCKET))
    except BaseException:
        connected.close()
        raise
    return connected, key


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def is_lived_in(path: str) -> bool:
    """Whether the process whose folder that is lives."""
    try:
        descriptor = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may be looking as well
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _sweep(parent: str) -> None:
    """Remove the folders of processes that have died."""
    for entry in _entries(parent):
        with contextlib.suppress(OSError):
            if entry.name == OBSERVER:
                continue
            if entry.is_symlink():  # a name
                if not os.path.exists(entry.path):
                    os.unlink(entry.path)
                continue
            if entry.name.startswith(_NEW) and time.time() - entry.stat().st_mtime < _OLD:
                continue
            if not is_lived_in(entry.path):  # without a lock it is one whose process was killed while it removed it
                shutil.rmtree(entry.path, ignore_errors=True)
