"""What was being rebuilt when an object could not be unpickled. Used only after a failure."""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._pickling import Bytes

_LARGEST = 64 << 20


def add_note(error: BaseException, payload: Bytes, buffers: Sequence[Bytes]) -> None:
    """Say on ``error`` which part of the object behind ``payload`` was being rebuilt; it is rebuilt once more for that."""
    if len(payload) > _LARGEST or not isinstance(error, Exception):
        return
    witness = _Witness(bytes(payload), [bytes(buffer) for buffer in buffers])
    try:
        witness.load()
    except Exception as second:  # noqa: BLE001 - that is what is looked for
        if type(second) is type(error) and witness.doing:
            with contextlib.suppress(Exception):  # a class may forbid notes
                error.add_note(f"raised while an object was unpickled: {witness.doing}")


_Unpickler: Any = pickle._Unpickler  # noqa: SLF001 - the one in Python, which can be looked into


class _Witness(_Unpickler):  # type: ignore[misc]
    """Remembers what it does."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, payload: bytes, buffers: list[bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)
        self.doing = ""

    def find_class(self, module: str, name: str) -> Any:
        self.doing = f"{module}.{name} was looked up"
        return super().find_class(module, name)


def _watched(code: bytes, describe: Callable[[_Witness], str]) -> None:
    usual = _Witness.dispatch[code[0]]

    def load(self: _Witness) -> None:
        with contextlib.suppress(Exception):
            self.doing = describe(self)
        usual(self)

    _Witness.dispatch[code[0]] = load


def _name(obj: Any) -> str:
    return f"{getattr(obj, '__module__', '?')}.{getattr(obj, '__qualname__', type(obj).__qualname__)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _state(self: _Witness) -> str:
    return f"the state of {_name(type(self.stack[-2]))} was set ({_short(self.stack[-1])})"


_watched(pickle.REDUCE, lambda self: f"{_name(self.stack[-2])} was called with {_short(self.stack[-1])}")
_watched(pickle.NEWOBJ, lambda self: f"{_name(self.stack[-2])}.__new__ was called with {_short(self.stack[-1])}")
_watched(
    pickle.NEWOBJ_EX, lambda self: f"{_name(self.stack[-3])}.__new__ was called with {_short(self.stack[-2])}, {_short(self.stack[-1])}"
)
_watched(pickle.BUILD, _state)
