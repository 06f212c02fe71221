"""Where a file is written to: a descriptor, of which the beginning can be written again, or anything with ``write()``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from manyhands._files import _allocating

if TYPE_CHECKING:
    from collections.abc import Callable

_GATHERED = 1 << 20  # small pieces are written together
_LARGE = 1 << 16


class Sink:
    """Takes bytes in order; small ones are gathered. ``position``: how many have come."""

    can_patch = False

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.position = 0
        self._write = write
        self._pending = bytearray()

    def write(self, data: Any) -> int:
        """All of ``data``, now or with what follows."""
        view = memoryview(data)
        size = view.nbytes
        self.position += size
        if size < _LARGE:
            self._pending += view
            if len(self._pending) >= _GATHERED:
                self.flush()
        else:
            self.flush()
            self._all(view)
        return size

    def flush(self) -> None:
        """What has been gathered."""
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._all(memoryview(pending))

    def _all(self, view: memoryview) -> None:
        view = view.cast("B")
        while len(view):
            written = self._write(view)
            if not isinstance(written, int) or written >= len(view):  # some file objects tell nothing
                return
            view = view[written:]

    def expect(self, size: int) -> None:
        """Just so many bytes are about to come."""


class Descriptor(Sink):
    """A file of one's own, from its beginning."""

    can_patch = True

    def __init__(self, fd: int) -> None:
        super().__init__(lambda view: os.write(fd, view))
        self._fd = fd

    def patch(self, data: bytes) -> None:
        """Write the beginning again, now that all is there."""
        self.flush()
        os.pwrite(self._fd, data, 0)

    def restart(self) -> None:
        """Forget what was written."""
        if not self.position:
            return
        self._pending.clear()
        self.position = 0
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)

    def expect(self, size: int) -> None:
        # Without it, ext4 writes all of a file to the disk when it takes the place of another, and the program waits for that.
        written = self.position - len(self._pending)
        _allocating.allocate(self._fd, written, size + len(self._pending))
