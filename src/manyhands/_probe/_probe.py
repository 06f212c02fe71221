"""The probe of this process."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link, _segment
from manyhands._probe._naming import Names
from manyhands._probe._sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._probe._levels import Levels

ADDRESS = "MANYHANDS_WATCH_ADDRESS"  # of the observer, for processes that are started


class Probe:
    """What watches this process.

    Attributes:
        wants: what the observer has asked for when it was greeted.
    """

    def __init__(self, address: str, about: dict[str, Any]) -> None:
        """Greet the observer.

        Raises:
            OSError: it is not there.
        """
        self.address = address
        self.about = about
        self.pid = os.getpid()
        self.writer = _segment.Writer()
        try:
            connected, self.wants = _link.greet(address, _hello(about), self.writer.fd)
        except BaseException:
            self.writer.close()
            raise
        self.writer.hand_over()
        self.link = _link.Link(connected)
        self.names = Names(self.link.tell)
        self.answers: dict[str, Callable[[Any], None]] = {"level": self.count_lines, "files": self._count_in}
        self._levels: Levels | None = None
        self._choosing = threading.Lock()
        self.sampler = Sampler(self.writer, self.link, self.names, self._obey, self.wants.get("rate", 20.0))
        with contextlib.suppress(Exception):  # watching ends nothing
            self.count_lines(self.wants.get("level", "sample"), self.wants.get("files"))
        self.sampler.start()

    def count_lines(self, level: str, files: Any = ...) -> None:
        """Watch so closely from now on; see :mod:`._levels`. ``files``: in which lines are counted.

        Raises:
            ValueError: there is no such level.
        """
        with self._choosing:
            if self._levels is None:
                if level == "sample" and (files is None or files is ...):
                    return
                from manyhands._probe._levels import Levels  # noqa: PLC0415 - most processes count no lines

                self._levels = Levels(self.writer, self.names, self.link.tell)
                self.sampler.before.append(self._levels.look)
            self._levels.start(level, files)

    def _count_in(self, files: Any) -> None:
        self.count_lines(_segment.LEVELS[self.writer.words[_segment.LEVEL]], files)

    def write(self, kind: int, at: int, *words: int) -> None:
        """Add a record. For any thread."""
        try:
            self.writer.write(kind, at, *words)
        except ValueError:  # it has been stopped by another thread
            if here() is self:
                raise

    def text(self, text: str) -> int:
        """The number of a text, for a record. For any thread."""
        return self.names.text(text)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the observer something that is long. For any thread."""
        self.link.tell(message)

    def _obey(self, message: dict[str, Any]) -> None:
        for key, value in message.items():
            if (answer := self.answers.get(key)) is not None:
                with contextlib.suppress(Exception):  # watching ends nothing
                    answer(value)

    def stop(self) -> None:
        """Tell what has not been told, and hang up."""
        self.sampler.stop()
        if self._levels is not None:
            self._levels.stop()
        self.link.finish()
        self.writer.close()

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's."""
        if self._levels is not None:
            self._levels.abandon()
        with contextlib.suppress(OSError):
            os.close(self.link.socket.detach())


def _hello(about: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": _segment.VERSION,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "python": "{}.{}.{}".format(*sys.version_info),
        "now": time.monotonic_ns(),
        "wall": time.time(),
        **about,
    }


class _State:
    probe: Probe | None = None
    starting = threading.Lock()
    is_followed = False  # whether children that are forked are watched as well


_state = _State()


def here() -> Probe | None:
    """The probe of this process, if it is watched."""
    probe = _state.probe
    return probe if probe is not None and probe.pid == os.getpid() else None


def start(address: str, **about: Any) -> Probe | None:
    """Have this process watched by the observer at an address; None: it is not there. ``about``: what it is told of this process."""
    with _state.starting:
        if here() is None:
            with contextlib.suppress(OSError, ValueError):
                _state.probe = Probe(address, about)
            if not _state.is_followed:
                _state.is_followed = True
                os.register_at_fork(after_in_child=_in_child)
        return here()


def stop() -> None:
    """It is watched no more."""
    probe, _state.probe = _state.probe, None
    if probe is not None and probe.pid == os.getpid():
        probe.stop()


def _in_child() -> None:
    _state.starting = threading.Lock()
    probe, _state.probe = _state.probe, None
    if probe is not None:
        probe.abandon()
        start(probe.address, **{**probe.about, "role": "process"})
