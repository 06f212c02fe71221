"""Canonical digests: equal values, equal digests, in whichever process, Python, or layout of memory. Never an equal one for other values.

======================  ==============================================================================
``_algorithms.py``      what computes digests, of small things and of large ones
``_terms.py``           how a value is written before it is digested
``_walk.py``            goes through a value, whatever its depth
``_cycles.py``          the same, of what refers to itself
``_plain.py``           the classes of Python
``_standard.py``        classes of its standard library
``_instances.py``       objects of all other classes, by their state or ``__reduce__``
``_code.py``            functions and classes
``_own_code.py``        those of the project
``_foreign.py``         which module knows the classes of other libraries
``_arrays.py``          numpy
``_frames.py``          pandas
``_arrow.py``           pyarrow
``_polars.py``          polars
``_tensors.py``         torch
``_remembered.py``      ``Memory``, and functions that it keeps the results of
``_refusals.py``        what cannot be digested, why, and what to do
======================  ==============================================================================
"""

from __future__ import annotations

from marshal import dumps

from xxhash import xxh3_128_digest

from manyhands._hashing import _algorithms, _terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from manyhands._hashing._walk import Walk

__all__ = ["digest_of", "digest_of_few", "digest_with"]


def digest_of(value: object, name: str = "value", walk: Callable[[], Walk] | None = None) -> bytes:
    """16 bytes that are equal for equal values, and differ for others.

    Example:
        >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
        True

    Args:
        value: anything with a value: see README.md beside this file.
        name: what the value is called in messages.
        walk: makes what goes through it, if that has rules of its own.

    Raises:
        NotHashable: a part of it has no value that would be the same elsewhere (a lock, a generator, an open file).
    """
    if type(value) is tuple and (digest := digest_of_few(value)) is not None:  # arguments, mostly
        return digest
    return digest_with(_algorithms.XXH3, value, name) if walk is None else walk().digest(value, name)


def digest_of_few(values: tuple[Any, ...]) -> bytes | None:
    """The digest of a tuple of which all parts are numbers, text, and small containers of these; None: it is another."""
    terms: list[Any] = []
    for part in values:
        kind = id(type(part))
        if kind in _terms.ATOMS:
            terms.append(part)
        elif kind in _terms.SMALL and (term := _terms.small(part)) is not None:
            terms.append(term)
        else:
            return None
    return xxh3_128_digest(dumps(tuple(terms), 2))


def digest_with(algorithm: _algorithms.Algorithm, value: object, name: str = "value", *, layout: bool = False, maps: bool = False) -> bytes:
    """The digest by another algorithm.

    ``layout``: the order of an array in memory counts; ``maps``: whether it is a map of a file does.
    """
    from manyhands._hashing import _walk  # noqa: PLC0415 - who digests numbers and text need not load it

    return _walk.Walk(algorithm, layout=layout, maps=maps).digest(value, name)
