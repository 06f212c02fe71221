"""Arrays that nobody can write to, so that whether they have changed need not be looked at.

Not those whose flag says so, and no more: the array behind a view may be writable, so may be a view that was made before the flag was
cleared, and the flag can be set back, and cleared again. But a view that ``manyhands.readonly`` has made, and of which nothing else is left
than that view, can be *sealed*: the array behind it is marked as well, which only that view leads to, and numpy refuses to set back
the flag of the view. And what is made of ``bytes`` cannot change at all.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any


class _Noted:
    __slots__ = ("sealed", "view")

    def __init__(self, view: weakref.ref[Any]) -> None:
        self.view = view
        self.sealed = False


_noted: dict[int, _Noted] = {}  # by the id of the array behind the view, which that keeps


def note(view: Any) -> None:
    """Remember a view that is not writable, and is to stay so."""
    if not _is_of_an_owner(view):
        return
    key = id(view.base)

    def forget(gone: object) -> None:
        noted = _noted.get(key)
        if noted is not None and noted.view is gone:
            _noted.pop(key, None)

    _noted[key] = _Noted(weakref.ref(view, forget))


def seal(shown: Any) -> bool:
    """Whether nobody can write to an array any more; what can be done about that is done. ``shown``: it, or pickle's view of all of it."""
    if _is_of_bytes(shown):
        return True
    noted = _noted.get(id(shown.base)) if type(shown) is _array_type() else None
    view = None if noted is None else noted.view()
    if noted is None or view is None or view.base is not shown.base or view.flags.writeable or shown.flags.writeable:
        return False
    if not noted.sealed:
        # The view's, that of the argument, and that of pickle's view: no name here may refer to the array.
        if sys.getrefcount(view.base) != (2 if shown is view else 3):
            return False
        view.base.flags.writeable = False
        noted.sealed = True
    return not view.base.flags.writeable


def _is_of_an_owner(view: Any) -> bool:
    array = _array_type()
    return type(view) is array and type(view.base) is array and bool(view.base.flags.owndata)


def _is_of_bytes(shown: Any) -> bool:
    array = _array_type()
    while type(shown) is array:
        shown = shown.base
        if type(shown) is bytes:
            return True
    return False


def _array_type() -> Any:
    return getattr(sys.modules.get("numpy"), "ndarray", None)  # which another thread may be loading just now
