"""Large buffers of a function, of which each task gets a copy of its own that costs nothing until it is written to.

They are kept in memory without a name and mapped copy-on-write for each use.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._codec._pickling import Bytes


class Pristine:
    """Buffers as they came."""

    def __init__(self, buffers: Sequence[Bytes]) -> None:
        self._sizes = [len(buffer) for buffer in buffers]
        self._fds = [_keep(buffer) for buffer in buffers] if hasattr(os, "memfd_create") else []
        self._buffers = [] if self._fds else list(buffers)

    def copies(self) -> list[Bytes]:
        """A writable copy of each."""
        if not self._fds:
            return [bytearray(buffer) for buffer in self._buffers]
        import mmap  # noqa: PLC0415 - only for functions that carry arrays

        access = mmap.PROT_READ | mmap.PROT_WRITE
        return [memoryview(mmap.mmap(fd, size, mmap.MAP_PRIVATE, access)) for fd, size in zip(self._fds, self._sizes, strict=True)]

    def __del__(self) -> None:
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)


def _keep(buffer: Bytes) -> int:
    fd = os.memfd_create("manyhands", os.MFD_CLOEXEC)
    view = memoryview(buffer)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.close(fd)
        raise
    return fd
