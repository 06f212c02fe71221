"""What joblib itself has under the names that manyhands may be in the place of.

There pickle finds what was imported before: in this process, and in joblib's own workers, where nothing is in joblib's place.
"""

from __future__ import annotations

from manyhands.compat import installing


def __getattr__(name: str) -> object:
    value: object = None if name.startswith("__") else installing.before("joblib", name)
    if value is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return value
