"""``hash``: the digest of a value, as text."""

from __future__ import annotations

from manyhands._hashing import digest_of, digest_with

__all__ = ["hash"]


def hash(obj: object, hash_name: str = "xxh3_128") -> str:  # noqa: A001 - joblib's name
    """A text that is the same for equal values, in whichever process, run and Python, and another for others.

    Neither the order of a dict or set counts, nor how an array lies in memory, nor whether two parts are one object or two that are equal;
    types do: ``1``, ``1.0`` and ``True`` differ. Functions and classes of your own count with their code and the constants in capitals that
    it uses (for ``Memory``, with all variables that it uses, and versions of packages), those of installed packages by name. ``__eq__`` and
    ``__hash__`` of objects are never called.

    Example:
        >>> import manyhands
        >>> manyhands.hash({"a": 1, "b": 2}) == manyhands.hash({"b": 2, "a": 1})
        True
        >>> manyhands.hash((1, 2)) == manyhands.hash([1, 2])
        False

    Args:
        obj: the value.
        hash_name: xxh3_128, which is not made to withstand an attacker, takes 2.5 ms for 100 MB; or an algorithm of ``hashlib``, as
            ``sha256``.

    Returns:
        Hexadecimal digits: 32 for xxh3_128.

    Raises:
        NotHashable: a part has no value that would be the same elsewhere (a lock, an open file), or is used up by
            reading it (a generator, an iterator); it names the part.
        ValueError: ``hash_name`` is not known.
    """
    if hash_name == "xxh3_128":
        return digest_of(obj).hex()
    from manyhands._hashing import _algorithms  # noqa: PLC0415 - loaded, mostly

    return digest_with(_algorithms.named(hash_name), obj).hex()
