"""Arrays that several processes have in common, and arrays that tasks may not write to."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from manyhands._codec import _sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from manyhands.sharing._arrays import SharedArray


def shared_array(shape: int | Sequence[int], dtype: Any = float) -> SharedArray:
    """An array of zeros that all processes to which it is sent see and write to, without any copy.

    Example:
        >>> import manyhands
        >>> sums = manyhands.shared_array(4)
        >>> def work(i):
        ...     sums[i] = i * i
        >>> manyhands.map(work, range(4))
        [None, None, None, None]
        >>> sums.tolist()
        [0.0, 1.0, 4.0, 9.0]

    Args:
        shape: its length, or its lengths.
        dtype: anything that ``numpy.dtype`` takes but objects.

    Returns:
        A :class:`~manyhands.sharing._arrays.SharedArray`, a ``numpy.ndarray``. Send it as an argument, use it in a function that you send,
        return it: it is the same memory everywhere.

    **Promises.** Each process writes to the very memory of the others; there is no order between two that write to one element at
    the same time, so give each task a part of its own, or hold ``array.lock`` meanwhile::

        with array.lock:
            array[0] += 1

    The memory is there from the start (no task is killed because it runs out later), has no name, and is gone when the last process
    lets go of it, however that ends. It costs one descriptor in each process. Linux only.

    Raises:
        ValueError: a length is negative, or the dtype holds objects.
        TypeError: ``shape`` or ``dtype`` is none.
        MemoryError: there is not so much memory.
    """
    import numpy as np  # noqa: PLC0415 - who uses no arrays need not have it

    from manyhands.sharing import _arrays, _pieces  # noqa: PLC0415 - as above

    lengths = _lengths(shape)
    kind = np.dtype(dtype)
    if kind.hasobject:
        msg = f"dtype is {kind}: objects live in one process; a shared array holds numbers, text of fixed length, or records of them"
        raise ValueError(msg)
    return _arrays.over(_pieces.new(math.prod(lengths) * kind.itemsize), lengths, kind)


def share_array(array: Any) -> SharedArray:
    """A shared array with what is in ``array`` now; see :func:`shared_array`.

    Example:
        >>> import numpy as np, manyhands
        >>> table = manyhands.share_array(np.arange(6.0).reshape(2, 3))

    Args:
        array: an array, or what ``numpy.asarray`` makes one of. It is copied, and stays as it is.

    Raises:
        ValueError: its dtype holds objects.
        MemoryError: there is not so much memory.
    """
    import numpy as np  # noqa: PLC0415 - as above

    source = np.asarray(array)
    made = shared_array(source.shape, source.dtype)
    made[...] = source
    return made


def readonly(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A view of an array that tasks cannot write to: they get ``ValueError: assignment destination is read-only``.

    Arrays arrive writable, each task's a copy of its own; with this, a task that writes to it by mistake is told, instead of changing a
    copy that nobody will see.

    If it is the only one left that leads to the array, as in ``table = manyhands.readonly(table)``, nobody can write to that from the first
    large task on, also not by setting ``flags.writeable`` back; so it is not looked at for each task whether it has changed.

    Example:
        >>> import numpy as np, manyhands
        >>> table = np.arange(1_000_000.0)
        >>> manyhands.map(lambda part: part.sum(), [manyhands.readonly(table)])
        [499999500000.0]

    Raises:
        TypeError: it is no ``numpy.ndarray``.
    """
    import numpy as np  # noqa: PLC0415 - as above

    if not isinstance(array, np.ndarray):
        msg = f"array is {type(array).__qualname__}; readonly() takes a numpy.ndarray"
        raise TypeError(msg)
    view = array.view()
    if type(array) is np.ndarray and not (array.flags.c_contiguous or array.flags.f_contiguous):
        from manyhands.sharing import _arrays  # noqa: PLC0415 - who uses no arrays need not have numpy

        view = array.view(_arrays.ReadOnlyPart)
    view.flags.writeable = False
    _sealed.note(view)
    return view


def _lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    try:
        lengths: tuple[int, ...] = (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        try:
            lengths = tuple(map(operator.index, shape))  # type: ignore[arg-type]
        except TypeError:
            msg = f"shape is {shape!r:.60}; it must be a length or a sequence of lengths, like 1000 or (200, 3)"
            raise TypeError(msg) from None
    if any(length < 0 for length in lengths):
        msg = f"shape is {shape!r:.60}; no length may be negative"
        raise ValueError(msg)
    return lengths
