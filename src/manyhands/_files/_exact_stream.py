"""A file as an unpickler reads it that must not read ahead, because something else than its opcodes follows.

**Guarantee**: when an unpickler comes to an opcode, the file is at the next one, or, inside a frame of protocol 4 and later, at the end of
the frame. An unpickler can read ahead only in a file with ``peek`` (it could not give back what it has read from others): this has none.

A read that comes short, and data that cannot be decompressed, are a :class:`~manyhands.errors.StoreCorrupt`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from manyhands.errors import StoreCorrupt

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# How much a decompressor is asked for at a time: for more, those of the standard library make a buffer that they enlarge again and again.
_PIECE = 512 * 1024


class ExactStream:
    """``file`` from where it is. ``name`` is for messages; ``compressed``: the file decompresses what it reads."""

    __slots__ = ("_file", "_first", "compressed", "damage", "name")

    def __init__(self, file: IO[bytes], name: str, *, compressed: bool, first: bytes = b"") -> None:
        self._file = file
        self._first = first  # comes before what is in the file
        self.name = name
        self.compressed = compressed
        self.damage: StoreCorrupt | None = None  # what has been raised: an unpickler may make another error of it

    def insert(self, data: bytes) -> None:
        """Let ``data`` be read next."""
        self._first = data + self._first

    def read(self, size: int) -> bytes:
        """Just so many bytes."""
        if self._first:
            first, self._first = self._first[:size], self._first[size:]
            return first if len(first) == size else first + self.read(size - len(first))
        try:
            data = self._file.read(size)
        except Exception as error:
            self._explain(error)
            raise
        return data if len(data) == size else self._more(data, size)

    def _more(self, data: bytes, size: int) -> bytes:
        """A file that is not buffered may give less than there is."""
        pieces, missing = [data], size - len(data)
        while missing and (piece := self._file.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        if missing:
            raise self.cut_off(missing)
        return b"".join(pieces)

    def readline(self) -> bytes:
        """A line with its end."""
        try:
            line = self._first + self._file.readline()
        except Exception as error:
            self._explain(error)
            raise
        self._first = b""
        if not line.endswith(b"\n"):
            raise self.cut_off(1)
        return line

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill all of ``buffer``."""
        with memoryview(buffer) as view, view.cast("B") as into:
            size = len(into)
            start = len(self._first[:size])
            into[:start], self._first = self._first[:size], self._first[size:]
            while start < size:
                count = self._some_into(into[start:])
                if not count:
                    raise self.cut_off(size - start)
                start += count
        return size

    def _some_into(self, into: memoryview) -> int:
        if self.compressed:
            into = into[:_PIECE]
        try:
            if hasattr(self._file, "readinto"):
                return int(self._file.readinto(into))
            data = self._file.read(len(into))
        except Exception as error:
            self._explain(error)
            raise
        into[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        """The position in the file."""
        return self._file.tell() - len(self._first)

    def file_at(self, position: int) -> IO[bytes]:
        """The file itself, from now on at ``position``."""
        self._first = b""
        self._file.seek(position)
        return self._file

    def check_end(self) -> None:
        """Of compressed data: read the rest, so that its checksums are compared. Decompressors hand out data before they do that."""
        if not self.compressed:
            return
        try:
            while self._file.read(_PIECE):
                pass
        except Exception as error:
            self._explain(error)
            raise

    def cut_off(self, missing: int) -> StoreCorrupt:
        """The error for a file that ends too early."""
        how = f"the file ends where there must be {missing} bytes more, or more than that: it was cut off, or not written to its end"
        return self._damaged("its end", how)

    def _explain(self, error: Exception) -> None:
        """Of what a decompressor raises, make an error that says so. What the operating system says is left as it is."""
        if self.compressed and not isinstance(error, (StoreCorrupt, MemoryError)) and getattr(error, "errno", None) is None:
            raise self._damaged("its compressed data", str(error) or type(error).__name__) from error

    def _damaged(self, part: str, reason: str) -> StoreCorrupt:
        self.damage = StoreCorrupt(self.name, part, reason)
        return self.damage
