"""Room for a file that is about to be written, where its file system can give it without writing."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import Any


@functools.cache
def _fallocate() -> Any:
    """The kernel's. That of ``os`` writes to each block where the file system does not know it."""
    found = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
    return found


def allocate(fd: int, offset: int, size: int) -> None:
    """Ask for it. Only a full disk is an error, which is said before anything is written.

    Raises:
        OSError: there is no room.
    """
    call = _fallocate()
    if call is None or call(fd, 0, offset, size) == 0:
        return
    number = ctypes.get_errno()
    if number in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        raise OSError(number, os.strerror(number))
