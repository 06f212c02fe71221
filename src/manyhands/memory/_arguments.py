"""What the arguments of a call are told by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands import _hashing

if TYPE_CHECKING:
    from manyhands._hashing._walk import Walk


def digest_of(value: object, name: str = "value") -> bytes:
    """16 bytes, equal for equal values; functions, classes and the classes of objects are told by all that their code uses.

    Raises:
        NotHashable: a part of it has no value that would be the same elsewhere (a lock, a generator, an open file).
    """
    return _hashing.digest_of(value, name, _walk)


def digests_of(values: tuple[Any, ...]) -> tuple[bytes, dict[int, bytes]]:
    """The digest of a tuple, and by ``id`` those of its parts that the same walk has come by.

    Raises:
        NotHashable: as above.
    """
    return _walk().digests(values)


def _walk() -> Walk:
    from manyhands.memory._argument_walk import ArgumentWalk  # noqa: PLC0415 - who is called with numbers and text need not load it

    return ArgumentWalk()
