"""What code of the project is, so that two processes can tell whether they have the same.

A function or class of the project travels by its name, and its name leads to whatever the receiver has imported. Both compute a digest of
the code that is meant: of the function, and of all that it reaches in the project through globals, closures and attributes of modules.

It counts: byte code with its constants (typed; sets in order), names, defaults, closures, decorators, bases, attributes of classes; which
globals are used, what they are if they can be called, and the values of those that are named in capitals, as constants are. It does not
count: file names, line numbers, docstrings, annotations; other global variables, whose values are the state of a process; what installed
packages consist of. Of constants it knows numbers, text, containers, arrays, and some classes of the standard library; of others the type.
"""

from __future__ import annotations

from operator import is_not, itemgetter
from typing import TYPE_CHECKING, Any

from manyhands._codec import _bytecode
from manyhands._codec._code_walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Watching:
    """Whether names still lead where they led a walk through code; whether functions and classes consist of what they did."""

    __slots__ = ("_absent", "_bases", "_held", "_kinds", "_sizes", "_watched", "volatile")

    def __init__(self, walk: Walk) -> None:
        watches = walk.watches.values()
        self._watched = [_watch(watch.mapping, watch.names) for watch in watches if watch.names]
        self._kinds = [_watch(watch.mapping, watch.states) for watch in watches if watch.states]
        self._absent = [(watch.mapping.keys(), frozenset(watch.absent)) for watch in watches if watch.absent]
        self._sizes = [(vars(cls), len(vars(cls))) for cls in walk.classes]
        self._bases = [(cls, cls.__bases__) for cls in walk.classes]
        self._held = walk.held
        # It may become other code without that of a function being replaced.
        self.volatile: bool = bool(self._watched or self._kinds or self._absent)

    def changed(self) -> bool:
        """Whether it is other code now, in this process."""
        try:
            for get, mapping, before in self._watched:
                if any(map(is_not, get(mapping), before)):
                    return True
            for get, mapping, before in self._kinds:
                if any(map(is_not, map(type, get(mapping)), map(type, before))):
                    return True
        except KeyError:  # a name is gone
            return True
        for names, absent in self._absent:
            if not names.isdisjoint(absent):  # in this order: it looks at each name of the other
                return True
        return _bytecode.is_replaced(self._held) or (bool(self._sizes) and self._classes_changed())

    def _classes_changed(self) -> bool:
        for own, size in self._sizes:
            if len(own) != size:
                return True
        return any(cls.__bases__ is not bases for cls, bases in self._bases)


class Code(Watching):
    """The code that a function or class consists of, as it is now; or what other code gets from a module.

    ``digest``: equal for equal code, in whichever process. :meth:`changed` tells, in a fraction of a microsecond for a small function,
    whether any name leads elsewhere by now. What a constant holds (the items of a list) is taken as it was found.
    """

    __slots__ = ("digest", "root")

    def __init__(self, root: Any, walk: Walk | None = None) -> None:
        self.root = root
        walk = walk or Walk()
        walk.through(root)
        self.digest: bytes = walk.hash.digest()
        super().__init__(walk)


def _watch(mapping: Mapping[str, Any], names: Iterable[str]) -> tuple[Callable[[Any], Any], Mapping[str, Any], Any]:
    first, *others = names
    get = itemgetter(first, first, *others)  # a tuple in any case
    return get, mapping, get(mapping)
