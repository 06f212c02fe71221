"""What is asked without waiting for it: futures of calls, and coroutines that stand for those of a shared object."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands import errors
from manyhands._engine._futures import Future
from manyhands.sharing import _asked, _callers, _coding, _local, _own_calls, _proxies, _streams
from manyhands.sharing._arrivals import Local, Remote

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Nothing:
    """In place of a pool: nothing has to be driven for the result to come."""

    @staticmethod
    def puts_off(_: object) -> bool:
        return False

    @staticmethod
    def notify() -> None:
        """Nobody waits in a pool."""

    @staticmethod
    def is_running(_: object) -> bool:
        return False


class Called(Future[T]):
    """The result of a call of a shared object that was not waited for."""

    def __init__(self) -> None:
        super().__init__(_Nothing())  # type: ignore[arg-type]
        self._stop: Callable[[bool], bool] | None = None

    def _await(self, timeout: float | None) -> None:
        condition = self._condition
        with condition:
            if not condition.wait_for(self.done, timeout):
                raise TimeoutError

    def cancel(self, *, running: bool = False) -> bool:
        """Keep the call from being run; False if it has started already: then only ``running=True`` stops it, if it is a coroutine."""
        if self.done():
            return self.cancelled()
        if self._stop is None or not self._stop(running):
            return self.cancelled()
        self._end(_CANCELLED)
        return self.cancelled()


_CANCELLED = "CANCELLED_AND_NOTIFIED"


def ask_later(proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, reply: bool) -> Called[Any] | None:
    """Have a method called; the future of what it returns, or None without ``reply``."""
    reference: Any = _proxies.reference_of(proxy)
    future: Called[Any] | None = Called() if reply else None
    if reference.is_in_transaction():  # elsewhere it would wait for the end of that
        _own_calls.settle(future, lambda: reference.request(_asked.CALL, name, args, kwargs))
    elif type(reference) is not Remote:
        _own_calls.put(future, reference, name, args, kwargs)
    else:
        _send(future, reference, name, args, kwargs)
    return future


def _send(future: Called[Any] | None, reference: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not reference.count:
        reference.hold()
    peer = reference.peer
    stream = _streams.of_this_thread(peer)
    told = None if future is None else lambda reply: _own_calls.settle(future, lambda: _read(peer, reply))
    request = stream.send(_asked.LATER, stream.caller, reference.number, name, args, kwargs, told)
    if future is not None:
        future._stop = lambda running: peer.request(_asked.CANCEL, 0, "", (stream.number, request, running), {})  # noqa: SLF001 - made for this


def _read(peer: Any, reply: bytes | None) -> Any:
    if reply is None:
        raise errors.OwnerDied(peer.address)
    return _coding.read(reply)


# ---------------------------------------------------------------- what is awaited


async def outcome(reference: Any, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
    """What a coroutine method returns. The event loop of the caller goes on meanwhile; who is cancelled takes the coroutine along."""
    caller = _callers.of_task.get() or _callers.another()
    if type(reference) is Local:
        from manyhands.sharing import _looping  # noqa: PLC0415 - asyncio takes 40 ms

        return await _looping.outcome_here(reference.entry, caller, name, *_local.arguments(args, kwargs or {}))
    return await _outcome_there(reference, caller, name, args, kwargs or {})


async def _outcome_there(reference: Any, caller: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import asyncio  # noqa: PLC0415 - it is loaded

    if not reference.count:
        reference.hold()
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bytes | None] = loop.create_future()

    def told(reply: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed, so nobody waits any more
            loop.call_soon_threadsafe(_wake, waiter, reply)

    stream = _streams.of_all(reference.peer)
    request = stream.send(_asked.AWAIT, caller, reference.number, name, args, kwargs, told)
    try:
        reply = await waiter
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):  # Ctrl-C may strike in the task itself, which is not cancelled then
        stream.cancel(request)
        raise
    return _read(reference.peer, reply)


def _wake(waiter: Any, reply: bytes | None) -> None:
    if not waiter.done():  # cancelled meanwhile
        waiter.set_result(reply)
