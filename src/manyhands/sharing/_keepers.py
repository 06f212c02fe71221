"""Keepers: processes that have nothing to do but to have shared objects.

What is made in a keeper can be reached while the program computes, may be what no process could send to another, and shares its process
with nobody. A keeper is forked by the zygote, as workers are: the kernel kills it when the program ends, whatever ends that.

**Guarantees**

- Ctrl-C does not end a keeper; the end of the program does, also by SIGKILL.
- A child that the program forks uses the program's keeper, and cannot end it.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from manyhands import errors
from manyhands._engine import _launch, _settings, _state, _watched
from manyhands._wire import _cpus, _posix
from manyhands.sharing import _asked as ops
from manyhands.sharing import _folder, _peers
from manyhands.sharing._shared_classes import builder

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
P = ParamSpec("P")

_MAIN = "manyhands.sharing._keeping"
_FAREWELL = 1.0  # seconds that one may take to end by itself
_START = 30.0  # seconds that one may take until it answers
_numbers = itertools.count()


class _Reached:
    """A keeper, as whoever knows its address uses it."""

    address: str

    def new(self, factory: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The proxy of what ``factory(*args, **kwargs)`` makes there.

        Raises:
            OwnerDied: the keeper has been closed.
            NotSerializable: an argument cannot be sent.
            Exception: what ``factory`` raises, with the traceback there.
        """
        made: T = _peers.peer_at(self.address).request(ops.NEW, 0, _name_of(factory), (builder(factory), *args), kwargs)
        return made

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return _folder.is_lived_in(self.address)


class Keeper(_Reached):
    """A process that has objects, until it is closed or the program ends.

    Example:
        >>> import manyhands
        >>> from collections import Counter
        >>> with manyhands.share.keeper() as keeper:
        ...     words = keeper.new(Counter, "abracadabra")
        ...     words.most_common(1)
        [('a', 5)]

    Attributes:
        address: where it can be reached.
        pid: its process id.

    Calls of objects in several keepers run at once, on as many processors. When the block ends, the process does, with all its objects;
    whoever has a proxy of one is told so by ``OwnerDied``.

    Raises:
        CannotStart: the machine has no room for a process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watch = -1  # a descriptor that stands for the process
        self._launcher = _launch.ZygoteLauncher(_state.zygote(), (_MAIN,))
        self._channel, theirs = _posix.channel_pair()
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            with theirs:
                self._launcher.start(next(_numbers), theirs, nowhere, _settings_of_one())
            self.pid, self.address = self._met()
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError):
                raise errors.CannotStart(error.errno, f"no keeper of shared objects can be started: {error}") from error
            raise
        finally:
            os.close(nowhere)
        _open.add(self)
        _hook()
        if _watched.joining is not None:
            self.tell(_watched.joining)

    def tell(self, joining: dict[str, Any] | None) -> None:
        """Where it is watched from now on; None: nowhere."""
        with contextlib.suppress(OSError):  # it has died
            self._channel.sendall(json.dumps(joining).encode() + b"\n")

    def _met(self) -> tuple[int, str]:
        """Its pid, and where it can be reached."""
        self._channel.settimeout(_START)
        said = self._channel.recv(4096)
        if not said:
            raise ConnectionResetError(errno.ECONNRESET, "it has ended as soon as it was started")
        self._channel.settimeout(None)
        pid, _, address = said.decode(errors="surrogateescape").partition(" ")
        if hasattr(os, "pidfd_open"):
            self._watch = os.pidfd_open(int(pid))
        return int(pid), address

    @property
    def is_open(self) -> bool:
        """Whether it can be used: it has neither been closed, nor has it died. In a forked child it is taken to be there."""
        if self not in _open:
            return self in _of_parent
        try:
            return bool(self._channel.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """End it, and with it its objects. In a child that was forked it does nothing: it is the parent's."""
        with self._lock:
            if self in _open:
                _open.discard(self)
                self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.settimeout(_FAREWELL)
            self._channel.shutdown(socket.SHUT_WR)
            self._channel.recv(1)  # until it has left
        if self._watch >= 0 and not _posix.has_ended(self.pid):
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._watch, 0)  # it is still the same process
                _posix.kill_group(self.pid)
        self._let_go()
        _peers.peer_at(self.address).close()

    def _let_go(self) -> None:
        self._channel.close()
        self._launcher.close()
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1

    def abandon(self) -> None:
        """In a forked child: it is the parent's."""
        self._lock = threading.Lock()
        self._launcher.abandon()
        self._let_go()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<manyhands.share.keeper {self.pid} {'open' if self.is_open else 'closed'}>"


def _settings_of_one() -> _settings.Settings:
    return _settings.of_now(
        cpus=_cpus.cpu_count(),
        idle_timeout=0,
        memory_limit=None,
        inheritance=False,
        initializer=False,
        main=_MAIN,
    )


def _name_of(factory: object) -> str:
    return str(getattr(factory, "__qualname__", type(factory).__qualname__))


# ---------------------------------------------------------------- those of this process


_open: set[Keeper] = set()
_of_parent: set[Keeper] = set()


def tell(joining: dict[str, Any] | None) -> None:
    """Where the keepers of this process are watched from now on; None: nowhere."""
    for keeper in list(_open):
        keeper.tell(joining)


# Tells processes of this program where its keeper is.
_VARIABLE = "MANYHANDS_KEEPER"


class _Default:
    keeper: _Reached | None = None
    making = threading.Lock()
    is_hooked = False


def start() -> Keeper:
    """A new keeper."""
    return Keeper()


def default() -> _Reached:
    """The keeper of this program. It is started when it is first used, or when it has died.

    A worker, or a process of multiprocessing, uses that of its program, if that had one when the worker was started; else one of its own.
    """
    keeper = _Default.keeper
    if keeper is None or not keeper.is_open:
        with _Default.making:
            keeper = _Default.keeper
            if keeper is None or not keeper.is_open:
                keeper = _Default.keeper = _of_program() or _made()
    return keeper


def _made() -> Keeper:
    keeper = Keeper()
    os.environ[_VARIABLE] = keeper.address
    return keeper


def _of_program() -> _Reached | None:
    """Where this process is one that works for another: the keeper of that."""
    address = os.environ.get(_VARIABLE)
    process: Any = sys.modules.get("multiprocessing.process")
    is_child = os.environ.get("MANYHANDS_WORKER") == str(os.getpid()) or (process is not None and process.parent_process() is not None)
    if not address or not is_child:
        return None
    keeper = _Reached()
    keeper.address = address
    return keeper if keeper.is_open else None


def shut_down() -> None:
    """End those that there are."""
    _end_default()
    for keeper in list(_open):
        keeper.close()


def _end_default() -> None:
    with _Default.making:
        keeper, _Default.keeper = _Default.keeper, None
        if isinstance(keeper, Keeper):
            if os.environ.get(_VARIABLE) == keeper.address:
                del os.environ[_VARIABLE]
            keeper.close()


def _hook() -> None:
    if not _Default.is_hooked:
        _Default.is_hooked = True
        atexit.register(shut_down)
        _state.at_shutdown.append(_end_default)
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    _Default.making = threading.Lock()
    for keeper in list(_open):
        _open.discard(keeper)
        _of_parent.add(keeper)
        keeper.abandon()
