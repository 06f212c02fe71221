"""The bytes of numbers, taken apart before they are compressed: the first bytes of all of them, then the second, and so on.

Numbers that are near one another are alike in their upper bytes only. Side by side, these get far smaller, and are compressed faster.
"""

from __future__ import annotations

import sys
from typing import Any


def apart(block: Any, element: int) -> memoryview:
    """The bytes of elements of that size; what is left over comes last."""
    import numpy as np  # noqa: PLC0415 - there is an array of it

    data = np.frombuffer(block, np.uint8)
    whole = len(data) - len(data) % element
    made = np.empty(len(data), np.uint8)
    made[:whole].reshape(element, -1)[:] = data[:whole].reshape(-1, element).T
    made[whole:] = data[whole:]
    return made.data


def put(data: Any, element: int, view: memoryview) -> None:
    """The inverse, into ``view``. ``element`` is 0 for bytes that were not taken apart."""
    if not element and "numpy" not in sys.modules:
        view[:] = data
        return
    import numpy as np  # noqa: PLC0415 - it copies without the interpreter's lock

    made, stored = np.frombuffer(view, np.uint8), np.frombuffer(data, np.uint8)
    whole = len(made) - len(made) % element if element else 0
    if whole:
        made[:whole].reshape(-1, element)[:] = stored[:whole].reshape(element, -1).T
    made[whole:] = stored[whole:]
