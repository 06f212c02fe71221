"""Digests of what refers to itself: a list that contains itself, a node that knows its parent.

Parts that refer to one another in a circle (a strongly connected component, found by Tarjan's algorithm) have no digests to begin with:
each depends on the others. Here they are told apart by partition refinement, as states of an automaton are when it is minimized: at first
by what they are themselves, then by the names of the parts that they refer to, until nothing splits any more. What is never told apart is
equal, whatever its identity: so a copy has the digest of its original, and sharing does not count, as elsewhere.

When those of one name are told apart, one share keeps it, and only what refers to the others is looked at again. That keeps a long
chain of like parts, which are told apart one by one from its ends, from taking quadratic time.

The digest of a part is that of the whole table (each name, and what it refers to), and of its own name in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from marshal import dumps
from typing import TYPE_CHECKING, Any

from manyhands._hashing._terms import ATOMS, LIST, VERSION, Node, small, written

if TYPE_CHECKING:
    from manyhands._hashing._terms import Term
    from manyhands._hashing._walk import Walk

_NOBODY = (b"...",)  # in the place of a part that has no name yet
_CYCLE = (b"cycle",)


class _Spot:
    """A node of the graph, and, in the terms of others, the reference to it."""

    __slots__ = ("low", "name", "node", "number", "users")

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.low = number
        self.name = b""
        self.users: list[_Spot] = []

    def digest(self, walk: Walk, *, named: bool) -> bytes:
        terms = [((part.name,) if named else _NOBODY) if type(part) is _Spot else part for part in self.node.out]
        return walk.once(written(self.node.kind, self.node.header, terms))

    def parts(self) -> list[_Spot]:
        return [part for part in self.node.out if type(part) is _Spot]


class Search:
    """One walk; ``stack`` is where its caller sees how far it is."""

    def __init__(self, walk: Walk, stack: list[Node]) -> None:
        self._walk = walk
        self._stack = stack
        self._open: dict[int, _Spot] = {}  # by the id of the object: those whose component is not complete
        self._component: list[_Spot] = []
        self._path: list[_Spot] = []
        self._count = 0

    def run(self, value: object) -> Term:
        """The term of a value."""
        spot = self._enter(Node(LIST, (), (value,)))
        self._stack.append(spot.node)
        while True:
            child = self._next_child(spot)
            if child is not None:
                spot = self._enter(child)
                continue
            self._stack.pop()
            self._path.pop()
            if not self._path:
                return spot.node.out[0]
            term = self._leave(spot)
            spot = self._path[-1]
            spot.node.out.append(term)

    def _enter(self, node: Node) -> _Spot:
        spot = _Spot(node, self._count)
        self._count += 1
        self._path.append(spot)
        self._component.append(spot)
        if not node.fresh:
            self._open[id(node.obj)] = spot
        return spot

    def _next_child(self, spot: _Spot) -> Node | None:
        """The next part that is to be walked through, with all before it in ``out``."""
        out = spot.node.out
        for child in spot.node.children:
            kind = type(child)
            if id(kind) in ATOMS:
                out.append(child)
                continue
            if id(kind) in self._walk.smalls and (term := small(child)) is not None:
                out.append(term)
                continue
            met = self._open.get(id(child))
            if met is not None:
                spot.low = min(spot.low, met.number)
                out.append(met)
                continue
            found = self._walk.known.get(id(child))
            if found is not None:
                out.append(found)
                continue
            made = self._walk.open(child, self._stack)
            if isinstance(made, Node):
                return made
            out.append(made)
        return None

    def _leave(self, spot: _Spot) -> Any:
        """The term of what has been walked through; the spot itself if that depends on what has not."""
        if self._path:
            self._path[-1].low = min(self._path[-1].low, spot.low)
        if spot.low < spot.number:
            return spot
        members: list[_Spot] = []
        while not members or members[-1] is not spot:
            members.append(self._component.pop())
        terms = self._terms(members)
        for member, term in zip(members, terms, strict=True):
            key = id(member.node.obj)
            if not member.node.fresh:
                self._open.pop(key, None)
                self._walk.known[key] = term
        return terms[-1]

    def _terms(self, members: list[_Spot]) -> list[Term]:
        walk = self._walk
        if len(members) == 1 and not members[0].parts():
            return [(members[0].digest(walk, named=False),)]
        _refine(walk, members)
        table = sorted({(member.name, member.digest(walk, named=True)) for member in members})
        whole = walk.once(dumps(table, VERSION))
        return [(walk.once(dumps((_CYCLE, whole, member.name), VERSION)),) for member in members]


def _refine(walk: Walk, members: list[_Spot]) -> None:
    """Give equal names to members that cannot be told apart, and to no others."""
    sizes: Counter[bytes] = Counter()
    for member in members:
        member.name = member.digest(walk, named=False)
        sizes[member.name] += 1
        for part in member.parts():
            part.users.append(member)
    renamed = members
    while renamed:
        affected = {id(user): user for part in renamed for user in part.users}
        shares: dict[bytes, dict[bytes, list[_Spot]]] = defaultdict(lambda: defaultdict(list))
        for member in affected.values():
            shares[member.name][member.digest(walk, named=True)].append(member)
        # All have been looked at before any gets a new name.
        renamed = [member for name, by_parts in shares.items() for member in _split(walk, sizes, name, by_parts)]


def _split(walk: Walk, sizes: Counter[bytes], name: bytes, shares: dict[bytes, list[_Spot]]) -> list[_Spot]:
    """Divide those of a name by what they refer to; all that get a new one."""
    if sum(map(len, shares.values())) == sizes[name]:  # else those that were not affected keep the name
        del shares[max(shares)]
    renamed = []
    for digest, share in shares.items():
        new = walk.once(dumps((name, digest), VERSION))
        for member in share:
            member.name = new
        sizes[new] = len(share)
        sizes[name] -= len(share)
        renamed += share
    return renamed
