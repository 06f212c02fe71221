"""An object into a sink, in the format of README.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import xxhash

from manyhands._files import _codecs, _format, _versions
from manyhands._files._pickling import Pickling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._files._format import Row
    from manyhands._files._sinks import Descriptor, Sink

    Compress = Callable[[Any], bytes]


def write(value: object, sink: Sink, protocol: int | None = None, codec: int = _codecs.NONE, level: int | None = None) -> None:
    """The whole of it.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
        OSError: of the file.
        ValueError: the codec is not installed.
    """
    compress = _codecs.compressor(codec, level) if codec else None
    into: _Whole = _Directly(sink) if sink.can_patch and compress is None else _Whole(sink)  # type: ignore[arg-type] # a Descriptor
    pickling = Pickling(into.write, into.restart, protocol)
    pickling.dump(value)
    pieces = pickling.pieces
    into.end(compress, codec, len(pieces))
    rows = [_row(piece, compress, codec) for piece in pieces]
    sink.write(_format.pack_table(rows))
    about = json.dumps(_versions.written_by(pickling.names)).encode()
    if compress is None:
        sink.expect(_size(sink.position, pieces) + _format.footer_size(len(pieces), about))
    checksums = [_write_piece(sink, piece, row, compress) for piece, row in zip(pieces, rows, strict=True)]
    sink.write(_format.pack_footer(checksums, about))
    into.patch()
    sink.flush()


def _row(piece: Any, compress: Compress | None, codec: int) -> Row:
    """How it is stored."""
    element = _codecs.best_element(compress, piece) if compress is not None else None
    flags = _format.Row.flags_of(element or 0, of_pickle=piece.of_pickle)
    return _format.Row(piece.length, _codecs.NONE if element is None else codec, flags)


def _write_piece(sink: Sink, piece: Any, row: Row, compress: Compress | None) -> int:
    """Its checksum."""
    if row.codec and compress is not None:
        for part in _codecs.packed(compress, piece.blocks(_format.PACKED), row.element):
            sink.write(part)
        return 0
    sink.write(bytes(_format.padding(sink.position, piece.length)))
    room = memoryview(bytearray(min(piece.length, _format.STEP))) if piece.is_shared else None
    return _format.sum_of([_write_block(sink, block, room) for block in piece.blocks()] or [xxhash.xxh3_64_digest(b"")])


def _write_block(sink: Sink, block: Any, room: memoryview | None) -> bytes:
    """Its digest. It is summed in steps right before they are written: the second pass finds them in the processor's cache, and costs
    nothing that could be measured. Threads that sum ahead made it slower. Steps end at multiples of their length, for which the page
    cache has pages of that length: 8 % for 500 MB.

    What other processes may write to goes by way of ``room``: the file would not agree with its checksum, were it changed in between, and
    be found damaged when it is needed. For all arrays that is too dear (10 %).
    """
    state, start = xxhash.xxh3_64(), 0
    while start < len(block):
        step = block[start : start + _format.STEP - sink.position % _format.STEP]
        start += len(step)
        if room is not None:
            room[: len(step)] = step
            step = room[: len(step)]
        state.update(step)
        sink.write(step)
    return state.digest()


def _size(position: int, pieces: Sequence[Any]) -> int:
    """How many bytes buffers that are not compressed take."""
    begin = position
    for piece in pieces:
        position += _format.padding(position, piece.length) + piece.length
    return position - begin


class _Whole:
    """A pickle that is there as a whole before it is written: the length comes first. Long bytes are not copied for that."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[Any] = []

    def write(self, data: Any) -> None:
        """The next bytes."""
        self._parts.append(data)

    def restart(self) -> None:
        """They were not right."""
        self._parts.clear()

    def end(self, compress: Compress | None, codec: int, count: int) -> None:
        """There are no more; ``count`` buffers will follow."""
        parts, length, checksum = self._parts, sum(map(len, self._parts)), _format.Sum()
        for part in parts:
            checksum.update(part)
        if compress is not None:
            parts = list(_codecs.packed(compress, _in_blocks(parts)))
        self._sink.write(_format.Header(codec, sum(map(len, parts)), length, checksum.result(), count).to_bytes())
        for part in parts:
            self._sink.write(part)
        self._parts = []

    def patch(self) -> None:
        """All is written."""


class _Directly(_Whole):
    """A pickle that goes where it belongs while it is made; the beginning of the file is written at the end."""

    _sink: Descriptor

    def __init__(self, sink: Descriptor) -> None:
        super().__init__(sink)
        self.restart()

    def restart(self) -> None:
        self._sink.restart()
        self._sink.write(bytes(_format.HEADER_SIZE))
        self._checksum = _format.Sum()

    def write(self, data: Any) -> None:
        self._checksum.update(data)
        self._sink.write(data)

    def end(self, compress: Compress | None, codec: int, count: int) -> None:
        length = self._sink.position - _format.HEADER_SIZE
        self._header = _format.Header(codec, length, length, self._checksum.result(), count)

    def patch(self) -> None:
        self._sink.patch(self._header.to_bytes())


def _in_blocks(parts: Sequence[Any]) -> Any:
    """The same bytes, in blocks."""
    rest = bytearray()
    for part in parts:
        view = memoryview(part).cast("B")
        while len(view):
            taken = _format.PACKED - len(rest)
            rest += view[:taken]
            view = view[taken:]
            if len(rest) == _format.PACKED:
                yield bytes(rest)
                rest.clear()
    if rest:
        yield bytes(rest)
