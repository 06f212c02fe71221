"""Goes through a value with a list of its own instead of recursion, and digests each part once, however often it is referred to.

What refers to itself is found out on the way; then ``_cycles.py`` begins anew. Whether a value does so is a matter of the value, not of
how it is walked through, so the digests of all others are the same either way.
"""

from __future__ import annotations

from marshal import dumps
from typing import TYPE_CHECKING, Any

from manyhands._hashing import _code, _cycles, _instances, _own_code, _plain, _refusals
from manyhands._hashing._terms import ATOMS, LIST, MAPPING, ORDERED, SMALL, VERSION, Fresh, Node, small, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from manyhands._hashing._algorithms import Algorithm
    from manyhands._hashing._terms import Term

    Made = Node | tuple[bytes]
    Handler = Callable[["Walk", Any], Made]

_MOST_LEVELS = 2_000_000  # who is deeper makes new parts each time it is asked


class Cyclic(Exception):
    """A value contains itself."""


class TooDeep(TypeError):
    """A value has no end."""


class Walk:
    """Computes one digest. ``layout`` and ``maps``: see :func:`manyhands._hashing.digest_with`."""

    handlers: Mapping[int, Handler] = _plain.HANDLERS  # of the classes of Python itself, by their ids
    codes = _code.Codes(_own_code.code_of)  # what says of functions and classes what they are
    ordered = False  # whether the order of a dict counts
    smalls = SMALL  # the ids of classes whose objects stand as they are, if they are small

    def __init__(self, algorithm: Algorithm, *, layout: bool = False, maps: bool = False) -> None:
        self.algorithm = algorithm
        self.once = algorithm.once
        self.layout = layout
        self.maps = maps
        self.opening: Any = None  # what is being taken apart
        self.is_fresh = False  # whether what is being opened was made for the walk
        self.known: dict[int, Term | None] = {}  # by the id of the object; None while it is being walked through
        self._kept: list[Any] = []  # those objects, so that an id stays its own
        self._is_cyclic = False
        self._handlers: dict[int, tuple[Any, Handler]] = {}  # by the id of the class, which is kept

    def digest(self, value: object, name: str) -> bytes:
        """The digest of a value."""
        term = self._term(value, name)
        if type(term) is tuple and len(term) == 1 and type(term[0]) is bytes:
            return term[0]
        return self.once(dumps(term, VERSION))

    def digests(self, values: tuple[Any, ...]) -> tuple[bytes, dict[int, bytes]]:
        """The digest of a tuple, and by ``id`` those of its parts that are larger than a term; none where it contains itself."""
        whole = self.digest(values, "value")
        known = [] if self._is_cyclic else [(id(value), self.known.get(id(value))) for value in values]
        return whole, {key: term[0] for key, term in known if type(term) is tuple and len(term) == 1 and type(term[0]) is bytes}

    def _term(self, value: object, name: str) -> Term:
        stack: list[Node] = []
        try:
            try:
                return self._run(value, stack)
            except Cyclic:
                self._is_cyclic = True
                self.known.clear()
                stack.clear()
                return _cycles.Search(self, stack).run(value)
        except MemoryError:
            raise
        except Exception as error:  # user code runs in there
            raise _refusals.not_hashable(name, value, [*(node.obj for node in stack), self.opening], error) from error

    def _run(self, value: object, stack: list[Node]) -> Term:
        known = self.known
        smalls = self.smalls
        node = Node(LIST, (), (value,))
        stack.append(node)
        while True:
            out = node.out
            for child in node.children:
                kind = id(type(child))
                if kind in ATOMS:
                    out.append(child)
                    continue
                if kind in smalls and (term := small(child)) is not None:
                    out.append(term)
                    continue
                term = known.get(id(child), known)
                if term is not known:
                    if term is None:
                        raise Cyclic
                    out.append(term)
                    continue
                made = self.open(child, stack)
                if isinstance(made, Node):
                    node = made
                    break
                out.append(made)
            else:
                stack.pop()
                if not stack:
                    return out[0]
                term = (self.once(written(node.kind, node.header, out)),)
                if not node.fresh:
                    known[id(node.obj)] = term
                node = stack[-1]
                node.out.append(term)

    def open(self, child: Any, stack: list[Node]) -> Made:
        """The term of a part, or a node to be walked through, which is on the stack then."""
        kind = type(child)
        if kind is Node:
            child.fresh = True
            if self.ordered and child.kind == MAPPING:
                child.kind = ORDERED
            stack.append(child)
            return child  # type: ignore[no-any-return]
        fresh = kind is Fresh
        if fresh:
            child = child.value
            kind = type(child)
        self.is_fresh = fresh
        self.opening = child
        key = id(kind)
        made = (self.handlers.get(key) or self.handler(child, kind))(self, child)
        self.opening = None
        if type(made) is not Node:
            if not fresh:
                self.known[id(child)] = made
                self._kept.append(child)
            return made
        made.obj = child
        made.fresh = fresh
        stack.append(made)
        if not fresh:
            self.known[id(child)] = None
            self._kept.append(child)
        if len(stack) > _MOST_LEVELS:
            msg = f"it is nested more than {_MOST_LEVELS:,} levels deep: its __reduce__ or __getstate__ may make new parts each time"
            raise TooDeep(msg)
        return made

    def handler(self, obj: Any, kind: type) -> Handler:
        """What takes objects of a class apart."""
        found = self._handlers.get(id(kind))
        if found is None:
            found = self._handlers[id(kind)] = kind, _instances.handler_of(self, obj, kind)
        return found[1]

    def flat(self, kind: int, header: tuple[Any, ...], terms: list[Any]) -> tuple[bytes]:
        """The term of what has no parts but atoms."""
        return (self.once(written(kind, header, terms)),)
