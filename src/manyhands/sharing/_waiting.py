"""Waiting on behalf of somebody who may die meanwhile, or give up.

A thread that serves a client and has to wait for what others will do looks at the client's connection as well. Nothing can come over that
while a request is being answered, but its end, and word that the client does not wait any more.

**Guarantees.** Who is not there any more is granted nothing: a grant that crosses with the end of the client is taken back (``undo``).
A grant whose reply nobody has read is taken back too (:func:`unless_lost`): the kernel tells when a connection ends with something unread.
"""

from __future__ import annotations

import math
import os
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from manyhands.sharing import _callers
from manyhands.sharing._table import here

if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable

    from manyhands.sharing._serving import Service, Session


class Gone(BaseException):
    """Whoever this thread waited for is not there any more, or has given up."""


class Party(NamedTuple):
    """Who does something: a thread, and the process that it is in, unless that is this one."""

    caller: int
    session: Session | None


class Held(Protocol):
    """What a process may die in possession of."""

    def left_by(self, session: Session) -> None:
        """That process is gone."""


def me() -> Party:
    """Who calls."""
    service = _callers.here.service
    return Party(_callers.current(), None if service is None else service.session)


class Undo(NamedTuple):
    """How to take back what a call of an object has given."""

    of: object
    do: Callable[[], object]

    def concerns(self, number: int) -> bool:
        """Whether it was that object which was called, and not another that has used it for itself."""
        entry = here.table.entries.get(number)
        return entry is not None and getattr(entry.obj, "manyhands_target", entry.obj) is self.of


def unless_lost(of: object, undo: Callable[[], object]) -> None:
    """Have this done if what a method of ``of`` has returned reaches nobody."""
    service = _callers.here.service
    if service is not None:
        service.undo = Undo(of, undo)


def _ends(service: Service) -> int:
    """What ends a wait on behalf of a client: its end, and its next word, unless it sends requests without waiting for replies."""
    return select.POLLRDHUP | (select.POLLIN if service.is_waited_for else 0)


class Waiter:
    """One thread that waits to be granted something.

    Attributes:
        party: for whom.
        item: what is granted, or what is offered.
        is_granted: changed by others, under the lock of what is waited for.
    """

    __slots__ = ("_descriptor", "_service", "is_granted", "item", "party")

    def __init__(self, item: Any = None) -> None:
        self.party = me()
        self.item = item
        self.is_granted = False
        self._service = _callers.here.service
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def grant(self, item: Any = None) -> None:
        """Let it go on."""
        self.item = item
        self.is_granted = True
        os.eventfd_write(self._descriptor, 1)

    def is_there(self) -> bool:
        """Whether somebody still waits for what it is granted."""
        if self._service is None:
            return True
        poll = select.poll()
        poll.register(self._service.descriptor, select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)

    def wait(self, seconds: float | None) -> None:
        """Until it is granted, or so many seconds have passed.

        Raises:
            Gone: for nobody any more.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if self._service is not None:
            poll.register(self._service.descriptor, _ends(self._service))
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            ready = poll.poll(None if deadline is None else max(0, math.ceil(1000 * (deadline - time.monotonic()))))
            if any(descriptor != self._descriptor for descriptor, _ in ready):
                raise Gone
            if ready or (deadline is not None and time.monotonic() >= deadline):
                return

    def close(self) -> None:
        """Nobody grants it anything any more."""
        os.close(self._descriptor)


def first_of(waiters: deque[Waiter]) -> Waiter | None:
    """The first who is still there, and waits no longer; with the mutex held. Those before it are found out by their own threads."""
    while waiters:
        waiter = waiters.popleft()
        if waiter.is_there():
            return waiter
    return None


def park(waiter: Waiter, waiters: deque[Waiter], mutex: threading.Lock, seconds: float | None, undo: Callable[[Waiter], object]) -> bool:
    """Wait, as one of ``waiters``; False: it was not granted in time.

    ``undo`` is called with the mutex held, if it was granted and nobody is there for it. Whatever happens, it is none of them afterwards.
    """
    try:
        waiter.wait(seconds)
    except BaseException:
        with mutex:
            if waiter.is_granted:
                undo(waiter)
            else:
                _remove(waiters, waiter)
        raise
    else:
        with mutex:
            if not waiter.is_granted:
                _remove(waiters, waiter)
            return waiter.is_granted
    finally:
        waiter.close()


def _remove(waiters: deque[Waiter], waiter: Waiter) -> None:
    if waiter in waiters:
        waiters.remove(waiter)


def patience(blocking: bool, timeout: float | None) -> float | None:
    """For how many seconds to wait; None: for ever.

    Raises:
        ValueError: as of a ``threading.Lock``.
    """
    if timeout == -1:
        timeout = None
    if not blocking:
        if timeout is not None:
            msg = "can't specify a timeout for a non-blocking call"
            raise ValueError(msg)
        return 0.0
    if timeout is not None and timeout < 0:
        msg = "timeout value must be a non-negative number"
        raise ValueError(msg)
    return timeout


class Shareable:
    """Its instances are shared by being sent: a pickle of one is that of its proxy. Nobody waits for the monitor to use it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        from manyhands.sharing import _arrivals  # noqa: PLC0415 - whose proxies serve these

        return _arrivals.local(self).__reduce_ex__(protocol)


def runs_here(method: Any) -> Any:
    """A method that a proxy does not pass on: it runs in the process of the caller, with the proxy for ``self``."""
    method.__manyhands_runs_here__ = True
    return method
