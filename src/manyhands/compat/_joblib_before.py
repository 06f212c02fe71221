"""What ``joblib.parallel`` and ``joblib._parallel_backends`` define, also where manyhands is in their place.

There pickle finds what was imported before: in this process, and in joblib's own workers, where nothing is in joblib's place.
"""

from __future__ import annotations

from manyhands.compat import installing


def __getattr__(name: str) -> object:
    for place in ("joblib.parallel", "joblib._parallel_backends"):
        value = getattr(installing.original(place), name, None)
        if value is not None:
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
