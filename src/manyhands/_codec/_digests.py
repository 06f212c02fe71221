"""Digests of code, and of what is sent by its digest: BLAKE2b of 16 bytes.

From the module in C, which is there in CPython unless it was built without: ``hashlib`` loads OpenSSL as well, 4 ms in each worker.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands._codec._pickling import Bytes

SIZE = 16


def new() -> blake2b:
    """To be fed with ``update``."""
    return blake2b(digest_size=SIZE)


def of(data: Bytes) -> bytes:
    """The digest of some bytes."""
    return blake2b(data, digest_size=SIZE).digest()
