"""A failed task, saved as its worker was sent it: what lies here for sending it again has not been changed by any attempt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _class_references, _packing, _preview
from manyhands._records._container import DESCRIPTOR, PLAIN, SHARED, Buffer, Part
from manyhands._records._facts import Task
from manyhands._records._recorder import Recorder
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._core.tasks import Batch
    from manyhands._engine._calls import Form, Function, PoolCall, Ran
    from manyhands._engine._parcels import Placed
    from manyhands._wire._frames import Bytes

    Encoded = tuple[Bytes | Placed, Sequence[Bytes | Placed]]

# Nobody's task has failed there: there was no worker, or no pool.
_NOT_THEIRS = (errors.CannotStart, errors.PoolClosed, errors.InternalError)


def record(
    piece: Batch,
    error: BaseException,
    ran: Ran | None = None,
    *,
    earlier: Sequence[str] = (),
    initializer: Encoded | None = None,
    is_result: bool = False,
) -> None:
    """Save the one task of ``piece``, which has failed for good with ``error``, in the folder of its call.

    ``initializer``: what its worker has run before; ``is_result``: what it returned could not be read here.
    """
    if isinstance(error, _NOT_THEIRS):
        return
    call: PoolCall = piece.call  # type: ignore[assignment]
    form: Form = piece.form  # type: ignore[assignment]
    if call.recorder is None:
        call.recorder = Recorder(call.policy.record or "")
    item = piece.items[0]
    task = Task(
        name=form.name(item),
        call=form.title(item),
        number=piece.first,
        attempt=piece.attempt,
        place=form.function.place,
        worker=None if ran is None else ran[0],
        seconds=None if ran is None else ran[2] / 1e9,
        earlier=tuple(earlier),
        is_result=is_result,
    )
    call.recorder(task, error, partial(_parts, form, item, initializer))


def _parts(form: Form, item: Any, initializer: Encoded | None) -> list[Part]:
    function: Function = form.function
    parts = [] if initializer is None else [_part("initializer", *initializer)]
    parts.append(_part("function", function.payload, function.buffers))
    shape = "call" if form.flags & _frames.KEYWORDS else "arguments" if form.flags & _frames.STAR else "argument"
    arguments = Part(shape, _packing.pickle_atoms(item)) if form.flags & _frames.ONE_PICKLE else _part(shape, *item)
    parts.append(arguments)
    keys = _preview.named_classes(arguments.payload, [buffer.data for buffer in arguments.buffers])
    parts += [Part(f"class {key.hex()}", packed) for key, packed in _class_references.described(keys)]
    return parts


def _part(name: str, payload: Bytes | Placed, buffers: Sequence[Bytes | Placed]) -> Part:
    return Part(name, _shown(payload), [Buffer(_shown(buffer), _kind(buffer)) for buffer in buffers])


def _shown(piece: Any) -> Bytes:
    """Its bytes, without a copy where they are a sender's own."""
    if not hasattr(piece, "lease"):
        return piece  # type: ignore[no-any-return]
    if piece.lease.is_shared_memory or _is_descriptor(piece):
        return bytes(piece)
    return piece.lease.shown()[piece.offset : piece.offset + piece.length]  # type: ignore[no-any-return]


def _kind(piece: Any) -> str:
    if not hasattr(piece, "lease"):
        return PLAIN
    return DESCRIPTOR if _is_descriptor(piece) else SHARED if piece.lease.is_shared_memory else PLAIN


def _is_descriptor(piece: Any) -> bool:
    return hasattr(piece.lease, "is_descriptor")
