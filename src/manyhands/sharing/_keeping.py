"""The first lines of a keeper: a process that does nothing but have objects. See :mod:`manyhands.sharing._keepers`."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import socket
import sys

from manyhands._engine import _watched
from manyhands.sharing import _arrivals, _serving  # noqa: F401 - a process that is forked is another owner: by _arrivals
from manyhands.sharing._table import here


def main(channel_fd: int) -> None:
    """Have objects, until the program has closed the other end, or is gone."""
    for stream in (sys.stdout, sys.stderr):  # what objects print is seen when they print it
        with contextlib.suppress(Exception):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with contextlib.suppress(Exception):
        faulthandler.enable()  # nobody would see what the slot of a worker is told
    here.is_keeper = True
    address = _serving.ensure()
    channel = socket.socket(fileno=channel_fd)
    channel.sendall(f"{os.getpid()} {address}".encode(errors="surrogateescape"))
    with channel.makefile("rb") as told:  # once more for each time that the program begins, or ends, to be watched
        for line in told:
            _watched.join_as_keeper(json.loads(line))
