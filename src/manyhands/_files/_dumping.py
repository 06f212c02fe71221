"""``dump``: what its arguments mean."""

from __future__ import annotations

import io
import operator
import os
from typing import Any, NamedTuple

from manyhands._files import _codecs, _compressors, _replacing, _sinks, _writing


class _How(NamedTuple):
    """``method``: compresses the whole file; ``codec``: compresses its parts; ``level``: of either, None for the usual one."""

    method: str = ""
    codec: int = _codecs.NONE
    level: int | None = None


def dump(value: object, filename: Any, compress: Any = 0, protocol: int | None = None) -> list[str] | None:
    """Store an object in one file, to be had again from :func:`load`.

    Arrays are written from where they are, without a copy: no thread may write to one meanwhile. (What lies in shared memory or a map of a
    file may be written to by others; the file has some of their numbers then.) A file that is there is replaced when the new one is
    complete: whoever reads it meanwhile, or is interrupted, or killed, has the old one. (It is not waited for until the disk has it.)

    Example:
        >>> import manyhands
        >>> manyhands.dump({"weights": [0.5, 0.25]}, "model.mh")
        ['model.mh']
        >>> manyhands.load("model.mh")
        {'weights': [0.5, 0.25]}

    Args:
        value: anything that can be pickled; also lambdas, closures, and functions of a script.
        filename: a path, or a file object to write to, from where it is; several objects may follow one another.
        compress: ``"zstd"`` compresses each array by itself, in threads; those that do not get smaller stay as they are. As in joblib:
            ``0`` to ``9``, ``True`` (3), ``"zlib"``, ``"gzip"``, ``"bz2"``, ``"lzma"``, ``"xz"``, ``"lz4"``, ``"zst"``, or ``(method,
            level)``, for the whole file; and if it is a number, the extension of the name decides (``.z .gz .bz2 .lzma .xz .lz4``,
            and ``.zst``). By default, and with other extensions, not at all.
        protocol: of pickle; the newest by default.

    Returns:
        ``[filename]``; None for a file object.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled; it is a ``pickle.PicklingError``.
        TypeError: a file object for text.
        ValueError: ``filename`` or ``compress`` is none of the above, or what it needs is not installed.
        OSError: the file cannot be written.
    """
    if isinstance(filename, os.PathLike):
        filename = os.fspath(filename)
    is_path = isinstance(filename, str)
    how = _how(compress, filename if is_path else "")
    if is_path:
        with _replacing.replacing(filename) as fd:
            _into_descriptor(value, fd, how, protocol)
        return [filename]
    if not hasattr(filename, "write"):
        msg = f"Second argument should be a filename or a file-like object, {filename} (type {type(filename)}) was given."
        raise ValueError(msg)
    if isinstance(filename, io.TextIOBase):
        msg = f"{filename!r} is open for text; objects are written as bytes: open it with 'wb'"
        raise TypeError(msg)
    _into_object(value, filename, how, protocol)
    return None


def _into_descriptor(value: object, fd: int, how: _How, protocol: int | None) -> None:
    if not how.method:
        sink = _sinks.Descriptor(fd) if _can_patch(fd) else _sinks.Sink(lambda view: os.write(fd, view))
        _writing.write(value, sink, protocol, how.codec, how.level)
        return
    with open(fd, "wb", closefd=False) as file:
        _into_object(value, file, how, protocol)


def _can_patch(fd: int) -> bool:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR) == 0
    except OSError:  # a pipe
        return False


def _into_object(value: object, file: Any, how: _How, protocol: int | None) -> None:
    if not how.method:
        _writing.write(value, _sinks.Sink(file.write), protocol, how.codec, how.level)
        return
    with _compressors.writer(file, how.method, how.level) as compressed:
        _writing.write(value, _sinks.Sink(compressed.write), protocol)


def _how(compress: Any, path: str) -> _How:
    """What ``compress`` means, for a file of that name."""
    method, level, is_named = _method_and_level(compress)
    if not isinstance(level, bool) and hasattr(level, "__index__"):
        level = operator.index(level)  # of numpy
    if is_named and method in _codecs.NAMES:
        return _own(method, level)
    if level is not None and level is not False and level not in range(10):
        msg = f'Non valid compress level given: "{level}". Possible values are {list(range(10))}.'
        raise ValueError(msg)
    if method not in _compressors.METHODS:
        msg = f'Non valid compression method given: "{method}". Possible values are {[*_compressors.METHODS, *_codecs.NAMES]}.'
        raise ValueError(msg)
    if not is_named and path:
        by_name = _compressors.for_extension(path)
        if by_name and level == 0:
            level = None
        method = by_name or method
    return _How() if level == 0 and level is not None else _How(method, level=level)


def _method_and_level(compress: Any) -> tuple[str, Any, bool]:
    """The method, the level, and whether the method was named."""
    if compress is True:
        return "zlib", None, False
    if isinstance(compress, str):
        return compress, None, True
    if not isinstance(compress, tuple):
        return "zlib", compress, False
    if len(compress) != 2:
        msg = f"Compress argument tuple should contain exactly 2 elements: (compress method, compress level), you passed {compress}"
        raise ValueError(msg)
    return *compress, True


def _own(name: str, level: Any) -> _How:
    codec = _codecs.NAMES[name]
    if level is not None and (not isinstance(level, int) or level not in _codecs.LEVELS[codec]):
        levels = _codecs.LEVELS[codec]
        msg = f'Non valid compress level given: "{level}". Possible values are {levels.start} to {levels.stop - 1}.'
        raise ValueError(msg)
    _codecs.compressor(codec, level)  # raises if it is not installed, before anything is written
    return _How(codec=codec, level=level)
