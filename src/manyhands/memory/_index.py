"""What is known of entries without opening them: sizes, costs, last use, names of functions. No more than a hint. Opens nothing.

A journal is a sequence of frames, a frame a number of records of one length, and the names that are first used in them. What has been torn
or damaged is left out from there on: everything in it can be had from the entries.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PUT, HIT, GONE, BUFFER, BUFFER_GONE, LINKS = range(1, 7)

LONGEST_KEY = 32
_RECORD = struct.Struct("<BBHf32sQQQdd")  # kind, length of the key, uses, seconds, key, size, large, name, created, used
_FRAME = struct.Struct("<4sIIQ")  # magic, records, bytes of names, checksum of what follows
_MAGIC = b"MHF1"
_MOST_USES = 65535


class EntryInfo(NamedTuple):
    """What is known of one entry.

    ``size``: bytes of its own file; ``large``: bytes in large buffers, which others may refer to as well; ``seconds`` it took to compute;
    ``created`` and ``used``: seconds since the epoch; ``uses``: hits, as far as they have been noted.
    """

    key: bytes
    function: str
    size: int
    large: int
    seconds: float
    created: float
    used: float
    uses: int


# Of one entry in the index: size, large, seconds, name, created, used, uses
Known = tuple[int, int, float, int, float, float, int]


def name_number(name: str) -> int:
    """What stands for a name in records."""
    return xxhash.xxh3_64_intdigest(name.encode())


def put_record(key: bytes, known: Known) -> bytes:
    """An entry is there, or will be."""
    size, large, seconds, name, created, used, uses = known
    return _RECORD.pack(PUT, len(key), min(uses, _MOST_USES), seconds, key, size, large, name, created, used)


def hit_record(key: bytes, uses: int, used: float) -> bytes:
    """It has been used so often, last about then."""
    return _RECORD.pack(HIT, len(key), min(uses, _MOST_USES), 0.0, key, 0, 0, 0, used, used)


def record(kind: int, key: bytes, when: float, size: int = 0) -> bytes:
    """Of one of the other kinds; ``key`` is the digest of a buffer, and ``size`` what it takes on disk."""
    return _RECORD.pack(kind, len(key), 0, 0.0, key, size, 0, 0, when, when)


def frame(records: Iterable[bytes], names: Iterable[str] = ()) -> bytes:
    """One frame of a journal."""
    body = b"".join(records)
    text = "\0".join(names).encode()
    return _FRAME.pack(_MAGIC, len(body) // _RECORD.size, len(text), xxhash.xxh3_64_intdigest(body + text)) + body + text


class Index:
    """What the journals say together. Read in any order: what counts is when a thing was noted.

    ``is_whole``: nothing in them was torn or damaged.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, Known] = {}
        self.buffers: dict[bytes, int] = {}
        self.names: dict[int, str] = {}
        self.is_whole = True
        self._gone: dict[bytes, float] = {}
        self._hits: dict[bytes, tuple[int, float]] = {}

    def read(self, data: bytes | memoryview) -> None:
        """Take in the frames of a journal."""
        for records, names in frames(data):
            if records is None:
                self.is_whole = False
                return
            if names:
                self.names.update((name_number(name), name) for name in names.split("\0"))
            self._take(_RECORD.iter_unpack(records))

    def _take(self, records: Iterator[tuple[int, int, int, float, bytes, int, int, int, float, float]]) -> None:
        entries, gone = self.entries, self._gone
        for kind, length, uses, seconds, padded, size, large, name, created, used in records:
            key = padded[:length]
            if kind == PUT:
                known = entries.get(key)
                if (known is None or created >= known[4]) and (not gone or created > gone.get(key, 0.0)):
                    entries[key] = (size, large, seconds, name, created, used, uses)
            elif kind == HIT:
                count, last = self._hits.get(key, (0, 0.0))
                self._hits[key] = (count + uses, max(last, used))
            elif kind != LINKS:
                self._take_other(kind, key, size, created)

    def _take_other(self, kind: int, key: bytes, size: int, when: float) -> None:
        if kind == BUFFER:
            if when > self._gone.get(key, 0.0):
                self.buffers[key] = size
            return
        self._gone[key] = max(when, self._gone.get(key, 0.0))
        if kind == BUFFER_GONE:
            self.buffers.pop(key, None)
        elif key in self.entries and self.entries[key][4] <= when:
            del self.entries[key]

    def settle(self) -> None:
        """All has been read: add the hits."""
        for key, (uses, last) in self._hits.items():
            known = self.entries.get(key)
            if known is not None:
                self.entries[key] = (*known[:5], max(known[5], last), known[6] + uses)
        self._hits.clear()

    def bytes_stored(self) -> int:
        """What all of it takes on disk, large buffers once."""
        return sum([known[0] for known in self.entries.values()]) + sum(self.buffers.values())

    def infos(self) -> Iterator[EntryInfo]:
        """The entries."""
        names = self.names
        for key, (size, large, seconds, name, created, used, uses) in self.entries.items():
            yield EntryInfo(key, names.get(name, ""), size, large, seconds, created, used, uses)

    def to_frame(self) -> bytes:
        """The whole in one frame."""
        used = {known[3] for known in self.entries.values()}
        records = [put_record(key, known) for key, known in self.entries.items()]
        records += [record(BUFFER, digest, 1.0, size) for digest, size in self.buffers.items()]
        return frame(records, [name for number, name in self.names.items() if number in used])


def frames(data: bytes | memoryview) -> Iterator[tuple[memoryview | None, str]]:
    """Records and names of each frame; ``(None, "")``, and no more, where they are damaged or end in the midst."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        if position + _FRAME.size > len(view):
            yield None, ""
            return
        magic, count, length, checksum = _FRAME.unpack_from(view, position)
        start = position + _FRAME.size
        names_at = start + count * _RECORD.size
        position = names_at + length
        if magic != _MAGIC or position > len(view) or xxhash.xxh3_64_intdigest(view[start:position]) != checksum:
            yield None, ""
            return
        yield view[start:names_at], str(view[names_at:position], "utf-8")


def keys_of_links(data: bytes | memoryview) -> set[bytes]:
    """Of the entries to which large buffers have been attached, or from which they have been removed, as a journal says."""
    found = set()
    for records, _ in frames(data):
        for kind, length, _, _, key, *_ in _RECORD.iter_unpack(records if records is not None else b""):
            if kind == LINKS:
                found.add(key[:length])
    return found
