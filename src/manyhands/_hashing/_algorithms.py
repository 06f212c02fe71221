"""What computes digests. Large data is digested by blocks of a fixed size, so that the result does not depend on who does how much of it.

All of them release the GIL for data of that size, so that threads do several blocks at a time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from manyhands._wire import _cpus

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 20
_WORTH_THREADS = 32  # blocks; a thread takes some 50 us to start
_MOST_THREADS = 4  # a guess: by then memory is what limits


class Algorithm(NamedTuple):
    """``once`` gives the digest of some bytes, ``new`` something to be fed with ``update``."""

    name: str
    once: Callable[[Any], bytes]
    new: Callable[[], Any]


XXH3 = Algorithm("xxh3_128", xxhash.xxh3_128_digest, xxhash.xxh3_128)


def named(name: str) -> Algorithm:
    """An algorithm by its name: xxh3_128, or one of ``hashlib``'s.

    Raises:
        ValueError: there is none of that name, or its digests have no length of their own.
    """
    if name == XXH3.name:
        return XXH3
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, 4 ms

    if name not in hashlib.algorithms_available or name.startswith("shake"):
        known = sorted(algorithm for algorithm in hashlib.algorithms_guaranteed if not algorithm.startswith("shake"))
        msg = f"hash_name={name!r} is not known; it is one of {', '.join([XXH3.name, *known])}"
        raise ValueError(msg)
    return Algorithm(
        name,
        lambda data: hashlib.new(name, data, usedforsecurity=False).digest(),
        lambda: hashlib.new(name, usedforsecurity=False),
    )


def of_data(algorithm: Algorithm, data: memoryview) -> bytes:
    """The digest of bytes that lie in one piece."""
    size = len(data)
    if size <= BLOCK:
        return algorithm.once(data)
    starts = range(0, size, BLOCK)
    digests = [b""] * len(starts)
    threads = min(_cpus.cpu_count(), _MOST_THREADS) if len(starts) >= _WORTH_THREADS else 1

    def digest_blocks(first: int) -> None:
        for number in range(first, len(starts), threads):
            digests[number] = algorithm.once(data[starts[number] : starts[number] + BLOCK])

    _in_threads(digest_blocks, threads)
    return algorithm.once(b"".join(digests))


def _in_threads(work: Callable[[int], None], threads: int) -> None:
    started = []
    for number in range(1, threads):
        thread = threading.Thread(target=work, args=(number,), name="manyhands-digest", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the program is at its end
            work(number)
        else:
            started.append(thread)
    work(0)
    for thread in started:
        thread.join()


class Pieces:
    """The same digest, of bytes that come in pieces."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._digests: list[bytes] = []
        self._open: Any = None  # the block that is not full
        self._room = BLOCK

    def add(self, piece: memoryview) -> None:
        """Some more bytes."""
        start = 0
        while start < len(piece):
            part = piece[start : start + self._room]
            start += len(part)
            if len(part) == BLOCK:
                self._digests.append(self._algorithm.once(part))
                continue
            if self._open is None:
                self._open = self._algorithm.new()
            self._open.update(part)
            self._room -= len(part)
            if self._room == 0:
                self._end_block()

    def _end_block(self) -> None:
        self._digests.append(self._open.digest())
        self._open, self._room = None, BLOCK

    def digest(self) -> bytes:
        """That of all that has been added."""
        if self._open is not None:
            self._end_block()
        if not self._digests:
            return self._algorithm.once(b"")
        return self._digests[0] if len(self._digests) == 1 else self._algorithm.once(b"".join(self._digests))
