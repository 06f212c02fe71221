"""The parent's side of the zygote, and how a Python is started on code of this package.

Loaded before the rest of the engine, so that the zygote starts while that is being loaded; it imports little.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import sys
import threading

from manyhands._codec import _naming
from manyhands._wire import _frames, _posix
from manyhands._wire._channel import Channel

# What makes functions that come by value, and tells whether a task has changed them; what compares those of the project.
_BY_VALUE = ("manyhands._codec._main_globals", "manyhands._codec._captures")
_BY_NAME = ("manyhands._codec._definitions",)

# Seconds that the zygote may take to end by itself.
_FAREWELL = 0.5


class Zygote:
    """The parent's handle on the zygote process: started when first needed, and again if it was killed.

    One for the whole process; any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root: Channel | None = None
        self._pid: int | None = None
        self._preload: tuple[str, ...] = ()
        self.lifeline: tuple[int, int] = os.pipe()  # the write end stays here: when it closes, everything dies

    @property
    def pid(self) -> int | None:
        """Process id of the zygote; None before it is needed."""
        return self._pid

    def prepare(self, fn: object) -> None:
        """Work with ``fn`` is about to come: what takes time can begin while it is read and encoded."""
        module = getattr(fn, "__module__", None)
        self.begin(_BY_VALUE if module == "__main__" else _BY_NAME if _naming.is_project(module) else ())

    def begin(self, preload: tuple[str, ...] = ()) -> None:
        """Have it start, and load modules, while this process does something else. If it cannot, that is found out when it is needed."""
        with self._lock, contextlib.suppress(OSError):
            if self._root is None:
                self._launch()
            self._have_loaded(preload)
            self._root.flush()  # type: ignore[union-attr] # it has been started

    def connect(self, preload: tuple[str, ...] = ()) -> socket.socket:
        """A new control connection.

        Raises:
            OSError: no zygote can be started.
        """
        ours, theirs = _posix.channel_pair()
        with self._lock, theirs:
            try:
                self._attach(theirs, preload)
            except (BrokenPipeError, ConnectionResetError):  # it was killed
                self._forget_process()
                self._attach(theirs, preload)
            except BaseException:
                ours.close()
                raise
        return ours

    def _attach(self, theirs: socket.socket, preload: tuple[str, ...]) -> None:
        if self._root is None:
            self._launch()
        root = self._root
        assert root is not None
        self._have_loaded(preload)
        root.queue(_frames.pack(_frames.ATTACH, fds=1), [theirs.fileno()])
        root.flush()

    def _have_loaded(self, names: tuple[str, ...]) -> None:
        new = tuple(name for name in names if name not in self._preload)
        if new and self._root is not None:
            self._root.queue(_frames.pack(_frames.PRELOAD, marshal.dumps((list(sys.path), list(new)))))
            self._preload += new

    def _launch(self) -> None:
        ours, theirs = _posix.channel_pair()
        with theirs:
            try:
                self._pid = start_python("_zygote", (3, 4), {3: theirs.fileno(), 4: self.lifeline[0]})
            except BaseException:
                ours.close()
                raise
        self._root = Channel(ours, blocking=True)
        self._preload = ()

    def _forget_process(self) -> None:
        if self._root is not None:
            self._see_off(self._root)
            self._root.close()
            self._root = None
        if self._pid is not None:
            _posix.send_signal(self._pid, 9)
            _posix.reap(self._pid)
            self._pid = None

    def _see_off(self, root: Channel) -> None:
        """Have it end by itself, so that it buries its children; it may be stopped, or gone."""
        with contextlib.suppress(OSError):
            root.sock.settimeout(_FAREWELL)
            root.sock.shutdown(socket.SHUT_WR)
            while root.sock.recv(1024):
                pass

    def kill(self) -> None:
        """Kill the zygote, which also works if it is stopped; it is started anew when it is needed."""
        with self._lock:
            if self._pid is not None:
                _posix.send_signal(self._pid, 9)

    def close(self) -> None:
        """End the zygote. Workers that it started are not touched."""
        with self._lock:
            self._forget_process()

    def abandon(self) -> None:
        """In a forked child: let go of everything without touching the parent's processes."""
        if self._root is not None:
            self._root.close()
        _posix.close_quietly(self.lifeline)


def start_python(module: str, numbers: tuple[int, ...], fds: dict[int, int]) -> int:
    """Start a Python on ``main(*numbers)`` of a module of this package; return its pid.

    The garbage collector is off, since there is none until everything has been loaded; ``main`` switches it on.
    """
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The very package that runs here, wherever else there is one; and nothing else from where it lies.
    find = f"import gc, sys; gc.disable(); sys.path.insert(0, {home!r}); import manyhands; del sys.path[0]"
    code = f"{find}; from manyhands._engine.{module} import main; main(*{numbers!r})"
    return _posix.executable_spawn(code, (f"manyhands{module.replace('_', '-')}",), fds, os.environ)
