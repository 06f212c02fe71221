"""``dump`` and ``load`` with joblib's signatures. Files are manyhands' own (joblib cannot read them); those that joblib wrote are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._files import _compressors, _dumping, _joblib_files, _loading
from manyhands.compat import installing

if TYPE_CHECKING:
    from manyhands._files._reading import Contents

__all__ = ["dump", "load", "register_compressor"]


def dump(value: object, filename: Any, compress: Any = 0, protocol: int | None = None) -> list[str] | None:
    """As :func:`manyhands.dump`.

    Raises:
        As :func:`manyhands.dump`.
    """
    _take_compressors_over()
    return _dumping.dump(value, filename, compress, protocol)


def load(filename: Any, mmap_mode: str | None = None, ensure_native_byte_order: bool | str = "auto") -> Any:
    """As :func:`manyhands.load`, but arrays that are mapped are ``numpy.memmap``, and others have this machine's byte order.

    Args:
        ensure_native_byte_order: False leaves the byte order as it was stored; by default that is so where ``mmap_mode`` is given.

    Raises:
        ValueError: ``ensure_native_byte_order`` and ``mmap_mode`` are both asked for.
    """
    native = mmap_mode is None if ensure_native_byte_order == "auto" else bool(ensure_native_byte_order)
    if native and mmap_mode is not None:
        msg = f"Native byte ordering can only be enforced if 'mmap_mode' parameter is set to None, but got 'mmap_mode={mmap_mode}' instead."
        raise ValueError(msg)
    _take_compressors_over()

    def ours(contents: Contents, loading: _loading.Loading) -> Any:
        return contents.value(_Arrays(contents, loading.mmap_mode, native=native).make)

    def others(file: Any, name: str, begin: bytes) -> Any:
        return _joblib_files.load(file, name, loading.mmap_mode, native_byte_order=native, begin=begin)

    loading = _loading.Loading(mmap_mode, ours, others)
    return loading.path_or_object(filename)


def register_compressor(compressor_name: str, compressor: Any, force: bool = False) -> None:
    """As joblib's; joblib itself, which goes on to write the files of what was made before it was replaced, knows it then as well.

    Args:
        compressor_name: what is given as ``compress=``.
        compressor: a ``CompressorWrapper``, of joblib's or ours.
        force: take the place of one that has the name already.

    Raises:
        ValueError: the name is no string or taken, or the compressor lacks something.
    """
    _take_compressors_over()
    _compressors.register_compressor(compressor_name, compressor, force)
    _theirs()[compressor_name] = compressor


class _Arrays:
    """Makes the arrays of a file."""

    def __init__(self, contents: Contents, mmap_mode: str | None, *, native: bool) -> None:
        self._contents = contents
        self._mode: Any = mmap_mode if contents.is_mapped else None
        self._native = native

    def make(self, number: int, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
        """One of them."""
        contents = self._contents
        row = contents.rows[number]
        if self._mode is not None and row.length and not row.codec:
            import numpy as np  # noqa: PLC0415 - there is an array of it

            return np.memmap(contents.source.name, dtype, self._mode, contents.offsets[number], shape, order)
        array = contents.array(number, dtype, shape, order)
        return array.astype(dtype.newbyteorder("=")) if self._native and not dtype.isnative else array


def _take_compressors_over() -> None:
    """Those that were registered with joblib itself."""
    for name, compressor in _theirs().items():
        if name not in _compressors.METHODS:
            _compressors.register_compressor(name, compressor)


def _theirs() -> dict[str, Any]:
    return getattr(installing.loaded("joblib.compressor"), "_COMPRESSORS", {})
