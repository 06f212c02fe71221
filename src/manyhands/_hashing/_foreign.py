"""Which module knows the classes of other libraries, and of parts of this one: by name, so that none is imported that is not used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manyhands._hashing._walk import Handler

_PACKAGE = __name__.rpartition(".")[0]
# Package and name of a class, in the order of __mro__: the module that knows it, and the function there.
_KNOWN: dict[tuple[str, str], tuple[str, str]] = {
    ("numpy", "MaskedArray"): ("_arrays", "masked_array"),
    ("numpy", "ndarray"): ("_arrays", "array"),
    ("numpy", "generic"): ("_arrays", "scalar"),
    ("numpy", "dtype"): ("_arrays", "dtype"),
    ("numpy", "ufunc"): ("_arrays", "ufunc"),
    ("scipy", "_spbase"): ("_arrays", "sparse"),
    ("pandas", "DataFrame"): ("_frames", "frame"),
    ("pandas", "Series"): ("_frames", "series"),
    ("pandas", "MultiIndex"): ("_frames", "multi_index"),
    ("pandas", "RangeIndex"): ("_frames", "range_index"),
    ("pandas", "Index"): ("_frames", "index"),
    ("pandas", "ExtensionArray"): ("_frames", "column"),
    ("polars", "DataFrame"): ("_polars", "frame"),
    ("polars", "Series"): ("_polars", "series"),
    ("pyarrow", "Table"): ("_arrow", "table"),
    ("pyarrow", "RecordBatch"): ("_arrow", "table"),
    ("pyarrow", "ChunkedArray"): ("_arrow", "column"),
    ("pyarrow", "Array"): ("_arrow", "column"),
    ("torch", "Tensor"): ("_tensors", "tensor"),
    ("manyhands", "Record"): ("_instances", "record"),
    ("manyhands", "Memory"): ("_remembered", "memory"),
    ("manyhands", "MemorizedFunc"): ("_remembered", "function"),
    ("manyhands", "BoundMemorizedFunc"): ("_remembered", "method"),
    ("manyhands", "NotMemorizedFunc"): ("_remembered", "plain"),
    ("manyhands", "MemorizedResult"): ("_remembered", "result"),
}


def handler_of(cls: type) -> Handler | None:
    """What takes objects of a class of another library apart; None if none of those knows it."""
    for base in cls.__mro__:
        known = _KNOWN.get((str(base.__module__).partition(".")[0], base.__qualname__))
        if known is not None:
            module, name = known
            found: Handler = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)
            return found
    return None
