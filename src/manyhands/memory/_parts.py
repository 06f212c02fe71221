"""What a function is made of: variables, code, and how they refer to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._codec import _digests

if TYPE_CHECKING:
    import types
    from collections.abc import Iterable, Mapping

    Key = tuple[int, str]  # the id of what has it, and its name there

MISSING = object()


class Node(NamedTuple):
    """A part: its own digest, and the parts that it refers to, in order."""

    digest: bytes
    references: list[Key]


def whole(nodes: Mapping[Key, Node], also: Iterable[str]) -> bytes:
    """The digest of parts that refer to one another, possibly in circles; copies of the same count once.

    Each part gets the digest of its own and those of the parts it refers to, again and again, until that tells no more parts apart. Then
    the digests of one more round say of each kind of part what it is and to which kinds it refers: that is all there is to say.
    """
    colours = {key: node.digest for key, node in nodes.items()}
    kinds = 0
    while len(set(colours.values())) > kinds:
        kinds = len(set(colours.values()))
        colours = {key: _digests.of(b"".join([node.digest, *(colours[other] for other in node.references)])) for key, node in nodes.items()}
    return _digests.of(b"".join([colours[0, "root"], *sorted(set(colours.values())), *(label.encode() for label in sorted(also))]))


def contents_of(cell: types.CellType) -> Any:
    """What a closure's variable is; MISSING if it is not bound."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING
