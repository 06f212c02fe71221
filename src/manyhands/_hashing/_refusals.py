"""What has no digest, why, and what to do about it, in words."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from manyhands import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._codec._steps import Way

_SECONDS = 1.0  # that looking for the way to a part may take
_LEAVE_OUT = "keep it out with __getstate__"
_DEFAULT = f"{_LEAVE_OUT}; or have __reduce__ say what it is rebuilt from"
# By class, in the order of __mro__; names, since their modules need not be loaded.
_MENDS = {
    "builtins.generator": "pass the values (a list)",
    "builtins.coroutine": "pass what it is made of",
    "builtins.async_generator": "pass the values (a list)",
    "builtins.frame": "leave it out",
    "builtins.traceback": "leave it out, or pass its text (traceback.format_tb)",
    "builtins.code": "pass the function",
    "_io._IOBase": "pass its path, or what is to be read from it",
    "tempfile._TemporaryFileWrapper": "pass its path, or what is to be read from it",
    "tempfile.SpooledTemporaryFile": "pass what is to be read from it",
    "fileinput.FileInput": "pass the paths",
    "shelve.Shelf": "pass its path, or a dict of what is in it",
    "mmap.mmap": "pass the path of the file, or its bytes",
    "socket.socket": "pass the address, and connect inside the function",
    "_socket.socket": "pass the address, and connect inside the function",
    "sqlite3.Connection": "pass the path of the database, and connect inside the function",
    "sqlite3.Cursor": "pass the rows (cursor.fetchall())",
    "subprocess.Popen": "pass what it has printed",
    "concurrent.futures._base.Future": "pass its result()",
    "manyhands._engine._futures.Future": "pass its result()",
    "re.Match": "pass what it found: match.group(), match.span()",
    "posix.DirEntry": "pass its path",
    "weakref.ReferenceType": "pass what it refers to",
}


class Refused(TypeError):
    """An object has no digest, in words of ours."""

    def __init__(self, reason: str, mend: str = "") -> None:
        super().__init__(reason)
        self.mend = mend


def check_iterator(cls: type) -> None:
    """Refuse iterators and files of Python's own. Some say where they are, but whoever gets one uses it up, which a result that is
    remembered does not. A class of the program's says by its attributes what counts.

    Raises:
        Refused: it is the class of one.
    """
    names = {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}
    if names & _IN_MEMORY:
        return
    if names & _FILES:
        msg = "what has been read from a file is not read again"
        raise Refused(msg)
    if any("__next__" in vars(base) and _is_of_python(base) for base in cls.__mro__):
        msg = "what an iterator has given, it does not give again"
        raise Refused(msg, _mends_of(cls) or "pass the values (a list)")


def _is_of_python(cls: type) -> bool:
    module = cls.__module__
    return module.partition(".")[0] in sys.stdlib_module_names and module not in _ABSTRACT


_IN_MEMORY = frozenset({"_io.BytesIO", "_io.StringIO"})
_FILES = frozenset(
    {"_io._IOBase", "tempfile._TemporaryFileWrapper", "tempfile.SpooledTemporaryFile", "shelve.Shelf", "fileinput.FileInput"}
)
_ABSTRACT = frozenset({"collections.abc", "typing"})


def what_it_is(obj: object) -> str:
    """``a lock``."""
    return errors.a_or_an(type(obj).__name__)


def not_hashable(name: str, value: object, held: Sequence[object], error: Exception) -> errors.NotHashable:
    """The error that names the part of ``value`` to blame; ``held``: what the walk was in the midst of, the innermost last."""
    from manyhands._codec import _advice, _steps  # noqa: PLC0415 - only after a failure

    culprit = next((obj for obj in reversed(held) if obj is not None), value)
    way = _way_to(name, value, held)
    kind = type(culprit)
    mend = getattr(error, "mend", "") or _mend(kind)
    reason = str(error) if isinstance(error, Refused) else _advice.reason(error)
    return errors.NotHashable(errors.Part(_steps.read(way), _steps.type_name(kind), reason, mend, way=way))


def _mend(kind: type) -> str:
    return _mends_of(kind) or (_DEFAULT if kind.__flags__ & _MADE_BY_USER else _LEAVE_OUT)


def _mends_of(kind: type) -> str:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in kind.__mro__)
    return next((_MENDS[name] for name in names if name in _MENDS), "")


_MADE_BY_USER = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def _way_to(name: str, value: object, held: Sequence[object]) -> Way:
    """The way to the innermost object of ``held`` that a search finds: what has been made for the walk is nowhere to be found."""
    from manyhands._codec import _steps, _trace  # noqa: PLC0415 - as above

    ranks = {id(obj): rank for rank, obj in enumerate(held) if obj is not None}
    best = root = _trace.Node(value)
    reached = ranks.get(id(value), 0)
    waiting, seen, end = deque([root]), {id(value): root}, time.monotonic() + _SECONDS
    while waiting and reached < max(ranks.values(), default=0) and time.monotonic() < end:
        node = waiting.popleft()
        for step, child in _trace.children_or_none(node.value):
            if type(child) in _steps.ATOMS or id(child) in seen:
                continue
            found = seen[id(child)] = _trace.Node(child, step, node)
            waiting.append(found)
            if ranks.get(id(child), -1) > reached:
                best, reached = found, ranks[id(child)]
    return name, best.way()
