"""Tables and columns of pyarrow: by type and values, however they are divided into chunks, and whatever lies behind missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from manyhands._hashing import _algorithms
from manyhands._hashing._terms import ORDERED, Node, fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._hashing._walk import Made, Walk


def table(_: Walk, value: Any) -> Made:
    """A Table or RecordBatch."""
    header = b"arrow table", type(value).__name__, value.num_rows
    names = fresh(list(value.schema.names))
    nullable = fresh([field.nullable for field in value.schema])
    metadata = fresh([value.schema.metadata, *(field.metadata for field in value.schema)])
    return Node(ORDERED, header, (names, nullable, metadata, *map(fresh, value.columns)))


def column(walk: Walk, value: Any) -> Made:
    """An Array or ChunkedArray."""
    chunks = value.chunks if isinstance(value, pa.ChunkedArray) else [value]
    chunks = [chunk for chunk in chunks if len(chunk)]
    tag = b"arrow chunked" if isinstance(value, pa.ChunkedArray) else b"arrow array"
    return Node(ORDERED, (tag, str(value.type), len(value)), _parts(walk, value.type, chunks))


def _parts(walk: Walk, kind: Any, chunks: list[Any]) -> list[Any]:
    """Which values are missing, and those that are not."""
    if pa.types.is_null(kind):
        return []
    if isinstance(kind, pa.BaseExtensionType):
        return _parts(walk, kind.storage_type, [chunk.storage for chunk in chunks])
    if pa.types.is_dictionary(kind):
        return [bool(kind.ordered), *_parts(walk, kind.value_type, [chunk.dictionary_decode() for chunk in chunks])]
    if pa.types.is_run_end_encoded(kind):
        return _parts(walk, kind.value_type, [pc.run_end_decode(chunk) for chunk in chunks])
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _parts(walk, pa.large_binary(), [chunk.cast(pa.large_binary()) for chunk in chunks])
    if not _is_known(kind):
        return [fresh([value for chunk in chunks for value in chunk.to_pylist()])]
    missing = any(chunk.null_count for chunk in chunks)
    marks = _data(walk, chunks, lambda chunk: _bits(chunk.is_null())) if missing else b""
    there = [chunk.drop_null() if chunk.null_count else chunk for chunk in chunks]
    return [marks, *_values(walk, kind, there)]


def _is_text(kind: Any) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)  # type: ignore[no-any-return]


def _is_fixed(kind: Any) -> bool:
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)  # type: ignore[no-any-return]


def _is_nested(kind: Any) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_struct(kind)  # type: ignore[no-any-return]


def _is_known(kind: Any) -> bool:
    return _is_text(kind) or _is_fixed(kind) or _is_nested(kind)


def _values(walk: Walk, kind: Any, chunks: list[Any]) -> list[Any]:
    """The parts of values of which none is missing."""
    types = pa.types
    if types.is_boolean(kind):
        return [_data(walk, chunks, _bits)]
    if _is_text(kind):
        return [_lengths(walk, chunks, pc.binary_length), _data(walk, chunks, _text)]
    if _is_fixed(kind):
        width = kind.bit_width // 8
        return [_data(walk, chunks, lambda chunk: _slice(chunk.buffers()[1], chunk.offset * width, len(chunk) * width))]
    if types.is_struct(kind):
        fields = [chunk.flatten() for chunk in chunks]
        return [
            Node(ORDERED, (b"field", kind.field(number).name), _parts(walk, kind.field(number).type, [parts[number] for parts in fields]))
            for number in range(kind.num_fields)
        ]
    inner = _parts(walk, kind.value_type, [chunk.flatten() for chunk in chunks])
    return inner if types.is_fixed_size_list(kind) else [_lengths(walk, chunks, pc.list_value_length), *inner]


def _data(walk: Walk, chunks: list[Any], data_of: Callable[[Any], memoryview]) -> bytes:
    if len(chunks) == 1:
        return _algorithms.of_data(walk.algorithm, data_of(chunks[0]))
    pieces = _algorithms.Pieces(walk.algorithm)
    for chunk in chunks:
        pieces.add(data_of(chunk))
    return pieces.digest()


def _lengths(walk: Walk, chunks: list[Any], length: Callable[[Any], Any]) -> bytes:
    def of(chunk: Any) -> memoryview:
        lengths = length(chunk).cast(pa.int64())
        return _slice(lengths.buffers()[1], lengths.offset * 8, len(lengths) * 8)

    return _data(walk, chunks, of)


def _bits(chunk: Any) -> memoryview:
    each = chunk.cast(pa.uint8())
    return _slice(each.buffers()[1], each.offset, len(each))


def _text(chunk: Any) -> memoryview:
    large = pa.types.is_large_string(chunk.type) or pa.types.is_large_binary(chunk.type)
    _, offsets, data = chunk.buffers()
    if data is None or not len(chunk):
        return memoryview(b"")
    ends = memoryview(offsets).cast("q" if large else "i")
    first, last = ends[chunk.offset], ends[chunk.offset + len(chunk)]
    return _slice(data, first, last - first)


def _slice(buffer: Any, start: int, length: int) -> memoryview:
    return memoryview(b"") if buffer is None or not length else memoryview(buffer)[start : start + length]
