"""In which files lines are counted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LIBRARY = os.path.dirname(os.__file__) + os.sep
OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_INSTALLED = re.compile(r"[\\/]((site|dist)-packages|lib[\\/]python3[.]\d+)[\\/]")  # the latter: another Python's library
_TYPED_IN = ("<stdin>", "<ipython-input", "<python-input", "<doctest")


def is_own(path: str) -> bool:
    """Whether a file is the program's own: not the standard library's, not an installed package's, not of manyhands.

    What has no file is not, unless somebody has typed it in: named tuples and data classes are made of such code.
    """
    if path.startswith("<"):
        return path.startswith(_TYPED_IN)
    return not path.startswith((_LIBRARY, OURS)) and not _INSTALLED.search(path)


def chooser(asked: Mapping[str, Any] | Sequence[str] | Callable[[str], object] | None) -> Callable[[str], bool]:
    """What tells for a file whether its lines are counted; each is asked about once by :class:`Chosen`.

    ``asked``: a function of the path; or, as an observer says it, ``{"all": true}``, ``{"contains": [texts]}`` of the path, ``{"regex":
    pattern}`` of what is in the file, any of these with ``"also": [paths]``; None or nothing: the program's own.

    Raises:
        re.error: the pattern is none.
    """
    if callable(asked):
        function = asked
        return lambda path: bool(function(path))
    rule: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {"contains": asked} if asked else {}
    also = frozenset(rule.get("also", ()))
    choose = _rule(rule)
    return lambda path: path in also or choose(path)


def _rule(asked: Mapping[str, Any]) -> Callable[[str], bool]:
    if asked.get("all"):
        return lambda path: not path.startswith(OURS)
    if "contains" in asked:
        texts = [str(text) for text in asked["contains"]]
        return lambda path: any(text in path for text in texts)
    if "regex" in asked:
        pattern = re.compile(asked["regex"])
        return lambda path: has_text(path, pattern)
    return is_own


def has_text(path: str, pattern: re.Pattern[str]) -> bool:
    """Whether a pattern is found in what is in a file; not in one that cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return bool(pattern.search(file.read()))
    except (OSError, ValueError):
        return False


class Chosen:
    """Remembers what was said of each file. A file that cannot be decided about is left out."""

    def __init__(self, choose: Callable[[str], bool]) -> None:
        self._choose = choose
        self._known: dict[str, bool] = {}

    def __contains__(self, path: object) -> bool:
        known = self._known.get(path)  # type: ignore[call-overload]
        return self._decide(str(path)) if known is None else known

    def _decide(self, path: str) -> bool:
        try:
            chosen = self._choose(path)
        except Exception:  # noqa: BLE001 - it is the user's function, and watching ends nothing
            chosen = False
        self._known[path] = chosen
        return chosen
