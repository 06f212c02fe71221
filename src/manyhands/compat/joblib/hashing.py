"""``joblib.hash``. The digests are others than joblib's, which are those of a pickle that Python's own version decides over."""

from __future__ import annotations

import pickle

from manyhands._hashing import _algorithms, digest_with
from manyhands.errors import NotHashable

__all__ = ["hash"]

_NAMES = ("md5", "sha1")


class _NotHashable(NotHashable, pickle.PicklingError):
    """Also what joblib raises."""


def hash(obj: object, hash_name: str = "md5", coerce_mmap: bool = False) -> str:  # noqa: A001 - joblib's name
    """The digest of a value, as text: 32 hexadecimal digits, 40 for "sha1".

    As in joblib, arrays count with their strides, and maps of files are not what arrays are; :func:`manyhands.hash` looks at values alone,
    and takes a twentieth of the time for large arrays.

    Example:
        >>> from manyhands.compat import joblib
        >>> joblib.hash({"a": 1, "b": 2}) == joblib.hash({"b": 2, "a": 1})
        True

    Args:
        obj: the value.
        hash_name: "md5" or "sha1".
        coerce_mmap: a ``numpy.memmap`` is as good as an array.

    Raises:
        ValueError: ``hash_name`` is neither.
        NotHashable: a part cannot be hashed; it is a ``pickle.PicklingError`` as well.
    """
    if hash_name not in _NAMES:
        msg = f"Valid options for 'hash_name' are {_NAMES}. Got hash_name={hash_name!r} instead."
        raise ValueError(msg)
    try:
        return digest_with(_algorithms.named(hash_name), obj, layout=True, maps=not coerce_mmap).hex()
    except NotHashable as error:
        raise _NotHashable(error.part) from error
