"""An object as a pickle, with its arrays beside it.

The C pickler as it is, for it is several times as fast as one that asks about each object; it is told of arrays by its table of classes.
What it cannot do (lambdas, closures, functions of ``__main__``) goes through :mod:`manyhands._codec`, a second time. Classes of
``__main__`` go by name, as everywhere in files: whoever loads the file in the same program wants to get objects of its own class.
"""

from __future__ import annotations

import copyreg
import pickle
import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _kept, _pickling
from manyhands._files import _pieces
from manyhands._files._names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._files._pieces import Piece, Scattered
    from manyhands.errors import NotSerializable

_IN_PICKLE = 1024  # what is smaller of buffers that are no arrays of numpy


class Pickling:
    """One object on its way. ``write`` gets the pickle; ``restart`` is called when it has to be written from the beginning again.

    Attributes:
        pieces: what is beside the pickle.
        names: the classes and functions that it names.
    """

    def __init__(self, write: Callable[[Any], Any], restart: Callable[[], None], protocol: int | None) -> None:
        self.pieces: list[Piece | Scattered] = []
        self.names = Names()
        self._write = write
        self._restart = restart
        self._protocol = _pickling.PROTOCOL if protocol is None else protocol

    def write(self, data: Any) -> int:
        """For the pickler."""
        self.names.note(data)
        self._write(data)
        return len(data)

    def dump(self, value: object) -> None:
        """Pickle it.

        Raises:
            NotSerializable: with the path to the part that cannot be pickled.
        """
        try:
            self._run(pickle.Pickler, value)
            if not self.names.functions_of_main():
                return
        except (OSError, MemoryError, KeyboardInterrupt):
            raise
        except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything; if that is not mended now, it comes again
            pass
        self._again()
        try:
            self._run(_ByValue, value)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            from manyhands._codec import _trace  # noqa: PLC0415 - only after a failure

            refusal = _trace.not_serializable(value, error)
        else:
            return
        raise _worded(refusal)

    def _again(self) -> None:
        self.pieces.clear()
        self.names = Names()
        self._restart()

    def _run(self, kind: Any, value: object) -> None:
        has_buffers = self._protocol >= 5 or self._protocol < 0
        pickler = kind(self, self._protocol, buffer_callback=self._keep if has_buffers else None)
        table = self._table()
        if table:
            pickler.dispatch_table = {**copyreg.dispatch_table, **table}
        pickler.dump(value)

    def _keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether a buffer is to be in the pickle."""
        piece = _pieces.of_buffer(buffer)
        if piece.length < _IN_PICKLE:
            return True
        self.pieces.append(piece)
        return False

    def _table(self) -> dict[Any, Callable[[Any], Any]]:
        table: dict[Any, Callable[[Any], Any]] = {}
        pieces = sys.modules.get("manyhands.sharing._pieces")
        if pieces is not None:
            table[pieces.Piece] = pieces.kept
        numpy = sys.modules.get("numpy")
        if not hasattr(numpy, "ndarray"):
            return table
        assert numpy is not None
        table |= {numpy.ndarray: self._array, numpy.memmap: self._array, numpy.matrix: self._matrix}
        shared = sys.modules.get("manyhands.sharing._arrays")
        if shared is not None:
            table[shared.SharedArray] = self._array
        return table

    def _array(self, array: Any) -> Any:
        if array.dtype.hasobject or not array.dtype.itemsize:
            plain = array if type(array) is _numpy().ndarray else _numpy().asarray(array)
            return plain.__reduce_ex__(min(self._protocol, 4) if self._protocol >= 0 else 4)
        piece, order = _pieces.of_array(array)
        self.pieces.append(piece)
        return stored_array, (len(self.pieces) - 1, array.dtype, array.shape, order)

    def _matrix(self, array: Any) -> Any:
        return view_as, (_numpy().asarray(array), type(array))


class _ByValue(_pickling.Encoder):
    """For what is not found under its name by whoever loads the file."""

    is_kept = True

    def __init__(self, file: Any, protocol: int, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None) -> None:
        pickle.Pickler.__init__(self, file, protocol, buffer_callback=buffer_callback)
        self.file = file
        self._namespaces = {}
        self._modules = {}

    def reducer_override(self, obj: Any) -> Any:
        table = getattr(self, "dispatch_table", ())
        if type(obj) in table and (table is copyreg.dispatch_table or type(obj) not in copyreg.dispatch_table):
            return NotImplemented
        if isinstance(obj, type) and getattr(obj, "__module__", None) == "__main__" and _found_in_main(obj.__qualname__) is obj:
            return NotImplemented
        _kept.check_not_open(obj, "store its path, or what is to be read from it")
        return super().reducer_override(obj)


def _found_in_main(name: str) -> object:
    found: object = sys.modules.get("__main__")
    for step in name.split("."):
        found = getattr(found, step, None)
    return found


def _numpy() -> Any:
    return sys.modules["numpy"]


def _worded(refusal: NotSerializable) -> NotSerializable:
    """The same, said of a file."""
    said = str(refusal).replace("cannot be sent to another process", "cannot be stored in a file")
    refusal.args = (said, *refusal.args[1:])
    return refusal


def stored_array(number: int, _dtype: object, _shape: object, _order: object) -> Any:
    """What pickles of files name where an array is; the unpickler puts its own in the place of this.

    Raises:
        pickle.UnpicklingError: always; the pickle alone does not have it.
    """
    msg = f"array {number} is beside the pickle: manyhands.load() reads both"
    raise pickle.UnpicklingError(msg)


def view_as(array: Any, cls: type) -> Any:
    """An array as one of a subclass."""
    return array.view(cls)
