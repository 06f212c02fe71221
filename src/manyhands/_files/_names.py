"""Which classes and functions a pickle names, read off its bytes while they are written: a pickler that asks is several times as slow.

It is a hint, for versions of packages and for messages: a name that is cut in two, or comes from the memo, is missed.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

_GLOBAL = b"\x94\x93"  # MEMOIZE, STACK_GLOBAL
_LONGEST = 400
_FRAME = 1 << 18  # what is longer is a text or bytes of the object


class Names:
    """What has been found. ``modules``: the names of modules."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()

    def note(self, data: Any) -> None:
        """Look at the next bytes of a pickle."""
        if len(data) > _FRAME:
            return
        raw = data if isinstance(data, bytes) else bytes(data)
        at = raw.find(_GLOBAL)
        while at >= 0:
            self._look(raw[max(at - _LONGEST, 0) : at + 2])
            at = raw.find(_GLOBAL, at + 2)

    def _look(self, before: bytes) -> None:
        parts = before[:-2].split(b"\x8c")
        if len(parts) < 3:
            return
        module, name = (_text(part) for part in (parts[-2], parts[-1] + b"\x94"))
        if module and name:
            self.found.add((module, name))

    @property
    def modules(self) -> set[str]:
        """The names of modules."""
        return {module for module, _ in self.found}

    def functions_of_main(self) -> bool:
        """Whether there are functions among them that only this program has."""
        main = sys.modules.get("__main__")
        return any(module == "__main__" and isinstance(getattr(main, name, None), FunctionType) for module, name in self.found)


def _text(part: bytes) -> str:
    """What stands between its length and MEMOIZE."""
    length = part[0] if part else 0
    if len(part) != length + 2 or part[-1:] != b"\x94":
        return ""
    try:
        return part[1 : 1 + length].decode()
    except UnicodeDecodeError:
        return ""
