"""Arrays in joblib's files: each stands in the pickle as a wrapper that says where its data are, and is put there in its stead.

=========================  ==========  ==============================================================================================
wrapper                    of joblib   data
=========================  ==========  ==============================================================================================
``NumpyArrayWrapper``      from 0.10   follow in the same file; from 1.2 on behind a byte with a count of bytes to be skipped, so that
                                       they are aligned; those of arrays with objects are a pickle of their own
``NDArrayWrapper``         to 0.9      in a ``.npy`` file beside it
``ZNDArrayWrapper``        to 0.9.3    in a ``.npy.z`` file beside it, compressed
=========================  ==========  ==============================================================================================
"""

from __future__ import annotations

import math
import os
import sys
import warnings
import zlib
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from manyhands._core.user_line import stacklevel
from manyhands._files._compressors import ZLIB_FILE_PREFIX
from manyhands._files._exact_stream import ExactStream
from manyhands.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Array = np.ndarray[Any, Any]

# What joblib aligns to from 1.2 on. Arrays of older files lie where they lie.
_ALIGNMENT = 16

_LENGTH_DIGITS = len(hex(2**64))  # of the length of what is compressed, behind the first bytes of an old compressed file


class Context(NamedTuple):
    """How the arrays of a file are to be read."""

    filename: str  # empty if the file has no name
    mmap_mode: Any  # that of numpy.memmap, but never one that empties the file; or None
    native: bool  # the byte order of this machine is wanted
    notices: list[str]  # what is to be said about them, once the file is read


class Wrapper:
    """What stands in a pickle in place of an array. Its state is that of joblib's class of the name."""

    is_old = False  # of joblib before 0.10

    def array(self, context: Context, stream: ExactStream, load_pickle: Callable[[ExactStream], Any]) -> Any:
        """The array. ``load_pickle`` loads one more pickle, with the names of this one."""
        raise NotImplementedError


class NumpyArrayWrapper(Wrapper):
    """Data in the same file, where it is read now."""

    subclass: Any
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    allow_mmap: bool
    numpy_array_alignment_bytes: int | None = None

    def array(self, context: Context, stream: ExactStream, load_pickle: Callable[[ExactStream], Any]) -> Any:
        array: Array
        if self.dtype.hasobject:
            array = load_pickle(stream)
        else:
            aligned = self.numpy_array_alignment_bytes is not None
            if aligned:
                [padding] = stream.read(1)
                stream.read(padding)
            if context.mmap_mode is not None and self.allow_mmap and self._size():
                array = self._mapped(context, stream, aligned)
            else:
                array = self._read(stream)
        return _as_subclass(_native(array) if context.native else array, self.subclass)

    def _size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def _read(self, stream: ExactStream) -> Array:
        import numpy as np  # noqa: PLC0415 # only for files with arrays

        flat = np.empty(math.prod(self.shape), dtype=self.dtype)
        if flat.nbytes:
            stream.readinto(flat.view(np.uint8).data)
        return flat.reshape(self.shape[::-1]).T if self.order == "F" else flat.reshape(self.shape)

    def _mapped(self, context: Context, stream: ExactStream, aligned: bool) -> Array:
        import numpy as np  # noqa: PLC0415 # only for files with arrays

        offset = stream.tell()
        end = offset + self._size()
        file = stream.file_at(offset)
        available = os.fstat(file.fileno()).st_size
        if available < end:  # a map for writing would make the file longer
            raise stream.cut_off(end - available)
        mode = context.mmap_mode
        if mode in {"r", "c"}:
            array = np.memmap(file, self.dtype, mode, offset, self.shape, self.order)  # type: ignore[call-overload]
        else:
            with _same_file(context.filename, file) as to_write:
                array = np.memmap(to_write, self.dtype, mode, offset, self.shape, self.order)  # type: ignore[call-overload]
        stream.file_at(end)
        if not aligned and offset % _ALIGNMENT:
            context.notices.append(
                f"The memmapped array at byte {offset} of the file {context.filename} does not begin at a multiple of {_ALIGNMENT} bytes, "
                "which may cause a segmentation fault in libraries that rely on it (BLAS, PyTorch). A file that is written anew has all "
                "its arrays aligned."
            )
        return array  # type: ignore[no-any-return]


class NDArrayWrapper(Wrapper):
    """Data in a file of numpy's beside this one."""

    is_old = True
    filename: str
    subclass: Any
    allow_mmap = True

    def array(self, context: Context, stream: ExactStream, load_pickle: Callable[[ExactStream], Any]) -> Any:
        import numpy as np  # noqa: PLC0415 # only for files with arrays

        mmap_mode = context.mmap_mode if self.allow_mmap else None
        path = _beside(context, self.filename)
        try:
            array = np.load(path, mmap_mode=mmap_mode)
        except (ValueError, EOFError) as error:
            if not _holds_objects(path):
                raise StoreCorrupt(path, "its array", str(error)) from error
            array = self._objects(path, load_pickle)
        return _as_subclass(_native(array) if mmap_mode is None else array, self.subclass)

    def _objects(self, path: str, load_pickle: Callable[[ExactStream], Any]) -> Array:
        with open(path, "rb") as file:
            _read_header(file)
            return load_pickle(ExactStream(file, path, compressed=False))  # type: ignore[no-any-return]


class ZNDArrayWrapper(Wrapper):
    """Data in a compressed file beside this one."""

    is_old = True
    filename: str
    init_args: tuple[Any, ...]
    state: tuple[Any, ...]

    def array(self, context: Context, stream: ExactStream, load_pickle: Callable[[ExactStream], Any]) -> Any:
        import numpy as np  # noqa: PLC0415 # only for files with arrays

        path = _beside(context, self.filename)
        with open(path, "rb") as file:
            data = read_zlib_file(file, path)
        kind = self.init_args[0]
        array: Array = np.ndarray.__new__(kind, (0,), "b")
        array.__setstate__((*self.state, data))
        return _native(array)


WRAPPERS: dict[str, type[Wrapper]] = {kind.__name__: kind for kind in (NumpyArrayWrapper, NDArrayWrapper, ZNDArrayWrapper)}


def _beside(context: Context, name: str) -> str:
    path = os.path.join(os.path.dirname(context.filename), name)
    if not os.path.exists(path):
        msg = f"{path} is missing: an array of {context.filename} is in it; files that joblib wrote before 0.10 must stay together"
        raise FileNotFoundError(msg)
    return path


def _same_file(filename: str, file: IO[bytes]) -> IO[bytes]:
    """The file once more, for writing, unless another has taken its name since."""
    again = open(filename, "r+b")  # noqa: SIM115 # closed by the caller
    if not os.path.samestat(os.fstat(again.fileno()), os.fstat(file.fileno())):
        again.close()
        msg = f"{filename} was replaced by another file while it was read; load it again"
        raise RuntimeError(msg)
    return again


def _read_header(file: IO[bytes]) -> np.dtype[Any]:
    """The type of the array in a file of numpy's."""
    from numpy.lib import format as npy  # noqa: PLC0415 # only for such arrays

    version = npy.read_magic(file)
    header = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    return header[2]


def _holds_objects(path: str) -> bool:
    with open(path, "rb") as file:
        try:
            return _read_header(file).hasobject
        except ValueError:
            return False


def read_zlib_file(file: IO[bytes], name: str) -> bytes:
    """All that is in a compressed file of joblib's before 0.9.4: the length and the data, in one piece."""
    file.read(len(ZLIB_FILE_PREFIX))
    length_text = file.read(_LENGTH_DIGITS)
    compressed = file.read().removeprefix(b" ")  # Python 2 had one digit more; no zlib data begin with a space
    try:
        length = int(length_text, 16)
        data = zlib.decompress(compressed, bufsize=min(length, sys.maxsize))
    except (ValueError, zlib.error, MemoryError) as error:
        raise StoreCorrupt(name, "its compressed data", str(error)) from error
    if len(data) != length:
        raise StoreCorrupt(name, "its compressed data", f"there are {len(data)} bytes where there must be {length}")
    return data


def _native(array: Array) -> Array:
    """The same values in the byte order of this machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _as_subclass(array: Any, kind: Any) -> Any:
    """An array of the class that it was of, but for maps of files: those are of this call alone."""
    import numpy as np  # noqa: PLC0415 # only for files with arrays

    if kind is np.ndarray or kind is np.memmap or not (isinstance(kind, type) and issubclass(kind, np.ndarray)):
        return array
    return array.view(kind)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn, with the line that has called this package."""
    warnings.warn(text, category, stacklevel=stacklevel("pickle"))
