"""Callbacks that say which stored results are still good."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def expires_after(
    days: float = 0,
    seconds: float = 0,
    microseconds: float = 0,
    milliseconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    weeks: float = 0,
) -> Callable[[Mapping[str, Any]], bool]:
    """A ``cache_validation_callback``: results are computed anew when they are so old. The arguments are those of ``datetime.timedelta``.

    Example:
        >>> import tempfile
        >>> from manyhands import Memory
        >>> from manyhands.memory import expires_after
        >>> @Memory(tempfile.mkdtemp()).cache(cache_validation_callback=expires_after(days=1))
        ... def prices(): ...
    """
    delta = datetime.timedelta(days, seconds, microseconds, milliseconds, minutes, hours, weeks)
    return _Younger(delta.total_seconds())


class _Younger:
    """An object, not a closure: it travels with the function to other processes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, metadata: Mapping[str, Any]) -> bool:
        return time.time() - metadata["time"] < self._seconds  # type: ignore[no-any-return]
