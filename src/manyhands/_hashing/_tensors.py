"""Tensors of torch: by type, shape, device and elements."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manyhands._hashing import _arrays
from manyhands._hashing._refusals import Refused
from manyhands._hashing._terms import ORDERED, Node, fresh

if TYPE_CHECKING:
    from manyhands._hashing._walk import Made, Walk


def tensor(walk: Walk, value: Any) -> Made:
    """A tensor, and a parameter of a model. What it has been computed from does not count."""
    header = (b"tensor", *walk.codes.of_class(type(value)), str(value.dtype), value.device.type, bool(value.requires_grad))
    layout = str(value.layout)
    plain = value.detach()
    if layout == "torch.sparse_coo":
        plain = plain.coalesce()
        return Node(ORDERED, (*header, layout), (*value.shape, fresh(plain.indices()), fresh(plain.values())))
    if layout != "torch.strided" or value.is_quantized:
        msg = f"it is {'quantized' if value.is_quantized else layout}"
        raise Refused(msg, "pass a dense tensor, or the parts that it is made of")
    data = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(sys.modules["torch"].uint8).numpy()
    return walk.flat(ORDERED, header, [*value.shape, _arrays.data_digest(walk, data)])
