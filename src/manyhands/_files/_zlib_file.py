"""zlib and gzip streams as file objects, for reading or for writing.

The standard library has such a class for gzip only, one that reads in small steps; here a large read goes into the buffer that is given, in
large pieces. A stream that ends before its end mark is an ``EOFError``, never a short read.
"""

from __future__ import annotations

import io
import os
import zlib
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_BLOCK = 64 * 1024  # compressed bytes that are read at a time
_PIECE = 1024 * 1024  # bytes that are decompressed at a time, at most: for more, a buffer would be enlarged again and again
_DEFAULT_LEVEL = 3  # nearly as small as 6, at half the time
_LEVELS = range(1, 10)


class BinaryZlibFile(io.BufferedIOBase):
    """A zlib stream in a file: ``mode`` is ``"rb"`` or ``"wb"``.

    ``filename`` is a path, which is closed with this, or a binary file object, which stays open. Going back in a stream means to read it
    again from its beginning.

    Example:
        >>> with BinaryZlibFile("numbers.z", "wb", compresslevel=6) as file:
        ...     file.write(b"1 2 3")
    """

    wbits = zlib.MAX_WBITS

    def __init__(self, filename: Any, mode: str = "rb", compresslevel: int = _DEFAULT_LEVEL) -> None:
        self._file: IO[bytes] | None = None  # None: this is closed
        if not isinstance(compresslevel, int) or compresslevel not in _LEVELS:
            msg = f"'compresslevel' must be an integer between 1 and 9. You provided 'compresslevel={compresslevel}'"
            raise ValueError(msg)
        if mode not in {"rb", "wb"}:
            msg = f"Invalid mode: {mode!r}"
            raise ValueError(msg)
        self.compresslevel = compresslevel
        self._file, self._owned = _opened(filename, mode)
        self._position = 0  # in what is not compressed
        self._compressor = zlib.compressobj(compresslevel, zlib.DEFLATED, self.wbits) if mode == "wb" else None
        self._start_reading()

    def _start_reading(self) -> None:
        self._decompressor = zlib.decompressobj(self.wbits)
        self._ahead: bytes = b""  # compressed bytes that have been read from the file, but not taken
        self._at_end = False

    def close(self) -> None:
        """Write what is left, and close the file if it was opened here. More than once is no error."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._compressor is not None:
                file.write(self._compressor.flush())
        finally:
            if self._owned:
                file.close()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._file is None

    def fileno(self) -> int:
        """The descriptor of the file with the compressed bytes."""
        return self._check_not_closed().fileno()

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        self._check_not_closed()
        return self._compressor is None

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return not self.readable()

    def seekable(self) -> bool:
        """Whether :meth:`seek` works."""
        return self.readable() and self._check_not_closed().seekable()

    def tell(self) -> int:
        """How many bytes, not compressed, are before this point."""
        self._check_not_closed()
        return self._position

    def _check_not_closed(self) -> IO[bytes]:
        if self._file is None:
            msg = "I/O operation on closed file."
            raise ValueError(msg)
        return self._file

    def _check_can_read(self) -> IO[bytes]:
        if not self.readable():
            msg = "File not open for reading"
            raise io.UnsupportedOperation(msg)
        return self._check_not_closed()

    def _check_can_write(self) -> IO[bytes]:
        if not self.writable():
            msg = "File not open for writing"
            raise io.UnsupportedOperation(msg)
        return self._check_not_closed()

    def _check_can_seek(self) -> None:
        if not self.seekable():
            msg = "Seeking is only supported on files open for reading, over files that can be sought in"
            raise io.UnsupportedOperation(msg)

    def write(self, data: ReadableBuffer, /) -> int:
        """Compress ``data``; returns how many bytes those were."""
        file = self._check_can_write()
        with memoryview(data) as view:
            count = view.nbytes
        assert self._compressor is not None
        file.write(self._compressor.compress(data))
        self._position += count
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes, fewer only at the end of the stream; all that is left if that is negative or None."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self._some(4 * _BLOCK), b""))
        pieces = []
        while size > 0 and (piece := self._some(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer``; returns the number of bytes, fewer than it holds only at the end of the stream."""
        with memoryview(buffer) as view, view.cast("B") as into:
            start = 0
            while start < len(into) and (piece := self._some(len(into) - start)):
                into[start : start + len(piece)] = piece
                start += len(piece)
            return start

    def _some(self, size: int) -> bytes:
        """At least one byte and at most ``size``; none at the end of the stream."""
        file = self._check_can_read()
        while not self._at_end:
            if not self._ahead and not self._decompressor.eof:
                self._ahead = file.read(_BLOCK)
                starved = not self._ahead
            else:
                starved = False
            data = self._decompressor.decompress(self._ahead, min(size, _PIECE))
            self._ahead = self._decompressor.unconsumed_tail
            if self._decompressor.eof:
                self._next_member(file)
            elif starved and not data:
                msg = "the compressed data end before their end mark: the file has been cut off"
                raise EOFError(msg)
            if data:
                self._position += len(data)
                return data
        return b""

    def _next_member(self, file: IO[bytes]) -> None:
        """After the end mark: one more stream, as ``cat a.gz b.gz`` makes them, or the end. What else follows is left alone."""
        rest = self._decompressor.unused_data or file.read(_BLOCK)
        if self.wbits > zlib.MAX_WBITS and rest.startswith(b"\x1f\x8b"):
            self._decompressor = zlib.decompressobj(self.wbits)
            self._ahead = rest
        else:
            self._at_end = True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position in what is not compressed; returns it. It takes as long as reading up to there, or all from the beginning."""
        self._check_can_seek()
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            self._skip(None)
            offset += self._position
        elif whence != os.SEEK_SET:
            msg = f"Invalid value for whence: {whence}"
            raise ValueError(msg)
        if offset < self._position:
            self._check_not_closed().seek(0)
            self._position = 0
            self._start_reading()
        self._skip(offset - self._position)
        return self._position

    def _skip(self, count: int | None) -> None:
        while count is None or count > 0:
            piece = self._some(_BLOCK if count is None else min(count, _BLOCK))
            if not piece:
                break
            if count is not None:
                count -= len(piece)


class BinaryGzipFile(BinaryZlibFile):
    """A gzip stream in a file; the same in all else. Equal contents make equal files: no time and no name is written."""

    wbits = zlib.MAX_WBITS | 16


def _opened(filename: Any, mode: str) -> tuple[IO[bytes], bool]:
    """A file, and whether it is ours to close."""
    if isinstance(filename, (str, bytes, os.PathLike)):
        return open(filename, mode), True  # closed with the object
    if hasattr(filename, "read") or hasattr(filename, "write"):
        return filename, False
    msg = f"filename must be a str or bytes object, or a file; it is of {type(filename)}"
    raise TypeError(msg)
