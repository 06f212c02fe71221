"""What a worker in reserve does once for nothing: become a process like its parent, and run a task.

What is written to on the way belongs to this process from then on. This module is not loaded before, so that an import is rehearsed, too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import sys

from manyhands._codec import _code_walk, _fingerprint, _packing, _pickling
from manyhands._engine import _worker_process
from manyhands._engine._worker import Worker
from manyhands._wire import _frames, _posix, _slot
from manyhands._wire._channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands._engine._settings import Settings


def rehearse() -> None:
    """See the module. Nothing of it can be seen afterwards."""
    _adopt()
    _serve()
    _fingerprint.Code(_code_walk.Names(globals(), _serve.__code__))


def _adopt() -> None:
    env = dict(os.environ)
    settings: Settings = {
        "env": env,
        "cwd": None,
        "path": list(sys.path),
        "argv": list(sys.argv),
        "cpus": 1,
        "idle_timeout": 0.0,
        "memory_limit": None,
        "home": b"",
        "inheritance": False,
        "initializer": False,
        "modules": [],
        "main": "",
        "script": [],
    }
    _worker_process.adopt_environment(settings)
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    fd = _posix.anonymous_memory(_slot.SIZE)
    _worker_process.catch_signals(fd)
    faulthandler.disable()
    faulthandler.unregister(_posix.STACK_SIGNAL)
    os.close(fd)


def _serve() -> None:
    words = memoryview(bytearray(_slot.SIZE)).cast("Q")
    ours, theirs = _posix.channel_pair()
    parent = Channel(ours, blocking=True)
    worker = Worker(Channel(theirs, blocking=True), words)
    parent.queue(_frames.pack(_frames.FUNCTION, _pickling.encode(_task)[0], a=1))
    parent.queue(_frames.pack(_frames.RUN, _packing.join_atoms([1]), flags=_frames.ONE_PICKLE, count=1, ordinal=1, a=1))
    parent.flush()
    ours.shutdown(socket.SHUT_WR)
    with contextlib.suppress(EOFError):
        worker.serve()
    parent.receive()
    parent.close()
    worker.close()


def _task(argument: int) -> int:
    return argument
