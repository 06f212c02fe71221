"""What goes between machines: data, and references to shared objects. No byte of it is given to ``pickle`` to load.

It is written as a pickle, since numpy, dates and the rest know how to be written so, and read as files of others are that are loaded as
data (:mod:`manyhands._files._safe`): nothing in it can name anything to be imported or called. References are small tuples, which both
sides look up in what they have told each other of.
"""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._files import _safe, _safe_makers
from manyhands.sharing._values import is_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    Refer = Callable[[Any], tuple[Any, ...] | None]
    Resolve = Callable[[tuple[Any, ...]], Any]

_MEND = "send what it consists of (numbers, text, containers, arrays), or register it if it is a dataclass (persistence.register_data)"


class _Encoder(pickle.Pickler):
    """Writes data; what a reader would refuse is refused here."""

    def __init__(self, file: io.BytesIO, refer: Refer) -> None:
        super().__init__(file, 5)
        self._refer = refer

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        return self._refer(obj)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if is_in_memory(obj) and hasattr(obj, "dtype"):
            import numpy as np  # noqa: PLC0415 - it is an array

            return np.asarray(obj).__reduce_ex__(5)
        named = obj if callable(obj) and hasattr(obj, "__qualname__") else kind
        if _safe_makers.find(named.__module__ or "", named.__qualname__) is None and not self._is_of_numpy(obj):
            name = f"{named.__module__}.{named.__qualname__}"
            raise errors.NotSerializable(
                "what goes to another machine", [errors.Part(name, name, "it is not among what data consist of", _MEND)]
            )
        return NotImplemented

    @staticmethod
    def _is_of_numpy(obj: Any) -> bool:
        """Numbers and dtypes, whose classes are not named in a pickle; and what they are made by, which is looked for when it is read."""
        module = getattr(obj, "__module__", None) or type(obj).__module__
        return str(module).partition(".")[0] == "numpy"


def encode(value: Any, refer: Refer) -> bytes:
    """Data as bytes; ``refer`` tells what goes by reference, and what a reference says.

    Raises:
        NotSerializable: some of it is no data.
    """
    file = io.BytesIO()
    try:
        _Encoder(file, refer).dump(value)
    except errors.NotSerializable:
        raise
    except Exception as error:
        name = type(value).__name__
        part = errors.Part(name, name, f"{type(error).__name__}: {error}", _MEND)
        raise errors.NotSerializable("what goes to another machine", [part]) from error
    return file.getvalue()


class _Machine(_safe.Machine):
    def __init__(self, payload: bytes | bytearray | memoryview, resolve: Resolve) -> None:
        contents: Any = SimpleNamespace(payload=payload, of_pickle=lambda: iter(()), source=SimpleNamespace(name="a message"), rows=())
        super().__init__(contents)
        self._resolve = resolve

    def operation(self, name: str) -> Any:
        return _Machine._referred if name == "BINPERSID" else super().operation(name)

    def _referred(self, _: object) -> None:
        said = self.stack.pop()
        if type(said) is not tuple or not all(type(part) in {int, str, bytes} for part in said):
            raise ValueError("a reference of something else")
        self.stack.append(self._resolve(said))


def decode(payload: bytes | bytearray | memoryview, resolve: Resolve) -> Any:
    """The data behind :func:`encode`.

    Raises:
        ShareRefused: they are no data, or refer to what this side has not been told of.
    """
    try:
        return _safe.carried_out(_Machine(payload, resolve), "a message")
    except errors.ShareRefused:
        raise
    except (errors.ManyhandsError, RecursionError) as error:
        reason = f"{error.name} is not among what data consist of" if isinstance(error, errors.NotData) else str(error)
        raise errors.ShareRefused(f"a message of another machine was refused: {reason}") from None
