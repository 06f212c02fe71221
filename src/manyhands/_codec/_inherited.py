"""What another process can have only from its parent, when it starts: the queues, locks, shared memory and pipes of ``multiprocessing``.

Where one of them is, the pickle has a token, which a worker looks up in its table. The table comes to it in one of two ways: it is forked
from this process, with all that is in its memory; or it is sent names of semaphores, and descriptors, which is how multiprocessing hands
them to what it spawns. The second needs no fork, but semaphores of the "fork" context have no name that another process could open.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._codec import _handed, _pickling
from manyhands._codec._mended import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from manyhands._codec._pickling import Encoder

REASON = "such objects should only be shared between processes through inheritance"
MEND = (
    "give it to each worker when that starts: initializer= and initargs= of an Executor or a Pool, or args= of a Process; or use that of a "
    "multiprocessing.Manager(), or, instead of a queue, return values"
)
_CHOSEN = (
    "leave out start_method (or the context): then workers are forked from this process, and have it; or make it with "
    "multiprocessing.get_context('spawn'), whose objects can be handed to any process"
)
_MOST = 60  # descriptors that go with one message

_tokens = itertools.count(1)
_now = threading.local()  # .inheritance: what the pickling of this thread may refer to; .passed_on: what the child of a fork keeps


class _Kept(NamedTuple):
    """``fd``: a copy of its descriptor, since the user may close his before the last worker has started; or None."""

    value: Any
    fd: int | None


class Inheritance:
    """What the workers of one pool inherit, by token. It lives as long as workers may be started.

    Args:
        forked: they are forked from this process. If not, they will be when ``may_fork``, and something can be had by no other way.
    """

    def __init__(self, *, forked: bool, may_fork: bool) -> None:
        self.forked = forked
        self.has_news = False  # something has been added
        self._may_fork = may_fork
        self._adding = False
        self._tokens: dict[int, int] = {}  # by id of what is kept
        self._kept: dict[int, _Kept] = {}
        self._sent: Bequest | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """What is pickled in there goes to workers that have not started yet: it may hold anything that can be inherited."""
        self._adding = True
        try:
            with self.known():
                yield
        finally:
            self._adding = False

    @contextlib.contextmanager
    def known(self) -> Iterator[None]:
        """What is pickled in there may hold what the workers have inherited."""
        _now.inheritance, before = self, getattr(_now, "inheritance", None)
        try:
            yield
        finally:
            _now.inheritance = before

    def token(self, value: Any) -> int | None:
        """What stands for an object; None: the workers do not have it.

        Raises:
            Refused: it cannot be had in the way in which they are started.
        """
        found = self._tokens.get(id(value))
        if found is None and self._adding:
            self._check(value)
            kept = _Kept(value, _copied_descriptor(value))
            found = self._tokens[id(value)] = next(_tokens)
            self._kept[found] = kept
            self.has_news = True
        return found

    def take_in(self, values: Iterable[Any]) -> None:
        """Those of these values that can only be inherited are, whether or not what is pickled refers to them."""
        from manyhands._codec import _rules  # noqa: PLC0415 - it has the rule of this module in its table

        for value in list(values):
            rule = _rules.rule_for(type(value))
            if isinstance(rule, Inheritable) and rule.holds_for(value):
                with contextlib.suppress(Refused):  # it is closed: whoever uses it is told so
                    self.token(value)

    def _check(self, value: Any) -> None:
        if self.forked:
            return
        try:
            _pack([value]).close()
        except Exception as error:  # noqa: BLE001 - reducers of multiprocessing may raise anything
            if not self._may_fork:
                reason = f"workers are not forked from this process, and to others it cannot be handed ({' '.join(str(error).split())})"
                raise Refused(reason, _CHOSEN) from None
            self.forked = True

    def bequest(self) -> Bequest:
        """All of it, to be sent to workers that are not forked from this process.

        Raises:
            Exception: it cannot be sent together, though each of them could be.
        """
        if self._sent is None:
            self._sent = _pack({token: kept.value for token, kept in self._kept.items()})
            self._close_copies()
        return self._sent

    # ------------------------------------------------------------ fork

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """A child that this thread forks in there is a worker that inherits this; others let go of it."""
        _now.passed_on = self
        try:
            yield
        finally:
            _now.passed_on = None

    def adopt(self) -> None:
        """In the forked worker: this is its table."""
        _table.clear()
        _table.update((token, _settled(kept)) for token, kept in self._kept.items())
        self._kept.clear()
        self._tokens.clear()

    def let_go(self) -> None:
        """In a forked child: its own descriptors are the parent's, unless it inherits them."""
        if getattr(_now, "passed_on", None) is not self:
            self.close()

    def close(self) -> None:
        """No worker is started any more."""
        self._close_copies()
        self._kept.clear()
        self._tokens.clear()
        if self._sent is not None:
            self._sent.close()

    def _close_copies(self) -> None:
        for token, kept in self._kept.items():
            if kept.fd is not None:
                self._kept[token] = kept._replace(fd=None)
                os.close(kept.fd)


def _copied_descriptor(value: Any) -> int | None:
    return _handed.copied_descriptor(value) if _handed.holds_descriptor(value) else None


def _settled(kept: _Kept) -> Any:
    """The object in the worker: what it closes must be closed, so there is one descriptor of it."""
    value, fd = kept
    if fd is None:
        return value
    if _handed.is_closed(value):  # the program did, before this worker was started
        make, args = _handed.parts(value)
        return make(fd, *args)
    os.close(fd)
    return value


# ------------------------------------------------------------ sent


class Bequest:
    """What is sent: a pickle, and descriptors that it refers to by their places."""

    def __init__(self, payload: bytes, fds: Sequence[int]) -> None:
        self.payload: bytes = payload
        self.fds: Sequence[int] = fds

    def close(self) -> None:
        """Give the descriptors back."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)


class _Spawning:
    """Takes the place of the process that multiprocessing would be about to spawn: it is asked to take descriptors along."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        if len(self.fds) == _MOST:
            msg = f"at most {_MOST} descriptors can be sent together"
            raise ValueError(msg)
        self.fds.append(os.dup(fd))
        return len(self.fds) - 1

    def DupFd(self, place: int) -> _Descriptor:  # noqa: N802, RUF100 - what multiprocessing calls it
        return _Descriptor(place)


class _Descriptor:
    """In the pickle: the descriptor in this place."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place

    def detach(self) -> int:
        """Whoever calls it has to close it."""
        return _received.pop(self.place)


def _pack(values: Any) -> Bequest:
    from multiprocessing import context  # noqa: PLC0415 - loaded: there is an object of it

    spawning, before = _Spawning(), context.get_spawning_popen()
    context.set_spawning_popen(spawning)  # type: ignore[arg-type] # it does what is asked of one
    try:
        encoder = _Sender(io.BytesIO())
        encoder.dump(values)
    except BaseException:
        Bequest(b"", spawning.fds).close()
        raise
    finally:
        context.set_spawning_popen(before)
    return Bequest(encoder.file.getvalue(), spawning.fds)


class _Sender(_pickling.Encoder):
    """Takes such objects apart as multiprocessing does for a process that it spawns."""

    def reducer_override(self, obj: Any) -> Any:
        from multiprocessing import reduction  # noqa: PLC0415 - as above

        from manyhands._codec import _rules  # noqa: PLC0415 - it has the rule of this module in its table

        if _handed.holds_descriptor(obj):
            make, args = _handed.parts(obj)
            return _made_with, (reduction.DupFd(obj.fileno()), make, args)
        reduce = reduction.ForkingPickler._extra_reducers.get(type(obj))  # type: ignore[attr-defined] # noqa: SLF001 - that of its own registry
        if reduce is not None:
            return reduce(obj)
        return NotImplemented if isinstance(_rules.rule_for(type(obj)), Inheritable) else super().reducer_override(obj)


def _made_with(descriptor: _Descriptor, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return make(descriptor.detach(), *args)


# ------------------------------------------------------------ in the worker

_table: dict[int, Any] = {}
_received: dict[int, int] = {}  # descriptors, by place, until they are taken


def receive(payload: bytes | bytearray | memoryview, fds: Sequence[int]) -> None:
    """Have the table that was sent."""
    _received.update(enumerate(fds))
    try:
        _table.update(pickle.loads(payload))
    finally:
        for fd in _received.values():
            os.close(fd)
        _received.clear()


def inherited(token: int) -> Any:
    """The object that a token stands for."""
    try:
        return _table[token]
    except KeyError:
        msg = "what this worker was to inherit is gone: it was started when its process, or its executor, had been given up"
        raise LookupError(msg) from None


# ------------------------------------------------------------ the rule


class Inheritable:
    """The rule for such objects: a token, where they are inherited; elsewhere they are refused."""

    def __init__(self, reason: str = REASON, mend: str = MEND) -> None:
        self._reason = reason
        self._mend = mend

    def holds_for(self, _: Any) -> bool:
        """Whether this object can only be inherited."""
        return True

    def __call__(self, encoder: Encoder, value: Any) -> Any:
        if not self.holds_for(value):
            return NotImplemented
        inheritance: Inheritance | None = getattr(_now, "inheritance", None)
        token = None if inheritance is None else inheritance.token(value)
        if token is None:
            return self._otherwise(encoder, value)
        return inherited, (token,)

    def _otherwise(self, _: Encoder, value: Any) -> Any:
        """How one travels that is not inherited."""
        raise Refused(self._reason, self._mend, of=value)


class Descriptor(Inheritable):
    """The same for sockets and connections, of which the arguments of tasks bring copies as well."""

    def holds_for(self, value: Any) -> bool:
        """Whether this object can be sent in either way."""
        return _handed.holds_descriptor(value)

    def _otherwise(self, encoder: Encoder, value: Any) -> Any:
        if encoder.is_dry or (encoder.brings_buffers and encoder.classes in _pickling.ARGUMENTS):
            return _handed.reduced(value, is_dry=encoder.is_dry)
        return super()._otherwise(encoder, value)


class InheritableMemory(Inheritable):
    """The same for objects of ctypes, of which those of ``RawValue`` and ``RawArray`` are in shared memory."""

    def holds_for(self, value: Any) -> bool:
        """Whether this object can only be inherited."""
        return hasattr(value, "_wrapper")
