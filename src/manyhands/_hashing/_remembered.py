"""``Memory``, and what it gives: where results are kept, and how, makes no difference to any result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._hashing._terms import ORDERED, Node

if TYPE_CHECKING:
    from manyhands._hashing._walk import Made, Walk


def memory(walk: Walk, _: Any) -> Made:
    """Each is as good as any other."""
    return walk.flat(ORDERED, (b"Memory",), [])


def function(walk: Walk, value: Any) -> Made:
    """A cached function: what it is, with all that it uses and declares."""
    return walk.flat(ORDERED, (b"remembered", value.key.digest()), [])


def method(_: Walk, value: Any) -> Made:
    """One with its object."""
    return Node(ORDERED, (b"remembered method",), (value.__self__, value.__func__))


def plain(_: Walk, value: Any) -> Made:
    """One of which nothing is kept."""
    return Node(ORDERED, (b"not remembered",), (value.func,))


def result(walk: Walk, value: Any) -> Made:
    """A result in a store: what tells its call from others."""
    return walk.flat(ORDERED, (b"remembered result", value.args_id), [])
