"""How blocks are compressed: each by itself, so that threads share the work and a file need not fit into memory."""

from __future__ import annotations

import functools
import importlib
import struct
from typing import TYPE_CHECKING, Any

import xxhash

from manyhands._files import _elements, _format, _threads
from manyhands.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    _Stored = tuple[memoryview, int, bytes]  # where it belongs, its checksum, its bytes

NONE, ZLIB, LZ4, ZSTD = range(4)
NAMES = {"zlib-blocks": ZLIB, "lz4-blocks": LZ4, "zstd": ZSTD}
LEVELS = {ZLIB: range(10), LZ4: range(13), ZSTD: range(-7, 23)}
_USUAL = {ZLIB: 3, LZ4: 0, ZSTD: 1}
# Of zstd, under the names that it has had.
_ZSTD = "compression.zstd", "backports.zstd", "pyzstd"
_HINTS = {ZSTD: "backports.zstd", LZ4: "lz4"}

# Length as stored (that of the block itself: it is not compressed), length, checksum of the block.
_BLOCK = struct.Struct("<IIQ")
_SAMPLE = 1 << 16
_WORTH = 0.8  # what does not get smaller than that is stored as it is, to be mapped, and read at the speed of memory


def name_of(codec: int) -> str:
    """For messages and ``inspect``."""
    return next((name.removesuffix("-blocks") for name, number in NAMES.items() if number == codec), "")


@functools.cache
def module_of(codec: int) -> Any:
    """What does the work.

    Raises:
        ValueError: it is not installed.
    """
    if codec == ZLIB:
        return importlib.import_module("zlib")
    for name in _ZSTD if codec == ZSTD else ("lz4.block",):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    package = _HINTS[codec]
    msg = f"{name_of(codec)} is not installed: pip install {package}, or manyhands[{name_of(codec)}]"
    raise ValueError(msg)


def compressor(codec: int, level: int | None) -> Callable[[Any], bytes]:
    """What compresses a block.

    Raises:
        ValueError: what it needs is not installed.
    """
    module, level = module_of(codec), _USUAL[codec] if level is None else level
    if codec == LZ4:
        return lambda block: module.compress(block, store_size=False, mode="high_compression" if level else "fast", compression=level)
    return lambda block: module.compress(block, level)


def _decompressor(codec: int) -> Callable[[Any, int], bytes]:
    module = module_of(codec)
    if codec == LZ4:
        return lambda data, size: module.decompress(data, uncompressed_size=size)
    if codec == ZLIB:
        return lambda data, size: module.decompress(data, bufsize=max(size, 1))
    return lambda data, _: module.decompress(data)


def best_element(compress: Callable[[Any], bytes], piece: Any) -> int | None:
    """Whether a piece gets smaller, by a sample of it: None if it does not; otherwise the size of elements whose bytes are to be apart, or
    0. Numbers that are near one another are alike in their upper bytes only: side by side, these are compressed to a third of the size, at
    three times the speed. Where the same numbers come again and again, whole ones are what is alike.
    """
    block = next(piece.blocks(_format.PACKED), b"")
    middle = max(len(block) // 2 - _SAMPLE // 2, 0)
    sample = memoryview(block)[middle : middle + _SAMPLE]
    sizes = {0: len(compress(sample))}
    if piece.element:
        sizes[piece.element] = len(compress(_elements.apart(sample, piece.element)))
    best = min(sizes, key=sizes.__getitem__)
    return best if sizes[best] < _WORTH * len(sample) else None


def packed(compress: Callable[[Any], bytes], blocks: Iterable[Any], element: int = 0) -> Iterator[Any]:
    """Each block as it is stored, in two parts; several are compressed at a time. ``element``: the size of those whose bytes are to be
    apart, if they are.
    """
    for header, data in _threads.in_order(functools.partial(_pack, compress, element), blocks):
        yield header
        yield data


def _pack(compress: Callable[[Any], bytes], element: int, block: Any) -> tuple[bytes, Any]:
    block, size = bytes(block), len(block)  # as it is now: another thread or process may write to it
    data: Any = compress(_elements.apart(block, element) if element else block)
    if len(data) >= size:
        data = block
    return _BLOCK.pack(len(data), size, xxhash.xxh3_64_intdigest(block)), data


def unpack_into(view: memoryview, codec: int, read: Callable[[int], bytes], name: str, part: str, element: int = 0) -> None:
    """Fill memory with the blocks that ``read`` gives one after the other. ``element``: as for :func:`packed`.

    Raises:
        StoreCorrupt: a block is damaged.
    """

    def stored() -> Iterator[_Stored]:
        start = 0
        while start < len(view):
            length, size, checksum = _BLOCK.unpack(read(_BLOCK.size))
            if not 0 < size <= min(_format.BLOCK, len(view) - start) or length > size:
                raise StoreCorrupt(name, part, "the lengths of its blocks make no sense")
            yield view[start : start + size], checksum, read(length)
            start += size

    def unpack(block: _Stored) -> None:
        reason = _unpack(*block, decompress, element)
        if reason:
            raise StoreCorrupt(name, part, reason)

    decompress = _decompressor(codec)
    for _ in _threads.in_order(unpack, stored()):
        pass


def _unpack(into: memoryview, checksum: int, data: Any, decompress: Callable[[Any, int], bytes], element: int) -> str:
    """Put a block where it belongs; what is wrong with it, or nothing."""
    size = len(into)
    is_packed = len(data) != size
    if is_packed:
        try:
            data = decompress(data, size)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has its own
            return f"it cannot be decompressed ({error})"
    if len(data) == size:
        _elements.put(data, element if is_packed else 0, into)
        if xxhash.xxh3_64_intdigest(into) == checksum:
            return ""
    return "it does not agree with its checksum"


def skip(length: int, read: Callable[[int], bytes], leave: Callable[[int], None]) -> int:
    """Pass over the blocks of a buffer of that length; how many bytes they are."""
    passed = 0
    while length > 0:
        stored, size, _ = _BLOCK.unpack(read(_BLOCK.size))
        leave(stored)
        passed += _BLOCK.size + stored
        length -= size or length
    return passed
