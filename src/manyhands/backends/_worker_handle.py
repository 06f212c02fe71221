"""One worker process, for programs that look at the private attributes of the standard library's pools."""

from __future__ import annotations

import signal

from manyhands._wire import _posix


class WorkerHandle:
    """One worker process, as far as programs look at those of the standard library."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._sent = 0  # a signal

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then minus the signal that this handle has sent it, else 0: how it ended, only who started it is told."""
        return None if self.is_alive() else -self._sent

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it (SIGKILL)."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._sent = self._sent or number
        _posix.send_signal(self.pid, number)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return not _posix.has_ended(self.pid)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        _posix.await_end(self.pid, timeout)

    def __repr__(self) -> str:
        return f"<worker {self.pid}{'' if self.is_alive() else ', ended'}>"
