"""The stacks of all threads of this process, on demand.

The thread that samples tells them (:func:`told`), as soon as it has Python's lock. While C code keeps that to itself, the observer sends a
signal, and ``faulthandler`` writes them down without the lock (:class:`Writing`). That is only done where nobody answers: frames that run
meanwhile may be read half changed. The signal goes to the thread that samples, which waits for nothing but the lock: no call of the
user's, in C or in the kernel, is cut short by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from manyhands._probe._link import Held
from manyhands._wire import _posix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Real-time signals that the probe may take, where nobody has them: next to those that are taken for workers.
_SIGNALS = range(signal.SIGRTMAX - 3, signal.SIGRTMAX - 11, -1) if _posix.LINUX else range(0)
_MOST_THREADS = 200
_INNERMOST, _OUTERMOST = 300, 100  # frames of a thread that are told, if it has more
_PART = 8000  # characters that are told together: JSON may make six bytes of each


class Writing:
    """What writes the stacks down when a signal comes.

    Attributes:
        fd: of what is written to, at its end; None: no signal can be taken here.
        number: of the signal.
    """

    def __init__(self) -> None:
        self.fd: int | None = None
        self.number = _free_signal()
        with contextlib.suppress(OSError, RuntimeError, ValueError, ImportError):
            if self.number:
                self._register()

    def _register(self) -> None:
        import faulthandler  # noqa: PLC0415 - other implementations of Python may have none

        fd = _posix.anonymous_memory(0)
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | fcntl.fcntl(fd, fcntl.F_GETFL))  # whoever empties it has it begin anew
            faulthandler.register(self.number, fd, all_threads=True, chain=False)
        except BaseException:
            os.close(fd)
            raise
        self.fd, self._held = fd, Held(fd)

    def about(self) -> dict[str, int]:
        """What the observer has to know, to ask only a process that would understand."""
        return {} if self.fd is None else {"signal": self.number, "fd": self.fd}

    def let_in(self) -> None:
        """The calling thread is the one that is sent the signal."""
        if self.fd is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {self.number})

    def close(self) -> None:
        """The signal is nobody's again; in a forked child as well, where all of it is the parent's."""
        fd, self.fd = self.fd, None
        if fd is not None:
            import faulthandler  # noqa: PLC0415 - as above

            faulthandler.unregister(self.number)
            self._held.close()


def _free_signal() -> int:
    """One for which there is no handler, whoever has set it; 0: none."""
    taken = 0
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith((b"SigIgn:", b"SigCgt:")):
                    taken |= int(line.split()[1], 16)
    except (OSError, ValueError):
        return 0
    return next((number for number in _SIGNALS if not taken >> (number - 1) & 1), 0)


def told() -> Iterator[dict[str, Any]]:
    """The stacks of all threads but the one that calls, in parts."""
    text = "\n".join(_lines())
    parts = [text[at : at + _PART] for at in range(0, len(text), _PART)] or [""]
    for part in parts:
        yield {"part": part, "more": part is not parts[-1]}


def _lines() -> Iterator[str]:
    active: dict[int, Any] = threading._active  # type: ignore[attr-defined] # noqa: SLF001 - enumerate() takes a lock that a stopped thread may have
    main, own = threading.main_thread().ident, threading.get_ident()
    frames = sys._current_frames()  # noqa: SLF001 - there is no other way
    frames.pop(own, None)
    for ident in sorted(frames, key=lambda ident: ident != main)[:_MOST_THREADS]:
        thread = active.get(ident)
        name = thread.name if thread is not None else "a thread that C code has started"
        yield f"{name} ({os.getpid() if ident == main else getattr(thread, 'native_id', '') or hex(ident)}), most recent call first:"
        yield from _lines_of(frames[ident])
        yield ""
    if len(frames) > _MOST_THREADS:
        yield f"... and {len(frames) - _MOST_THREADS} more threads"


def _lines_of(frame: FrameType | None) -> Iterator[str]:
    lines = []
    while frame is not None:
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_qualname}')
        frame = frame.f_back
    left_out = len(lines) - _INNERMOST - _OUTERMOST
    if left_out > 0:
        lines[_INNERMOST:-_OUTERMOST] = [f"  ... {left_out} frames"]
    yield from lines
