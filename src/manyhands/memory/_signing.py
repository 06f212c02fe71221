"""Who holds the key can tell what was written by somebody else who holds it. BLAKE2 from its own C module: OpenSSL takes 4 ms to load."""

from __future__ import annotations

from _blake2 import blake2b
from typing import TYPE_CHECKING, Final

import xxhash

from manyhands import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Bytes = bytes | bytearray | memoryview

SIZE = 16
_LONGEST = 64  # of a key of BLAKE2

# What pickles have in the place of a key, unless they are of manyhands' own tasks: they may be stored, and lie in the very folder.
LEFT_OUT: Final = True
_given: dict[str, bytes] = {}  # what this process has been given, by location


def give(location: str, key: bytes) -> None:
    """This process has the key of a store."""
    _given[location] = key


def given(location: str) -> bytes:
    """The key of a store that has come to this process without it.

    Raises:
        StoreRefused: it has not been given one.
    """
    if location not in _given:
        why = "it is signed, and came to this process without its key: only tasks of manyhands bring that along"
        raise errors.StoreRefused(
            location, why, "give the key to a Memory here; or have key= name a file, which each process reads for itself"
        )
    return _given[location]


class Signer:
    """Signs entries, and names buffers so that only who holds the key can make another with the same name.

    Raises:
        ValueError: the key is shorter than 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < SIZE:
            msg = f"the key of a store has at least {SIZE} bytes, and this one {len(key)}; os.urandom(32) makes a good one"
            raise ValueError(msg)
        self.key = key if len(key) <= _LONGEST else blake2b(key).digest()

    def sign(self, pieces: Iterable[Bytes]) -> bytes:
        """Of an entry."""
        made = blake2b(key=self.key, digest_size=SIZE, person=b"manyhands entry")
        for piece in pieces:
            made.update(piece)
        return made.digest()

    def digest(self, data: Bytes) -> bytes:
        """Of a buffer: its name."""
        return blake2b(data, key=self.key, digest_size=SIZE, person=b"manyhands data").digest()


def digest_by(signer: Signer | None) -> Callable[[Bytes], bytes]:
    """What buffers are named by: their content, with the key if there is one."""
    return xxhash.xxh3_128_digest if signer is None else signer.digest
