"""A file, in the format of README.md, back into an object."""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any

from manyhands._files import _codecs, _format, _pickling, _versions
from manyhands._files._sources import Mapped
from manyhands.errors import ManyhandsError, StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands._files._format import Header, Row
    from manyhands._files._sources import Source

_STORED_ARRAY = _pickling.__name__, _pickling.stored_array.__name__


class Contents:
    """What a file consists of. Only what is asked for is unpickled; what is read is compared with its checksum.

    Attributes:
        header, rows: as in ``_format``.
        payload: the pickle.
        offsets: where each buffer begins in the file; 0 for those that are compressed.
        buffers: their memory; ``stored``: how long they are in the file.
        about: what else is told of the file.
    """

    def __init__(self, source: Source, *, with_buffers: bool = True) -> None:
        """Read all of it, or all but the buffers."""
        self.source = source
        self.stored: list[int] = []
        self.is_mapped = isinstance(source, Mapped)
        self.header: Header = _format.Header.from_bytes(source.read(_format.HEADER_SIZE, "its header"), source.name)
        self.payload = self._read_payload()
        raw = source.read(_format.table_size(self.header.count), "the table of its buffers")
        self.rows = _format.unpack_table(raw, source.name)
        self.offsets: list[int] = []
        self.buffers: list[Any] = []
        read = self._read_buffer if with_buffers else self._pass_over
        self._sums = [read(number, row) for number, row in enumerate(self.rows)]
        checksums, about = _format.unpack_footer(lambda size: source.read(size, "its footer"), len(self.rows), source.name)
        self._raw_about = about
        if not self.header.flags & _format.CHANGED:
            self._compare(checksums)

    def _read_payload(self) -> Any:
        header, source = self.header, self.source
        part = "the pickle in it"
        if header.codec:
            source.holds(header.stored, part)
            view = memoryview(self._room(part, bytearray, header.length))
            _codecs.unpack_into(view, header.codec, lambda size: source.read(size, part), source.name, part)
            payload: Any = view.obj
        else:
            payload = source.read(header.length, part)
        checksum = _format.Sum()
        checksum.update(payload)
        if checksum.result() != header.checksum:
            raise StoreCorrupt(source.name, part, "it does not agree with its checksum")
        return payload

    def _room(self, part: str, make: Callable[[Any], Any], size: Any) -> Any:
        try:
            return make(size)
        except (ValueError, OverflowError) as error:  # more than there can be
            raise StoreCorrupt(self.source.name, part, "its length makes no sense") from error

    def _read_buffer(self, number: int, row: Row) -> int | None:
        """Its checksum, where it is not compared elsewhere."""
        source, part = self.source, f"buffer {number} in it"
        if row.codec:
            memory = self._room(part, _memory_for, row)
            self.offsets.append(0)
            self.buffers.append(memory)
            _codecs.unpack_into(memoryview(memory), row.codec, lambda size: source.read(size, part), source.name, part, row.element)
            return None
        source.skip(_format.padding(source.position, row.length))
        source.holds(row.length, part)
        at = getattr(source, "start", 0) + source.position
        self.offsets.append(at)
        if isinstance(source, Mapped):
            self.buffers.append(memoryview(source.memory)[at : at + row.length])
            source.skip(row.length)
            return None
        memory = self._room(part, _memory_for, row)
        self.buffers.append(memory)
        return source.fill(memoryview(memory), part)

    def _pass_over(self, number: int, row: Row) -> None:
        source, part = self.source, f"buffer {number} in it"
        if row.codec:
            self.stored.append(_codecs.skip(row.length, lambda size: source.read(size, part), source.skip))
            return
        source.skip(_format.padding(source.position, row.length) + row.length)
        self.stored.append(row.length)

    def _compare(self, checksums: tuple[int, ...]) -> None:
        for number, (found, told) in enumerate(zip(self._sums, checksums, strict=True)):
            if found is not None and found != told:
                raise StoreCorrupt(self.source.name, f"buffer {number} in it", "it does not agree with its checksum")

    @property
    def about(self) -> dict[str, Any]:
        """Versions."""
        return _versions.parse(self._raw_about)

    def of_pickle(self) -> Iterator[Any]:
        """The buffers that pickle itself asks for; nothing, if they were not read."""
        if len(self.buffers) != len(self.rows):
            return iter([b""] * len(self.rows))
        return (memory for row, memory in zip(self.rows, self.buffers, strict=True) if row.of_pickle)

    def array(self, number: int, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
        """An array over a buffer."""
        import numpy as np  # noqa: PLC0415 - there is an array of it

        return np.ndarray(shape, dtype, self.buffers[number], order=order)

    def value(self, array: Callable[..., Any]) -> Any:
        """The object; ``array`` makes its arrays.

        Raises:
            Exception: whatever its classes raise, with a note on the versions that have written it.
        """
        unpickler = _Unpickler(io.BytesIO(self.payload), buffers=self.of_pickle())
        unpickler.array = array
        try:
            return unpickler.load()
        except (ManyhandsError, MemoryError):
            raise
        except Exception as error:
            error.add_note(f"raised while {self.source.name} was loaded; {_versions.told(self.about)}")
            raise


class _Unpickler(pickle.Unpickler):
    array: Callable[..., Any]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _STORED_ARRAY:
            return self.array
        return super().find_class(module, name)


def _memory_for(row: Row) -> Any:
    """Memory for a buffer, with nothing in it."""
    if "numpy" in sys.modules or not row.of_pickle:
        import numpy as np  # noqa: PLC0415 - as above

        return np.empty(row.length, np.uint8)
    return bytearray(row.length)
