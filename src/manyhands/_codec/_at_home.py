"""Results that carry classes by value, decoded where those classes come from."""

from __future__ import annotations

import functools
import io
import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle.cloudpickle as maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands._codec._pickling import Bytes

# Where cloudpickle's constructors of classes have the identity of the class among their arguments.
_IDENTITY = {"_make_skeleton_class": 4, "_make_skeleton_enum": 5}


class HomeUnpickler(pickle.Unpickler):
    """Leaves classes alone that this process knows: it has sent them, or received them before."""

    def __init__(self, payload: Bytes, buffers: Sequence[Bytes]) -> None:
        super().__init__(io.BytesIO(payload), buffers=buffers)
        self._known: list[object] = []

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        found = super().find_class(module, name)
        if module.startswith("cloudpickle"):
            if name in _IDENTITY:
                return functools.partial(self._make, found, _IDENTITY[name])
            if name == "_class_setstate":
                return functools.partial(self._set_state, found)
        return found

    def _make(self, make: Callable[..., object], position: int, *args: object) -> object:
        known = args[position] in maker._DYNAMIC_CLASS_TRACKER_BY_ID  # noqa: SLF001 - it has no public way to ask
        cls = make(*args)
        if known:
            self._known.append(cls)
        return cls

    def _set_state(self, set_state: Callable[..., object], cls: object, state: object) -> object:
        return cls if any(cls is known for known in self._known) else set_state(cls, state)


def decode(payload: Bytes, buffers: Sequence[Bytes]) -> Any:
    """The object behind a payload."""
    return HomeUnpickler(payload, buffers).load()
