"""``later(c).inc()``, for objects of this process and of other machines: the calls of a thread are run in another, one by one."""

from __future__ import annotations

import inspect
import logging
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked, _callers, _local
from manyhands.sharing._arrivals import Local

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("manyhands")


class _Calls:
    """Those of one thread."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        threading.Thread(target=_run, args=(self.queue,), name="manyhands-share-later", daemon=True).start()

    def end(self) -> None:
        """Run those that there are, and no more."""
        self.queue.put(None)

    __del__ = end


class _State:
    def __init__(self) -> None:
        self.of_thread = threading.local()
        self.all: weakref.WeakSet[_Calls] = weakref.WeakSet()


_state = [_State()]


def put(future: Any, reference: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Have a method be called."""
    mine = vars(_state[0].of_thread)
    calls = mine.get("calls")
    if calls is None:
        calls = mine["calls"] = _Calls()
        _state[0].all.add(calls)
    started = threading.Lock()  # taken by who is first: the call, or who cancels it
    if future is not None:
        future._stop = lambda _: started.acquire(blocking=False)  # noqa: SLF001 - made for this
    calls.queue.put((started, future, reference, name, args, kwargs))


def _run(calls: queue.SimpleQueue[tuple[Any, ...] | None]) -> None:
    _callers.here.number = _callers.another()
    while (call := calls.get()) is not None:
        started, future, reference, name, args, kwargs = call
        if started.acquire(blocking=False):
            try:
                settle(future, lambda: _called(reference, name, args, kwargs))  # noqa: B023 - it is called at once
            except BaseException:  # noqa: BLE001 - nobody else is told
                _log.exception("a call that was made with reply=False has failed")
        del call, future, reference, args, kwargs


def _called(reference: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(reference, Local) and inspect.iscoroutinefunction(getattr(type(reference.entry.obj), name, None)):
        from manyhands.sharing import _looping  # noqa: PLC0415 - asyncio takes 40 ms

        return _looping.result_here(reference.entry, name, *_local.arguments(args, kwargs))
    return reference.request(_asked.CALL, name, args, kwargs)


def settle(future: Any, outcome: Callable[[], Any]) -> None:
    """Give a future what ``outcome()`` returns or raises; without one, raise it."""
    try:
        result = outcome()
    except BaseException as error:  # whatever it is, it is for who waits
        if future is None:
            raise
        future.set_exception(error)
    else:
        if future is not None:
            future.set_result(result)


def shut_down() -> None:
    """End the threads."""
    state, _state[0] = _state[0], _State()
    for calls in list(state.all):
        calls.end()


def forked() -> None:
    """In a child: they are the parent's."""
    _state[0] = _State()
