"""The codecs that entries and their buffers may be written with; each says how to get it where it is not installed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.options import refuse, whole

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

# As they are written into entries: numbers are never given to another codec.
RAW, ZLIB, LZ4, ZSTD = 0, 1, 2, 3
_NUMBERS = {"zlib": ZLIB, "lz4": LZ4, "zstd": ZSTD}
_LEVEL = {"zlib": "level", "lz4": "compression_level", "zstd": "level"}
LEVELS = {"zlib": (0, 9), "lz4": (0, 16), "zstd": (1, 22)}  # the least and the most
_CODEC_OF = {**dict.fromkeys(("zlib", "gzip", "bz2", "lzma", "xz"), "zlib"), "lz4": "lz4", "zstd": "zstd"}
_ALLOWED = (
    "False, True, a level from 0 to 9, 'zlib', 'lz4', 'zstd', or a pair of one of these and a level "
    "(zlib: 0 to 9, lz4: 0 to 16, zstd: 1 to 22)"
)
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


def asked(compress: object) -> tuple[str | None, int | None]:
    """Codec and level that are meant by what users, and joblib's, write. What are files of gzip or lzma there, is compressed by zlib.

    Raises:
        ValueError: it means none.
    """
    method, level = compress if isinstance(compress, tuple | list) and len(compress) == 2 else (None, compress)
    if method is None and isinstance(level, str):
        method, level = level, None
    if isinstance(level, bool) or (level is None and method is None):
        return _asked_by_switch(compress, level)
    codec = _CODEC_OF.get(method) if isinstance(method, str) else "zlib" if method is None else None
    number = None if level is None else whole(level)
    if codec is None or (level is not None and (number is None or not LEVELS[codec][0] <= number <= LEVELS[codec][1])):
        raise refuse("compress", compress, _ALLOWED)
    return (None, None) if method is None and number == 0 else (codec, number)


def _asked_by_switch(compress: object, level: object) -> tuple[str | None, int | None]:
    if compress is not level:  # the level of a method
        raise refuse("compress", compress, _ALLOWED)
    return ("zlib" if level else None), None


def compress(number: int, data: Bytes, level: int | None = None) -> Bytes:
    """``data`` by the codec of that number; ``level``: as its library has them."""
    if number == RAW:
        return data
    codec = _NAMES[number]
    compressed: bytes = _module(codec).compress(data, **({} if level is None else {_LEVEL[codec]: level}))
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
