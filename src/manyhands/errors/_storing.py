"""Errors of results that are remembered, and of files with objects in them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from manyhands.errors import ManyhandsError, NotSerializable, _lines, _rebuild

if TYPE_CHECKING:
    from manyhands.errors import Part

_SHOWN = 16
_READERS = {
    b"\x93NUMPY": "numpy.load()",
    b"PK\x03\x04": "zipfile, or numpy.load() (.npz), or torch.load()",
    b"\x89HDF": "h5py, or pandas.read_hdf()",
    b"PAR1": "pandas.read_parquet()",
    b"ARROW1": "pyarrow.feather.read_table()",
    b"SQLite format 3": "sqlite3",
    b"{": "json.load()",
}
_REGISTER = (
    "if it is a dataclass of yours that holds data, register it (manyhands.persistence.register_data); if you trust whoever wrote the "
    "file, load it without safe=True"
)


class NotStored(ManyhandsError):
    """A result was computed, and cannot be kept: the disk is full, or it cannot be pickled.

    Attributes:
        result: what was computed. In another process than that in which it was: None.
    """

    def __init__(self, function: str, why: BaseException, result: object) -> None:
        self.result = result
        said = str(why) if isinstance(why, NotStorable) else f"the result of {function}() cannot be stored: {type(why).__name__}: {why}"
        super().__init__(
            f"{said}\nIt is in this error, as .result. With Memory(on_not_stored='warn'), it is returned, and this is a warning."
        )

    def __reduce__(self) -> tuple[object, ...]:
        # The result is one that may well not be able to travel.
        return _rebuild, (type(self), self.args, {"result": None})


class NotStorable(NotSerializable):
    """A result cannot be remembered: a part of it cannot be pickled. Nothing of it has been stored.

    Attributes: those of :class:`NotSerializable`.
    """

    def __init__(self, function: str, parts: list[Part], more: str = "") -> None:
        super().__init__(f"the result of {function}()", parts, more)
        self.args = ("\n".join([f"the result of {function}() cannot be stored:", *(f"  {line}" for line in _lines(parts))]),)


class StoreRefused(ManyhandsError, PermissionError):
    """A folder of results is not loaded from, since others may have written to it.

    Attributes:
        path: the folder, or the entry.
    """

    def __init__(self, path: str, why: str, mend: str) -> None:
        self.path = path
        super().__init__(f"{path} is not used: {why}. To mend it: {mend}.")


class StoreWarning(UserWarning):
    """Something is computed again that could be stored: a damaged result; a function that changes what it reads. Said once."""


class StoreCorrupt(ManyhandsError, pickle.UnpicklingError, EOFError, ValueError):
    """A file cannot be read because it is damaged: cut off, overwritten; or (:class:`UnknownFormat`) none of those that are read here.

    Attributes:
        path: the file; empty if it has no name.
        part: what of it cannot be read.
    """

    def __init__(self, path: str, part: str, reason: str, mend: str = "write the file again, or take it from a copy") -> None:
        self.path = path
        self.part = part
        super().__init__(f"{path or 'the file'} is damaged: {part}: {reason}. To mend it: {mend}.")


class UnknownFormat(StoreCorrupt):
    """A file is none of those that are read here, by its first bytes.

    Attributes:
        path: the file; empty if it has no name.
    """

    def __init__(self, path: str, begin: bytes) -> None:
        super().__init__(path, "its beginning", "")
        reader = next((reader for first, reader in _READERS.items() if begin.startswith(first)), "")
        mend = f"it looks like one for {reader}" if reader else "give another path, or read it with what has written it"
        self.args = (
            f"{path or 'the file'} is no file of manyhands.dump(), of joblib.dump() or of pickle, as far as its beginning tells "
            f"({begin[:_SHOWN]!r}). To mend it: {mend}.",
        )


class NotData(ManyhandsError, pickle.UnpicklingError):
    """A file that was loaded with ``safe=True`` names something that is no data: a class, or a function to be called.

    Attributes:
        path: the file; empty if it has no name.
        name: ``module.name`` of what it names.
    """

    def __init__(self, path: str, name: str, reason: str = "is not among what data consist of", mend: str = _REGISTER) -> None:
        self.path = path
        self.name = name
        super().__init__(f"{path or 'the file'} was not loaded: {name} {reason}. To mend it: {mend}.")


class CannotReplay(ManyhandsError, RuntimeError):
    """A recorded task cannot be run here: a module of it is not found, the Python is another, or the file is none of those.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str, reason: str, mend: str) -> None:
        self.path = path
        super().__init__(f"{path} cannot be replayed: {reason}. To mend it: {mend}.")


for _error in (CannotReplay, NotStored, NotStorable, StoreRefused, StoreWarning, StoreCorrupt, UnknownFormat, NotData):
    _error.__module__ = "manyhands.errors"  # where users find them
