"""Files that numpy has mapped into memory: they go by path, so that what a task writes is in the file, and nothing is copied.

That of a mapping with copy-on-write goes by value, as arrays do: what was written to it is in no file.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from manyhands._codec import _copied

if TYPE_CHECKING:
    from manyhands._codec._pickling import Encoder

    Memmap = np.memmap[Any, Any]

# What the names of folders begin with whose files last no longer than a call: a worker gives back what is in them, not where it is.
FOLDER = "manyhands-arrays-"

_LOST = "a numpy.memmap whose file is not under its name any more travels as a copy: what a task writes stays in its worker"

# The files of mappings: path, device, inode.
_files: weakref.WeakKeyDictionary[mmap.mmap, tuple[str, int, int]] = weakref.WeakKeyDictionary()


def memmap(encoder: Encoder, value: Memmap) -> Any:
    """For the pickler: an array over a mapped file, or over a part of one."""
    mapping: mmap.mmap | None = getattr(value, "_mmap", None)
    if mapping is None or not value.size or type(value) is not np.memmap:
        return NotImplemented
    if os.path.basename(os.path.dirname(os.fspath(value.filename or ""))).startswith(FOLDER):
        return np.asarray, (np.array(value),)
    if value.mode not in {"r", "r+", "w+"}:
        return NotImplemented
    path = _path(value, mapping)
    if path is None:
        if value.mode != "r":
            _copied.warn(encoder, value, _LOST)
        return NotImplemented
    base = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    low, high = _bounds(value)
    offset = value.offset - value.offset % mmap.ALLOCATIONGRANULARITY + low - base
    first = value.__array_interface__["data"][0] - low
    mode = "r" if value.mode == "r" else "r+"
    return map_again, (path, mode, offset, high - low, value.dtype, value.shape, first, value.strides)


def map_again(
    path: str, mode: str, offset: int, length: int, dtype: np.dtype[Any], shape: tuple[int, ...], first: int, strides: tuple[int, ...]
) -> Memmap:
    """An array over ``length`` bytes of a file."""
    raw: Memmap = np.memmap(path, np.uint8, mode, offset, (length,))  # type: ignore[call-overload]
    made: Memmap = np.ndarray.__new__(np.memmap, shape, dtype, raw, first, strides)
    made._mmap, made.filename, made.offset, made.mode = raw._mmap, raw.filename, raw.offset, raw.mode  # type: ignore[attr-defined] # noqa: SLF001 - what makes it one
    return made


def _bounds(value: Memmap) -> tuple[int, int]:
    """The addresses of its first byte, and behind its last."""
    start: int = value.__array_interface__["data"][0]
    reach = [(size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True)]
    return start + sum(step for step in reach if step < 0), start + sum(step for step in reach if step > 0) + value.itemsize


def _path(value: Memmap, mapping: mmap.mmap) -> str | None:
    """The path of the file that is mapped; None if there is none, or another file is there by now."""
    if value.filename is None:
        return None
    path = os.fspath(value.filename)
    try:
        now = os.stat(path)
    except OSError:
        return None
    known = _files.get(mapping)
    if known is None:
        if not _is_mapped(path, mapping):
            return None
        known = _files[mapping] = path, now.st_dev, now.st_ino
    return path if known == (path, now.st_dev, now.st_ino) else None


def _is_mapped(path: str, mapping: mmap.mmap) -> bool:
    """Whether it is this file, as the kernel tells it (proc_pid_maps(5)); where that does not, it is believed."""
    address: int = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                span, _, _, _, _, *name = line.rstrip("\n").split(maxsplit=5)
                low, high = (int(end, 16) for end in span.split("-"))
                if low <= address < high:
                    return bool(name) and name[0] == os.path.realpath(path)
    except OSError:
        pass
    return True
