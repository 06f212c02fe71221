"""What is really there, read from the folder and the entries. The index follows it, never the other way round."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import TYPE_CHECKING

from manyhands.memory import _index
from manyhands.memory._entry import Damaged, Entry
from manyhands.memory._folder import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.memory._folder import Folder

    Bytes = bytes | bytearray | memoryview

_AT_ONCE = 65536  # bytes read at first
_MAPPED = 1 << 20  # from here on a file is mapped, not read
_READ = os.O_RDONLY | os.O_CLOEXEC

_open, _read, _close = os.open, os.read, os.close


def contents(path: str) -> Bytes:
    """All of a file, which nobody writes to.

    Raises:
        OSError
    """
    fd = _open(path, _READ)
    try:
        raw = _read(fd, _AT_ONCE)
        return raw if len(raw) < _AT_ONCE else _rest(fd, raw)
    finally:
        _close(fd)


def _rest(fd: int, raw: bytes) -> Bytes:
    size = os.fstat(fd).st_size
    if size >= _MAPPED:
        return memoryview(mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ))
    pieces = [raw]
    while piece := _read(fd, size):
        pieces.append(piece)
    return b"".join(pieces)


def keys(folder: Folder) -> Iterator[bytes]:
    """Of all entries."""
    try:
        shards = sorted(os.listdir(folder.entries))
    except OSError:
        return
    for shard in shards:
        for name in listed(f"{folder.entries}/{shard}"):
            if "." not in name:
                with contextlib.suppress(ValueError):  # it is not ours
                    yield bytes.fromhex(shard + name)


def known(folder: Folder, key: bytes, index: _index.Index) -> _index.Known | None:
    """What the index would say of an entry; None: there is none, or it is damaged. The name of its function is added to ``index``."""
    try:
        raw = contents(folder.entry(key))
        entry = Entry(raw, key)
    except (OSError, Damaged):
        return None
    meta = entry.meta()
    number = _index.name_number(meta.function)
    index.names[number] = meta.function
    large = sum(reference.size for reference in entry.references())
    return len(raw), large, meta.seconds, number, meta.time, meta.time, 0


def entries(folder: Folder, old: _index.Index) -> _index.Index:
    """The entries that are there; what ``old`` does not know of them is read from them."""
    index = _index.Index()
    index.names = old.names
    remembered = old.entries
    for key in keys(folder):
        found = remembered.get(key) or known(folder, key, index)
        if found is not None:
            index.entries[key] = found
    return index


def buffers(folder: Folder) -> dict[bytes, int]:
    """What the large buffers take up on disk, by digest."""
    found: dict[bytes, int] = {}
    for shard in listed(folder.buffers):
        for name in listed(f"{folder.buffers}/{shard}"):
            with contextlib.suppress(OSError, ValueError):
                found[bytes.fromhex((shard + name)[:32])] = os.stat(f"{folder.buffers}/{shard}/{name}").st_size
    return found
