"""What is known of a stored result, as joblib's callbacks get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyhands.memory._entry import Meta


def as_joblib_has_it(meta: Meta | dict[str, Any]) -> dict[str, Any]:
    """``duration`` in seconds, ``time`` since 1970, ``input_args`` as texts by name; and ``function``."""
    if isinstance(meta, dict):  # of a store of joblib's
        return meta
    return {"duration": meta.seconds, "time": meta.time, "input_args": dict(meta.arguments), "function": meta.function}
