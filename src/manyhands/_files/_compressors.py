"""Files that are compressed as a whole, with the method names, extensions and first bytes that joblib gives them.

======  =========  ======================  =====================================
method  extension  first bytes             made by
======  =========  ======================  =====================================
zlib    ``.z``     ``78``                  ``_zlib_file``
gzip    ``.gz``    ``1f 8b``               ``_zlib_file``
bz2     ``.bz2``   ``BZ``                  ``bz2``
lzma    ``.lzma``  ``5d 00``               ``lzma``, the old format
xz      ``.xz``    ``fd 37 7a 58 5a``      ``lzma``
lz4     ``.lz4``   ``04 22 4d 18``         ``lz4.frame``, where it is installed
zst     ``.zst``   ``28 b5 2f fd``         Python's ``compression.zstd``, or ``backports.zstd``
======  =========  ======================  =====================================

More of them come by :func:`register_compressor`. The modules that do the work are imported when a file needs them.
"""

from __future__ import annotations

import importlib
import io
import os
from typing import IO, Any

from manyhands._files._zlib_file import BinaryGzipFile, BinaryZlibFile

LZ4_NOT_INSTALLED_ERROR = "LZ4 is not installed, which this compression method needs: pip install lz4"

ZLIB_FILE_PREFIX = b"ZF"  # of joblib before 0.9.4; written no more
_BUFFER = 1024 * 1024  # between a pickler, which writes and reads in small pieces, and a compressor


class CompressorWrapper:
    """What makes file objects of one method.

    Args:
        obj: a class of file objects, called as ``obj(file, "wb", compresslevel=level)``, ``obj(file, "wb")`` and ``obj(file, "rb")``.
        prefix: the first bytes of each such file, by which it is known when it is read; empty if it cannot be told by them.
        extension: of the names of such files, by which the method is chosen when one is written; empty if there is none.

    Example:
        >>> register_compressor("gzip-slow", CompressorWrapper(gzip.GzipFile, prefix=b"\\x1f\\x8b", extension=".gzip"))
    """

    prefix: bytes
    extension: str
    fileobj_factory: Any

    def __init__(self, obj: Any, prefix: bytes = b"", extension: str = "") -> None:
        self.fileobj_factory = obj
        self.prefix = prefix
        self.extension = extension

    def compressor_file(self, fileobj: Any, compresslevel: int | None = None) -> Any:
        """A file object that compresses into ``fileobj``, a path or a file."""
        if compresslevel is None:
            return self.fileobj_factory(fileobj, "wb")
        return self.fileobj_factory(fileobj, "wb", compresslevel=compresslevel)

    def decompressor_file(self, fileobj: Any) -> Any:
        """A file object that reads what is compressed in ``fileobj``."""
        return self.fileobj_factory(fileobj, "rb")


class _Lazy(CompressorWrapper):
    """One whose module is imported when it is first used."""

    level_name = "compresslevel"

    def __init__(self, module: str, name: str, prefix: bytes, extension: str, **options: str) -> None:
        self._module = module
        self._name = name
        self._options = options  # for writing: names of constants in the module
        self.prefix = prefix
        self.extension = extension

    def _loaded(self) -> Any:
        try:
            return importlib.import_module(self._module)
        except ImportError as error:
            msg = f"this Python was built without its module {self._module}, which files with {self.extension} need"
            raise ValueError(msg) from error

    @property
    def fileobj_factory(self) -> Any:
        return getattr(self._loaded(), self._name)

    def compressor_file(self, fileobj: Any, compresslevel: int | None = None) -> Any:
        module = self._loaded()
        options: dict[str, Any] = {name: getattr(module, constant) for name, constant in self._options.items()}
        if compresslevel is not None:
            options[self.level_name] = compresslevel
        return getattr(module, self._name)(fileobj, "wb", **options)


class _Lzma(_Lazy):
    level_name = "preset"


class _Lz4(_Lazy):
    level_name = "compression_level"

    def _loaded(self) -> Any:
        try:
            return importlib.import_module(self._module)
        except ImportError as error:
            raise ValueError(LZ4_NOT_INSTALLED_ERROR) from error


class _Zst(_Lazy):
    """Not called zstd, which compresses the parts of a file of ours, and is what programs call methods that they register."""

    level_name = "level"

    def _loaded(self) -> Any:
        from manyhands._files import _codecs  # noqa: PLC0415 - few files are of this method

        return _codecs.module_of(_codecs.ZSTD)


METHODS: dict[str, CompressorWrapper] = {
    "zlib": CompressorWrapper(BinaryZlibFile, b"\x78", ".z"),
    "gzip": CompressorWrapper(BinaryGzipFile, b"\x1f\x8b", ".gz"),
    "bz2": _Lazy("bz2", "BZ2File", b"BZ", ".bz2"),
    "lzma": _Lzma("lzma", "LZMAFile", b"\x5d\x00", ".lzma", format="FORMAT_ALONE"),
    "xz": _Lzma("lzma", "LZMAFile", b"\xfd\x37\x7a\x58\x5a", ".xz", format="FORMAT_XZ"),
    "lz4": _Lz4("lz4.frame", "LZ4FrameFile", b"\x04\x22\x4d\x18", ".lz4"),
    "zst": _Zst("", "ZstdFile", b"\x28\xb5\x2f\xfd", ".zst"),
}
_OTHER_EXTENSIONS = {".zstd": "zst", ".gzip": "gzip", ".zlib": "zlib"}


def register_compressor(compressor_name: str, compressor: Any, force: bool = False) -> None:
    """Let ``dump`` and ``load`` know one more method of compression.

    Args:
        compressor_name: what is given as ``compress=``.
        compressor: a :class:`CompressorWrapper`, or what has all that it has.
        force: take the place of one that has the name already.

    Raises:
        ValueError: the name is no string or taken, or the compressor lacks something.
    """
    if not isinstance(compressor_name, str):
        msg = f"Compressor name should be a string, '{compressor_name}' given."
        raise ValueError(msg)  # noqa: TRY004 # what joblib's callers catch
    if lacking := _lacking(compressor):
        raise ValueError(lacking)
    if compressor_name in METHODS and not force:
        msg = f"Compressor '{compressor_name}' already registered."
        raise ValueError(msg)
    METHODS[compressor_name] = compressor


def _lacking(compressor: Any) -> str | None:
    if isinstance(compressor, _Lazy):
        return None  # asking it for its class would import its module
    if not all(hasattr(compressor, name) for name in ("fileobj_factory", "prefix", "extension", "compressor_file", "decompressor_file")):
        return f"Compressor should implement the CompressorWrapper interface, '{compressor}' given."
    factory = compressor.fileobj_factory
    if factory is not None and not all(hasattr(factory, name) for name in ("read", "write", "seek", "tell")):
        return f"Compressor 'fileobj_factory' attribute should implement the file object interface, '{factory}' given."
    return None


def prefix_size() -> int:
    """How many bytes of a file :func:`detect` needs at most."""
    return max(len(ZLIB_FILE_PREFIX), *[len(method.prefix) for method in METHODS.values()])


def detect(prefix: bytes) -> str | None:
    """The method by which a file that begins so is compressed; None if it is by none that is known."""
    best: str | None = None
    longest = 0
    for name, method in METHODS.items():
        own = method.prefix
        # One without prefix cannot be told by it. The last of those with the same one counts: it was registered to take over.
        if isinstance(own, bytes) and own and len(own) >= longest and prefix.startswith(own):
            best, longest = name, len(own)
    return best


def begins(prefix: bytes) -> bool:
    """Whether a file that ends after these bytes may have been compressed by one of the methods."""
    return any(method.prefix.startswith(prefix) for method in METHODS.values() if isinstance(method.prefix, bytes))


def for_extension(path: str | os.PathLike[str]) -> str | None:
    """The method that goes with the extension of a file name; None if there is none."""
    name = os.fspath(path)
    found = [method for method, wrapper in METHODS.items() if wrapper.extension and name.endswith(wrapper.extension)]
    return found[-1] if found else next((_OTHER_EXTENSIONS[end] for end in _OTHER_EXTENSIONS if name.endswith(end)), None)


def writer(raw: Any, method: str, level: int | None = None) -> IO[bytes]:
    """A file object that compresses into ``raw`` (a path or a binary file object, which stays open).

    Closing it writes the end of the stream.

    Args:
        level: as the method has it, mostly 1 to 9; None: its default.

    Raises:
        ValueError: the method is not known, its package is not installed, or it does not have that level.
    """
    return io.BufferedWriter(_method(method).compressor_file(raw, compresslevel=level), _BUFFER)


def reader(raw: Any, method: str) -> IO[bytes]:
    """A file object that reads what is compressed in ``raw`` (a path or a binary file object, which stays open).

    Raises:
        ValueError: as for :func:`writer`.
    """
    return io.BufferedReader(_method(method).decompressor_file(raw), _BUFFER)


def _method(name: str) -> CompressorWrapper:
    if name not in METHODS:
        msg = f'Non valid compression method given: "{name}". Possible values are {list(METHODS)}.'
        raise ValueError(msg)
    return METHODS[name]
