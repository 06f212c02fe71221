"""The layout of a file: what stands at which place, as bytes. README.md has the picture.

**Guarantee**: all that is needed to find a part comes before it, so that a file can be written into, and read from, a pipe.
"""

from __future__ import annotations

import struct

import xxhash

from manyhands.errors import StoreCorrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

# No text, and changed by whatever changes the ends of lines; none of the compressors' or of numpy's own.
MAGIC = b"\x89MHF\r\n\x1a\n"
END = b"MHF.end\n"
VERSION = 1

# Magic, version, flags, codec of the pickle, then stored length, length and checksum of the pickle, number of buffers, reserved, and the
# checksum of all that but for the flags.
_HEADER = struct.Struct("<8sHHIQQQQQ")
_CHECKSUM = struct.Struct("<Q")
HEADER_SIZE = _HEADER.size + _CHECKSUM.size
FLAGS_AT = 10
_ROW = struct.Struct("<QII")  # length, codec, flags
_END = struct.Struct("<Q8s")  # checksum of the footer
_LONGEST = 1 << 30  # of what a footer tells besides

CHANGED = 1  # flag of a file: it has been mapped for writing, so the checksums of its buffers do not hold any more
OF_PICKLE = 1  # flag of a buffer: pickle itself asks for it; others are asked for by their number
_ELEMENT_AT = 8  # of a buffer's flags, from that bit on: the size of its elements, if their bytes are apart in its blocks

SMALL, PAGE = 64, 4096
BLOCK = 4 << 20  # what is summed in one piece, and compressed at most
PACKED = 2 << 20  # what is compressed in one piece: less, and threads hand the lock over too often where processors are busy
STEP = 1 << 19  # what is summed and written at a time: it is still in the processor's cache


class Header:
    """What stands at the beginning."""

    __slots__ = ("checksum", "codec", "count", "flags", "length", "stored")

    def __init__(self, codec: int, stored: int, length: int, checksum: int, count: int, flags: int = 0) -> None:
        self.codec = codec
        self.stored = stored
        self.length = length
        self.checksum = checksum
        self.count = count
        self.flags = flags

    def to_bytes(self) -> bytes:
        """As it is written."""
        raw = _HEADER.pack(MAGIC, VERSION, self.flags, self.codec, self.stored, self.length, self.checksum, self.count, 0)
        return raw + _CHECKSUM.pack(_header_sum(raw))

    @classmethod
    def from_bytes(cls, raw: bytes, name: str) -> Header:
        """As it is read.

        Raises:
            StoreCorrupt: it is damaged, or of a version that is not known here.
        """
        if len(raw) < HEADER_SIZE or not raw.startswith(MAGIC):
            raise StoreCorrupt(name, "its header", "it is cut short")
        _, version, flags, codec, stored, length, checksum, count, _ = _HEADER.unpack_from(raw)
        if _CHECKSUM.unpack_from(raw, _HEADER.size) != (_header_sum(raw),):
            raise StoreCorrupt(name, "its header", "it does not agree with its checksum")
        if version != VERSION:
            raise StoreCorrupt(name, "its header", f"it is of version {version} of the format; this manyhands reads version {VERSION}")
        return cls(codec, stored, length, checksum, count, flags)


def _header_sum(raw: bytes) -> int:
    return xxhash.xxh3_64_intdigest(raw[:FLAGS_AT] + raw[FLAGS_AT + 2 : _HEADER.size])


class Row:
    """What is known beforehand of a buffer."""

    __slots__ = ("codec", "flags", "length")

    def __init__(self, length: int, codec: int, flags: int) -> None:
        self.length = length
        self.codec = codec
        self.flags = flags

    @property
    def of_pickle(self) -> bool:
        """Whether pickle itself asks for it."""
        return bool(self.flags & OF_PICKLE)

    @property
    def element(self) -> int:
        """The size of the elements whose bytes are apart; 0 if they are as they were."""
        return self.flags >> _ELEMENT_AT

    @staticmethod
    def flags_of(element: int, *, of_pickle: bool) -> int:
        """These two as one number."""
        return (OF_PICKLE if of_pickle else 0) | element << _ELEMENT_AT


def pack_table(rows: Sequence[Row]) -> bytes:
    """The rows of all buffers, with a checksum."""
    raw = b"".join([_ROW.pack(row.length, row.codec, row.flags) for row in rows])
    return raw + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(raw))


def table_size(count: int) -> int:
    """Of that many buffers."""
    return count * _ROW.size + _CHECKSUM.size


def unpack_table(raw: bytes, name: str) -> list[Row]:
    """The rows again.

    Raises:
        StoreCorrupt: they do not agree with their checksum.
    """
    rows, told = raw[: -_CHECKSUM.size], raw[-_CHECKSUM.size :]
    if _CHECKSUM.pack(xxhash.xxh3_64_intdigest(rows)) != told:
        raise StoreCorrupt(name, "the table of its buffers", "it does not agree with its checksum")
    return [Row(*fields) for fields in _ROW.iter_unpack(rows)]


def padding(position: int, length: int) -> int:
    """How many bytes are skipped before a buffer of that length."""
    return -position % (PAGE if length >= PAGE else SMALL)


class Sum:
    """The checksum of bytes that come one after the other: of the digests of blocks, so that threads can share the work."""

    __slots__ = ("_digests", "_filled", "_state")

    def __init__(self) -> None:
        self._state = xxhash.xxh3_64()
        self._digests: list[bytes] = []
        self._filled = 0

    def update(self, data: Any) -> None:
        """Bytes, in pieces of any size."""
        view = memoryview(data)
        while len(view) > BLOCK - self._filled:
            taken = BLOCK - self._filled
            self._state.update(view[:taken])
            self._close()
            view = view[taken:]
        self._state.update(view)
        self._filled += len(view)

    def _close(self) -> None:
        self._digests.append(self._state.digest())
        self._state = xxhash.xxh3_64()
        self._filled = 0

    def result(self) -> int:
        """Of all that came."""
        return sum_of([*self._digests, self._state.digest()])


def sum_of(digests: Sequence[bytes]) -> int:
    """The checksum of a buffer, from those of its blocks."""
    if len(digests) == 1:
        return int.from_bytes(digests[0])
    return xxhash.xxh3_64_intdigest(b"".join(digests))


def blocks(length: int, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends."""
    for start in range(0, length, size):
        yield start, min(start + size, length)


def pack_footer(checksums: Sequence[int], about: bytes) -> bytes:
    """What comes last: the checksums of buffers (0 where their blocks have their own), and what else is told."""
    body = struct.pack(f"<Q{len(checksums)}Q", len(about), *checksums) + about
    return body + _END.pack(xxhash.xxh3_64_intdigest(body), END)


def footer_size(count: int, about: bytes) -> int:
    """How long :func:`pack_footer` makes it."""
    return 8 + 8 * count + len(about) + _END.size


def unpack_footer(read: Callable[[int], bytes], count: int, name: str) -> tuple[tuple[int, ...], bytes]:
    """The checksums of so many buffers, and what else is told; ``read`` gives the next bytes.

    Raises:
        StoreCorrupt: it is cut short, or does not agree with its checksum.
    """
    head = read(8 + 8 * count)
    length, *checksums = struct.unpack(f"<Q{count}Q", head)
    if length > _LONGEST:
        raise StoreCorrupt(name, "its footer", "it does not agree with its checksum")
    about = read(length)
    checksum, end = _END.unpack(read(_END.size))
    if end != END or xxhash.xxh3_64_intdigest(head + about) != checksum:
        raise StoreCorrupt(name, "its footer", "it does not agree with its checksum")
    return tuple(checksums), about
