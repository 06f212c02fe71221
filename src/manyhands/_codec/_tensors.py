"""What tensors of torch keep their numbers in: it goes beside the pickle. Torch itself writes it into a pickle of its own."""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from manyhands._codec._pickling import Encoder


class _Shown(np.ndarray[Any, Any]):
    """The bytes of a storage. ``keeper``: whose they are, as long as there is anything of it."""

    keeper: object


def typed_storage(_: Encoder, value: Any) -> Any:
    """For the pickler: a storage with its type, over one that several tensors may have in common."""
    return _typed, (value._untyped_storage, value.dtype)  # noqa: SLF001 - what is public warns


def untyped_storage(_: Encoder, value: Any) -> Any:
    """The storage proper. Not of a graphics card, whose memory is its own."""
    if value.device.type != "cpu":
        return NotImplemented
    torch = sys.modules["torch"]
    shown = torch.empty(0, dtype=torch.uint8).set_(value).numpy().view(_Shown)
    shown.keeper = value
    return _untyped, (pickle.PickleBuffer(shown),)


def _typed(storage: Any, dtype: Any) -> Any:
    torch = importlib.import_module("torch")
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _untyped(data: Any) -> Any:
    torch = importlib.import_module("torch")
    view = memoryview(data)
    return torch.frombuffer(view, dtype=torch.uint8).untyped_storage() if view.nbytes else torch.UntypedStorage(0)
