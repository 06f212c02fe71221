"""What can be said beforehand about modules that workers are to have: whether they exist."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_sought: set[str] = set()


def warn_of_missing(names: Iterable[str], stacklevel: int) -> None:
    """Warn of modules that cannot be found here, once for each: workers begin without them, and nobody else would tell.

    Nothing is imported, so of a dotted name only the first part is looked for.
    """
    for name in names:
        top = name.partition(".")[0]
        if top in sys.modules or top in _sought:
            continue
        _sought.add(top)
        if importlib.util.find_spec(top) is None:
            warnings.warn(f"preload names {name!r}, but there is no module {top!r}; workers begin without it", UserWarning, stacklevel + 1)
