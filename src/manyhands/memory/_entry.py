"""One entry as bytes, and back. Opens nothing.

::

    checksum 8 │ payload │ short buffers │ table │ meta │ key │ signature 16, if there is a key │ footer 24
               └──────────────── what the checksum (xxh3_64) is of ─────────────────────────────────────────┘

The payload is a pickle, first of all so that it is loaded without being cut out: pickle reads up to its own end. Large buffers lie in files
of their own; the table names them by content. The key is part of an entry, so that a file under another name is none.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xxhash

from manyhands.memory import _compression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from manyhands.memory._signing import Signer

    Bytes = bytes | bytearray | memoryview

LARGE = 262144  # bytes from which on a buffer has a file of its own

_MAGIC = b"MHE1"
_FOOTER = struct.Struct("<QIIHBB4s")  # lengths of payload, meta, table and key; flags; codec of the payload
FOOTER_SIZE = _FOOTER.size
_ROW = struct.Struct("<16sQB")  # digest, length as it is used, codec
_CHECK = 8
_SIGNATURE = 16
_SIGNED = 1
_TUPLE = 5  # bytes of marshal's before the first element
_INLINE = 255  # instead of a codec: the buffer is in the entry
_COPIED = 65536  # up to here, a copy without the checksum is quicker than a view
_WORTH_COMPRESSING = 4096

_unpack = _FOOTER.unpack_from
_checksum = xxhash.xxh3_64_digest
_loads = pickle.loads


class Damaged(Exception):
    """The bytes are no entry, or not the one that was asked for. The text says in which way."""


class NotSigned(Exception):
    """The entry is whole, but was not signed with this key."""


@dataclass(slots=True)
class Meta:
    """What is known of a result besides its value.

    ``seconds`` it took to compute; ``time`` it was stored (0: now); ``why``: digests by readable names, to tell what has changed since.
    """

    function: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    time: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Of numbers and text alone; read only after the checksum, and the signature, have been found right."""
        versions = {str(name): str(version) for name, version in self.versions.items()}
        why = {str(name): bytes(digest) for name, digest in self.why.items()}
        return marshal.dumps(
            (
                str(self.function),
                {str(name): str(text) for name, text in self.arguments.items()},
                float(self.seconds),
                float(self.time),
                versions,
                why,
            ),
            2,
        )

    @classmethod
    def from_bytes(cls, data: Bytes) -> Meta:
        """The inverse."""
        return cls(*marshal.loads(data))


@dataclass(frozen=True, slots=True)
class Reference:
    """A large buffer: what it holds, its length, and the codec that it is written with."""

    digest: bytes
    size: int
    codec: int


def sealed(
    key: bytes,
    payload: Bytes,
    buffers: Sequence[Reference | Bytes],
    meta: bytes,
    codec: int = 0,
    signer: Signer | None = None,
    level: int | None = None,
) -> list[Bytes]:
    """The pieces of an entry, in order. ``buffers``, in the pickle's order: a reference, or the bytes of a short one."""
    if codec and len(payload) >= _WORTH_COMPRESSING:
        payload = _compression.compress(codec, payload, level)
    else:
        codec = _compression.RAW
    table = b"".join([_row(buffer) for buffer in buffers])
    pieces: list[Bytes] = [payload, *(buffer for buffer in buffers if not isinstance(buffer, Reference)), table + meta + key]
    footer = _FOOTER.pack(len(payload), len(meta), len(table), len(key), _SIGNED if signer else 0, codec, _MAGIC)
    if signer is not None:
        pieces.append(signer.sign([*pieces, footer]))
    pieces.append(footer)
    checksum = xxhash.xxh3_64()
    for piece in pieces:
        checksum.update(piece)
    return [checksum.digest(), *pieces]


def _row(buffer: Reference | Bytes) -> bytes:
    if isinstance(buffer, Reference):
        return _ROW.pack(buffer.digest, buffer.size, buffer.codec)
    return _ROW.pack(bytes(16), len(buffer), _INLINE)


class Entry:
    """One that has been found whole, and signed if that is asked for. Reads the rest when it is asked for."""

    __slots__ = ("_codec", "_ends", "_rest", "is_simple")

    def __init__(self, raw: Bytes, key: bytes, signer: Signer | None = None) -> None:
        """
        Raises:
            Damaged, NotSigned
        """
        rest = raw[_CHECK:] if len(raw) <= _COPIED else memoryview(raw)[_CHECK:]
        if _checksum(rest) != raw[:_CHECK]:
            raise Damaged(_damage(raw))
        size = len(rest)
        if size < _FOOTER.size:
            raise Damaged("it is empty, or cut off")
        payload, meta, table, length, flags, codec, magic = _unpack(rest, size - 24)
        if magic != _MAGIC:
            raise Damaged("it is of another format")
        key_end = size - 24 - (_SIGNATURE if flags & _SIGNED else 0)
        key_at = key_end - length
        if rest[key_at:key_end] != key:
            raise Damaged("it is the entry of another key")
        if signer is not None:
            _verify(rest, key_end, flags, signer)
        self._rest = rest
        self._codec = codec
        self._ends = payload, key_at - meta - table, key_at - meta, key_at  # of payload, short buffers, table, meta
        self.is_simple = not (table or codec)

    def value(self, large: Sequence[Bytes] = (), loads: Callable[..., Any] = _loads) -> Any:
        """What was stored. ``large``: the buffers behind :meth:`references`. Raises whatever the classes involved raise."""
        if self.is_simple:
            return loads(self._rest)
        payload = _compression.decompress(self._codec, self._rest[: self._ends[0]])
        return loads(payload, buffers=self._in_order(iter(large)))

    def references(self) -> list[Reference]:
        """The large buffers, in the order in which they are wanted."""
        return [Reference(digest, size, codec) for digest, size, codec in self._rows() if codec != _INLINE]

    def is_signed(self) -> bool:
        """Whether it was signed, with whatever key."""
        return bool(_unpack(self._rest, len(self._rest) - _FOOTER.size)[4] & _SIGNED)

    def meta(self) -> Meta:
        """What was stored beside the value."""
        return Meta.from_bytes(self._rest[self._ends[2] : self._ends[3]])

    def _rows(self) -> Iterator[tuple[bytes, int, int]]:
        return _ROW.iter_unpack(self._rest[self._ends[1] : self._ends[2]])

    def _in_order(self, large: Iterator[Bytes]) -> Iterator[Bytes]:
        position = self._ends[0]
        for _, size, codec in self._rows():
            if codec != _INLINE:
                yield next(large)
            else:
                yield bytearray(self._rest[position : position + size])
                position += size


def meta_before_end(footer: bytes) -> int | None:
    """How many bytes before its end an entry says what is known of it, by its last :data:`FOOTER_SIZE`; None: they are of no entry."""
    if len(footer) != FOOTER_SIZE:
        return None
    _, meta, _, length, flags, _, magic = _unpack(footer)
    return FOOTER_SIZE + (_SIGNATURE if flags & _SIGNED else 0) + length + meta if magic == _MAGIC else None


def beginning_of_meta(function: str) -> bytes:
    """What that begins with, for results of a function: the name comes first."""
    return Meta(function).to_bytes()[: _TUPLE + len(marshal.dumps(function, 2))]


def _verify(rest: Bytes, key_end: int, flags: int, signer: Signer) -> None:
    """
    Raises:
        NotSigned
    """
    from hmac import compare_digest  # noqa: PLC0415 - few stores have a key

    if not flags & _SIGNED:
        raise NotSigned("it is not signed")
    view = memoryview(rest)
    body, signature, footer = view[:key_end], view[key_end : key_end + _SIGNATURE], view[key_end + _SIGNATURE :]
    if not compare_digest(signer.sign([body, footer]), bytes(signature)):
        raise NotSigned("it is signed with another key")


def _damage(raw: Bytes) -> str:
    if len(raw) < _CHECK + _FOOTER.size:
        return f"it is cut off: {len(raw)} bytes"
    if bytes(raw[-4:]) != _MAGIC:
        return "its end is missing, or overwritten"
    payload, meta, table, length, flags, _, _ = _FOOTER.unpack_from(raw, len(raw) - _FOOTER.size)
    least = _CHECK + payload + meta + table + length + (_SIGNATURE if flags & _SIGNED else 0) + _FOOTER.size
    return "its middle is missing" if len(raw) < least else "its checksum is wrong"
