"""The codecs that entries and their buffers may be written with; each says how to get it where it is not installed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from manyhands import errors

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

# As they are written into entries: numbers are never given to another codec.
RAW, ZLIB, LZ4, ZSTD = 0, 1, 2, 3
_NUMBERS = {"zlib": ZLIB, "lz4": LZ4, "zstd": ZSTD}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_MODULES = {"zlib": ("zlib",), "lz4": ("lz4.frame",), "zstd": ("compression.zstd", "backports.zstd")}
_INSTALL = {"zlib": "a Python with zlib", "lz4": "pip install lz4", "zstd": "pip install backports.zstd (part of Python from 3.14 on)"}


def number_of(codec: str | None) -> int:
    """The number of a codec.

    Raises:
        ValueError: there is none of that name.
        BackendMissing: its package is not installed.
    """
    if codec is None:
        return RAW
    if codec not in _NUMBERS:
        msg = f"codec={codec!r}: it is one of None, {', '.join(map(repr, _NUMBERS))}"
        raise ValueError(msg)
    _module(codec)
    return _NUMBERS[codec]


def compress(number: int, data: Bytes) -> Bytes:
    """``data`` by the codec of that number, at the level that it has by default."""
    if number == RAW:
        return data
    compressed: bytes = _module(_NAMES[number]).compress(data)
    return compressed


def decompress(number: int, data: Bytes) -> Bytes:
    """The inverse.

    Raises:
        BackendMissing: the package is not installed here.
        Exception: the codec's own, where the data are damaged.
    """
    if number == RAW:
        return data
    if number not in _NAMES:
        msg = f"written with codec {number}, which this version of manyhands does not know"
        raise errors.BackendMissing(msg)
    plain: bytes = _module(_NAMES[number]).decompress(data)
    return plain


def _module(codec: str) -> Any:
    for name in _MODULES[codec]:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    msg = f"codec {codec!r} is not installed here: {_INSTALL[codec]}"
    raise errors.BackendMissing(msg)
