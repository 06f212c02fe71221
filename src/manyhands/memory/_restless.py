"""Functions that change what they read: to the store, each of their calls is another one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from manyhands._core.user_line import stacklevel
from manyhands.errors import StoreWarning
from manyhands.memory import _why

if TYPE_CHECKING:
    from collections.abc import Mapping

    from manyhands.memory._function_key import FunctionKey

# What is set up by the first call is a change, too, and the last one.
_TELLING = 2


class Restless:
    """Watches whether a function is the same after its calls; says once that it is not."""

    __slots__ = ("_changes", "_code")

    def __init__(self, code: FunctionKey) -> None:
        self._code = code
        self._changes = 0

    def look(self, digest: bytes, parts: Mapping[str, bytes]) -> None:
        """After a call. ``digest`` and ``parts``: what the function was before it."""
        if self._changes >= _TELLING or self._code.digest() == digest:
            return
        self._changes += 1
        if self._changes == _TELLING:
            now = self._code.parts()
            differences = "; ".join(_why.differences({label: parts[label] for label in parts if not label.startswith("argument ")}, now))
            warnings.warn(
                f"{self._code.name} changes what it reads while it runs ({differences}): its next call is another one, and is not found in "
                "the store. If that is a memo, functools.cache is one whose contents do not count",
                StoreWarning,
                stacklevel=stacklevel(),
            )
