"""The file of one failed task.

::

    magic 89 "MHR" 0d 0a 1a 0a │ version │ length of the header │ xxh3 of the header
    header    JSON; its "parts" say what follows: name, length of the payload, length and kind of each buffer
    parts     payload and buffers of each, one behind the other
    checksum  xxh3 of all that │ "MHR.end\\n"

Numbers are little-endian. The place of the header is the same in all versions, so that any can tell which one is needed.

**Guarantees**: the header is read without unpickling anything, and given only if it agrees with its checksum; so are parts, with that at
the end.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from manyhands.errors import CannotReplay, StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from manyhands._codec._pickling import Bytes

MAGIC = b"\x89MHR\r\n\x1a\n"
END = b"MHR.end\n"
VERSION = 1
_HEAD = struct.Struct("<8sIQQ")
_TAIL = struct.Struct("<Q8s")
_LONGEST = 1 << 28  # of a header
_STEP = 1 << 20

# Of buffers: memory of the task's own; memory that all processes write to; a descriptor, of which nothing is kept.
PLAIN, SHARED, DESCRIPTOR = "plain", "shared", "descriptor"


class Buffer(NamedTuple):
    """What is beside a pickle; ``kind``: see above."""

    data: Bytes
    kind: str = PLAIN


class Part(NamedTuple):
    """A pickle and its buffers."""

    name: str
    payload: Bytes
    buffers: Sequence[Buffer] = ()


def write(fd: int, header: dict[str, Any], parts: Sequence[Part]) -> None:
    """Write a file.

    Raises:
        OSError: there is no room, say.
    """
    told = [
        {"name": part.name, "payload": len(part.payload), "buffers": [(len(buffer.data), buffer.kind) for buffer in part.buffers]}
        for part in parts
    ]
    text = json.dumps({**header, "parts": told}).encode()
    checksum = xxhash.xxh3_64()
    for piece in (_HEAD.pack(MAGIC, VERSION, len(text), xxhash.xxh3_64_intdigest(text)), text, *_pieces(parts)):
        checksum.update(piece)
        _write_all(fd, piece)
    _write_all(fd, _TAIL.pack(checksum.intdigest(), END))


def _pieces(parts: Sequence[Part]) -> Iterator[Bytes]:
    for part in parts:
        yield part.payload
        for buffer in part.buffers:
            yield buffer.data


def _write_all(fd: int, piece: Bytes) -> None:
    view = memoryview(piece).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def read_header(path: str) -> dict[str, Any]:
    """What a file tells of itself. Nothing is unpickled.

    Raises:
        OSError: it cannot be opened.
        CannotReplay: it is no such file, or of a later version.
        StoreCorrupt: it is cut short.
    """
    with open(path, "rb") as file:
        return _header(file, path)[0]


def read(path: str) -> tuple[dict[str, Any], dict[str, Part]]:
    """The header and the parts, by name.

    Raises:
        OSError, CannotReplay, StoreCorrupt: as for :func:`read_header`.
    """
    with open(path, "rb") as file:
        header, begin = _header(file, path)
        checksum = xxhash.xxh3_64(begin)
        parts = {}
        for told in header["parts"]:
            payload = _piece(file, told["payload"], checksum, path)
            buffers = [Buffer(_piece(file, length, checksum, path), kind) for length, kind in told["buffers"]]
            parts[told["name"]] = Part(told["name"], payload, buffers)
        tail = file.read(_TAIL.size)
    if tail != _TAIL.pack(checksum.intdigest(), END):
        raise _damaged(path, "its contents", "they do not agree with their checksum")
    return header, parts


def _header(file: Any, path: str) -> tuple[dict[str, Any], bytes]:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(MAGIC):
        raise CannotReplay(path, "it is no file that record_failures= has written", "give one of the files in that folder, *.replay")
    _, version, length, digest = _HEAD.unpack(head)
    size = os.fstat(file.fileno()).st_size
    if length > min(_LONGEST, size):
        raise _damaged(path, "its header", "it is cut short")
    text = file.read(length)
    try:
        if xxhash.xxh3_64_intdigest(text) != digest:
            raise ValueError("other than it was written")
        header = json.loads(text)
        by = header["manyhands"]
        expected = 0 if version != VERSION else _size(header) + len(head) + length
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, "its header", "it is not what was written") from None
    if version != VERSION:
        what = f"it is of version {version} of the format, written by manyhands {by}; this manyhands reads version {VERSION}"
        raise CannotReplay(path, what, f"pip install 'manyhands>={by}', or replay it where it was recorded")
    if size < expected:
        raise _damaged(path, "its end", f"it is cut short: {size:,} bytes of {expected:,}")
    return header, head + text


def _size(header: dict[str, Any]) -> int:
    return _TAIL.size + sum([int(told["payload"]) + sum([int(length) for length, _ in told["buffers"]]) for told in header["parts"]])


def _piece(file: Any, length: int, checksum: Any, path: str) -> bytearray:
    """The next bytes, which can be written to: they become arrays."""
    piece = bytearray(length)
    if file.readinto(piece) != length:
        raise _damaged(path, "its contents", "it is cut short")
    checksum.update(piece)
    return piece


def _damaged(path: str, part: str, reason: str) -> StoreCorrupt:
    return StoreCorrupt(path, part, reason, "take the file from a copy, or let the task fail once more")
