"""Names under which the processes of a user find shared objects: a link in the user's folder, to the folder of the process that has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.sharing import _arrivals, _folder, _peers, _serving
from manyhands.sharing import _asked as ops
from manyhands.sharing._table import here

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = "name-"
_MOST = 200  # bytes of a file's name
_SHORTEST, _LONGEST = 0.0005, 0.02  # seconds between two looks, for a name that is not there yet


def claim(name: str) -> None:
    """From now on ``name`` leads to this process.

    Raises:
        NameTaken: it leads to another one, or to another object of this one.
    """
    token = os.path.basename(_serving.ensure())
    with _alone() as folder:
        path = os.path.join(folder, _file_of(name))
        if os.path.lexists(path) and not _folder.is_lived_in(path):
            os.unlink(path)
        try:
            os.symlink(token, path)
        except FileExistsError:
            raise errors.NameTaken(name) from None


def give_back(name: str) -> None:
    """It leads nowhere."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(_folder.base(), _file_of(name)))


def find(name: str, timeout: float | None) -> Any:
    """The proxy of what has that name, if there is one within ``timeout`` seconds.

    Raises:
        NameUnknown: there is none.
    """
    end = None if timeout is None else time.monotonic() + timeout
    pause = _SHORTEST
    while True:
        with contextlib.suppress(OSError, errors.NotShared):
            folder = _folder.base()
            address = os.path.join(folder, os.readlink(os.path.join(folder, _file_of(name))))
            return _at(address, name)
        left = _LONGEST if end is None else end - time.monotonic()
        if left <= 0:
            raise errors.NameUnknown(name, timeout or 0, _known())
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)


def _at(address: str, name: str) -> Any:
    if address != here.address:
        return _peers.peer_at(address).request(ops.FIND, 0, name, (), {})
    entry = here.table.names.get(name)
    if entry is None:
        raise errors.NotShared(0)
    return _arrivals.local(entry.obj, entry)


def _known() -> list[str]:
    """The names that there are; those of processes that were killed are none."""
    with os.scandir(_folder.base()) as entries:
        return sorted(_name_of(entry.name) for entry in entries if entry.name.startswith(_MARK) and _folder.is_lived_in(entry.path))


@contextlib.contextmanager
def _alone() -> Iterator[str]:
    """The folder, in which no other process claims a name just now."""
    folder = _folder.base()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)


def _file_of(name: str) -> str:
    file = _MARK + re.sub(r"[^\w.-]", lambda found: "".join(f"%{byte:02x}" for byte in found[0].encode()), name)
    if not name or len(os.fsencode(file)) > _MOST:
        raise ValueError(f"name={name!r:.100} is not allowed; it is a text, and not longer than some {_MOST} bytes")
    return file


def _name_of(file: str) -> str:
    data = re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(file[len(_MARK) :]))
    return data.decode(errors="replace")
