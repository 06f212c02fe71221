"""How a value is written before it is digested: as a term, which ``marshal`` turns to bytes (version 2: no references, no interned text).

A *term* is an atom (a number, text, None, ..., few bytes), or ``(digest,)``, the digest of something larger, or a small tuple or dict of
atoms as it is written itself. What is larger is written as

- ``(term, term, ...)``: a tuple;
- ``[term, term, ...]``: a list;
- ``(header, term, term, ...)``: all else. A header is a tuple that begins with a tag: bytes, fewer than any digest has.

**Guarantee**: two values that are written alike are of the same classes and have the same parts. marshal puts the type before each
atom, and the number before what has parts; of tuples that stand as terms only headers and digests begin with bytes, and these are told
apart by their length.

Which of the forms a value has depends on the value alone, never on where it lies or how often it is referred to.
"""

from __future__ import annotations

from marshal import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Term = Any
    Header = tuple[Any, ...]

VERSION = 2  # of marshal
ATOM_TYPES = frozenset({type(None), bool, int, float, complex, str, type(Ellipsis)})
# By id: a class of the user's may have a metaclass that cannot be hashed.
ATOMS = frozenset(map(id, ATOM_TYPES))
_are_atoms = ATOM_TYPES.issuperset
SMALL = frozenset(map(id, (tuple, dict, bytes)))
MOST_BYTES = 1024  # that stand as they are
_MOST_PARTS = 32  # of a tuple or dict that stands as it is
_TEXT = frozenset({str})
_NUMBERS = frozenset({int})
DICT = (b"dict",)
_EMPTY = (DICT,)

# Kinds of nodes: what order their parts have.
TUPLE, LIST, ORDERED, SET, MAPPING = range(5)


class Node:
    """A value on its way to a term: ``children`` are its parts, ``out`` the terms of those that have been digested."""

    __slots__ = ("children", "fresh", "header", "kind", "obj", "out")

    def __init__(self, kind: int, header: Header, children: Iterable[Any], obj: Any = None) -> None:
        self.kind = kind
        self.header = header
        self.children: Iterator[Any] = iter(children)
        self.obj = obj
        self.out: list[Term] = []
        self.fresh = False


class Fresh:
    """A part that has been made for the walk, and is needed once: it is not kept."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def fresh(value: Any) -> Any:
    """The same as a part; numbers and text are as good as any others."""
    return value if id(type(value)) in ATOMS else Fresh(value)


def are_atoms(values: Iterable[Any]) -> bool:
    """Whether all of them are numbers, text and their like."""
    try:
        return _are_atoms(map(type, values))
    except TypeError:  # the class of one cannot be hashed
        return False


def small(value: Any) -> Term | None:
    """The term of a tuple, dict or bytes that stands as it is; None if it does not."""
    kind = type(value)
    if kind is tuple:
        return value if len(value) <= _MOST_PARTS and are_atoms(value) else None
    if kind is bytes:
        return value if len(value) <= MOST_BYTES else None
    if not value:
        return _EMPTY
    if len(value) > _MOST_PARTS or not are_atoms(value.values()):
        return None
    keys = in_order(value)
    if keys is None:
        return None
    term = [DICT]
    for key in keys:
        term += key, value[key]
    return tuple(term)


def in_order(keys: Any) -> list[Any] | None:
    """Keys, or members of a set, in an order that is theirs; None: they have none that is quickly found."""
    try:
        if _TEXT.issuperset(map(type, keys)) or _NUMBERS.issuperset(map(type, keys)):
            return sorted(keys)
    except TypeError:  # the class of one cannot be hashed
        pass
    return None


def written(kind: int, header: Header, terms: list[Term]) -> bytes:
    """The bytes of a value whose parts have become terms."""
    if kind == ORDERED:
        return dumps((header, *terms), VERSION)
    if kind == TUPLE:
        return dumps(tuple(terms), VERSION)
    if kind == LIST:
        return dumps(terms, VERSION)
    if kind == MAPPING:
        pairs = sorted(dumps(pair, VERSION) for pair in zip(terms[::2], terms[1::2], strict=True))
        return dumps((header, *pairs), VERSION)
    return dumps((header, *sorted([dumps(term, VERSION) for term in terms])), VERSION)
