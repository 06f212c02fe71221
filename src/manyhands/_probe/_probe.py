"""The probe of this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link, _segment, _stacks
from manyhands._probe._naming import Names
from manyhands._probe._sampling import Sampler

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from manyhands._probe._levels import Levels

ADDRESS = "MANYHANDS_WATCH_ADDRESS"  # of the observer, for processes that are started


WANTED = ("rate", "level", "files", "arguments")  # what there is always a value of; all else is asked for once


class Probe:
    """What watches this process.

    Attributes:
        wants: how the observer wants this process to be watched, by now. Who answers to a change (:attr:`answers`) begins with this.
        answers: who does what the observer asks for, by its name. Called by the thread that samples.
    """

    def __init__(self, address: str, about: dict[str, Any], wants: dict[str, Any] | None = None) -> None:
        """Greet the observer. ``wants``: what it wants, as far as that is known; None: it is waited for.

        Raises:
            OSError: it is not there.
            ValueError: it says nothing that could be understood.
        """
        self.address = address
        self.about = about
        self.pid = os.getpid()
        connected = _link.connect(address)
        try:
            self._stacks = _stacks.Writing()
            self._greet(connected)
            self.wants = _link.answer(connected) if wants is None else wants
            _check(self.wants)
        except BaseException:
            connected.close()
            if hasattr(self, "_stacks"):
                self._stacks.close()
            raise
        self.link = _link.Link(connected)
        self.names = Names(self.link.tell)
        self.answers: dict[str, Callable[[Any], None]] = {"level": self.count_lines, "files": self._count_in, "stack": self._tell_stacks}
        self._levels: Levels | None = None
        self._counted: tuple[str, Any] = ("sample", None)
        self._choosing = threading.Lock()
        self.sampler = Sampler(self.writer, self.link, self.names, self._obey, self.wants.get("rate", 20.0))
        self.sampler.first = self._stacks.let_in
        self.sampler.last.append(self._stacks.close)
        with contextlib.suppress(Exception):  # watching ends nothing
            self.count_lines(self.wants.get("level", "sample"), self.wants.get("files"))
        self.sampler.start()
        self.tell({"watching": self.sampler.number})
        with contextlib.suppress(OSError):
            self.link.flush()  # at once: C code may keep Python's lock from the thread from now on

    def _greet(self, connected: socket.socket) -> None:
        self.writer = _segment.Writer(records=_segment.MANY if self.about.get("role") == "program" else _segment.RECORDS)
        try:
            about = self._stacks.about()
            fds = [self.writer.fd] if self._stacks.fd is None else [self.writer.fd, self._stacks.fd]
            _link.greet(connected, {**_hello(self.about), "stacks": about}, fds)
        finally:
            self.writer.forget()

    def _tell_stacks(self, number: Any) -> None:
        for part in _stacks.told():
            self.tell({"stacked": number, **part})

    def count_lines(self, level: str, files: Any = ...) -> None:
        """Watch so closely from now on, see :mod:`._levels`; not anew if that is so. ``files``: in which lines are counted.

        Raises:
            ValueError: there is no such level.
        """
        with self._choosing:
            wanted = level, self._counted[1] if files is ... else files
            if wanted == self._counted:
                return
            if self._levels is None:
                from manyhands._probe._levels import Levels  # noqa: PLC0415 - most processes count no lines

                self._levels = Levels(self.writer, self.names, self.link.tell)
                self.sampler.before.append(self._levels.look)
                self.sampler.next = self._levels.next
                _tell_counts_at_end()
            self._levels.start(*wanted)
            self._counted = wanted

    def counts(self) -> str:
        """The level that is in force: "sample" also where lines cannot be counted."""
        return _segment.LEVELS[self.writer.words[_segment.LEVEL]]

    def _count_in(self, files: Any) -> None:
        if not callable(self._counted[1]):  # a function of this process's own is not to be sent, nor known of elsewhere
            self.count_lines(self._counted[0], files)

    def finish_counting(self) -> None:
        """Count no more, and tell what has been counted: the process ends."""
        if self._levels is not None:
            self._levels.stop()
            with contextlib.suppress(OSError):
                self.link.flush()

    def introduce(self, about: dict[str, Any]) -> None:
        """It is something else than was said: a child that was forked has become a worker."""
        if self.about != about:
            self.about = about
            self.tell({"am": {key: value for key, value in about.items() if key in {"role", "name"}}})

    def write(self, kind: int, at: int, *words: int) -> None:
        """Add a record. For any thread."""
        self.writer.write(kind, at, *words)

    def text(self, text: str) -> int:
        """The number of a text, for a record. For any thread."""
        return self.names.text(text)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the observer something that is long. For any thread."""
        self.link.tell(message)

    def _obey(self, message: dict[str, Any]) -> None:
        self.wants = {**self.wants, **{key: value for key, value in message.items() if key in WANTED}}
        for key, value in message.items():
            if (answer := self.answers.get(key)) is not None:
                with contextlib.suppress(Exception):  # watching ends nothing
                    answer(value)

    def stop(self) -> None:
        """Tell what has not been told, and hang up."""
        self.sampler.stop()
        if self._levels is not None:
            self._levels.stop()
        self._stacks.close()
        self.link.finish()
        if self.link.held.is_lost:
            _kept.append(self.writer)

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's."""
        if self._levels is not None:
            self._levels.abandon()
        self._stacks.close()
        self.link.close()


# Their memory has a descriptor as well, which is closed with it; by now that may be the program's.
_kept: list[_segment.Writer] = []


def _check(wants: dict[str, Any]) -> None:
    if "refused" in wants:
        raise ConnectionRefusedError(str(wants["refused"]))


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
    tells_counts = False  # whether counts of lines are told when the process ends


_state = _State()


def here() -> Probe | None:
    """The probe of this process, if it is watched."""
    probe = _state.probe
    return probe if probe is not None and probe.pid == os.getpid() and not probe.sampler.is_over else None


def start(address: str, wants: dict[str, Any] | None = None, **about: Any) -> Probe | None:
    """Have this process watched by the observer at an address; None: it is not there.

    Args:
        address: of its socket.
        wants: what the observer wants of this run, as another process has been told; None: it is asked, and its answer waited for.
        about: what the observer is told of this process: ``run``, ``role``, ``name`` and so on.
    """
    with _state.starting:
        probe = here()
        if probe is not None and (probe.address, probe.about.get("run")) == (address, about.get("run")):
            probe.introduce(about)
            return probe
        _drop()
        with contextlib.suppress(OSError, ValueError):
            _state.probe = Probe(address, about, wants)
        if not _state.is_followed:
            _state.is_followed = True
            os.register_at_fork(after_in_child=_in_child)
        return here()


def stop() -> None:
    """It is watched no more."""
    with _state.starting:
        _drop()


def _drop() -> None:
    probe, _state.probe = _state.probe, None
    if probe is not None and probe.pid == os.getpid():
        probe.stop()


def _tell_counts_at_end() -> None:
    """Also a child of multiprocessing's, which does not end as programs do."""
    if not _state.tells_counts:
        _state.tells_counts = True
        atexit.register(_tell_counts)
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _tell_counts, exitpriority=-100)


def _tell_counts() -> None:
    probe = here()
    if probe is not None:
        probe.finish_counting()


def _in_child() -> None:
    _state.starting = threading.Lock()
    probe, _state.probe = _state.probe, None
    if probe is not None:
        probe.abandon()
        start(probe.address, probe.wants, **{**probe.about, "role": "process", "name": ""})
