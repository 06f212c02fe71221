"""Objects of which other processes may use some names only: ``share(obj, expose=[...])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.sharing import _asked

if TYPE_CHECKING:
    from manyhands.sharing._table import Entry

# To be shown, and to be waited for, changes nothing and tells next to nothing.
_ALWAYS = frozenset({"__repr__", "__str__", "__format__"})
_HARMLESS = frozenset({_asked.LOCK, _asked.UNLOCK, _asked.MORE})
# What is asked by a function, and not by a name of the object's.
_FUNCTIONS = {
    _asked.SNAPSHOT: "snapshot()",
    _asked.RUN: "lock.run()",
    _asked.CLOSE: "share.close()",
    _asked.KEEP: "to keep or to name it",
}


def check(entry: Entry, operation: int, name: str, args: tuple[Any, ...]) -> None:
    """Raise ``NotExposed`` if that may not be asked of an object by another process."""
    exposed = entry.exposed
    if operation == _asked.WATCHED:
        operation = args[0]
    if exposed is None or operation in _HARMLESS:
        return
    names = [name]
    if operation == _asked.ITERATE:
        names = ["__iter__"]
    elif operation == _asked.MANY:
        names = [call[0] for call in args[0]]
    elif operation in _FUNCTIONS:
        names = [_FUNCTIONS[operation]]
    for each in names:
        if each not in exposed and each not in _ALWAYS:
            raise errors.NotExposed(each, entry.kind.name, exposed)
