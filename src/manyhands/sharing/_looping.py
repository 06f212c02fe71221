"""Coroutines of shared objects, run in the process that has the object.

They run in the event loop that was running where the object was shared; otherwise in one that a thread of manyhands' own runs. What a
coroutine does between two awaits it does alone with its object, as a method does; while it awaits, others may do something with it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from manyhands.sharing import _callers, _local, _operations

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from concurrent.futures import Future

    from manyhands.sharing._monitors import Monitor
    from manyhands.sharing._operations import Teller
    from manyhands.sharing._table import Entry


T = TypeVar("T")


class _Background:
    """An event loop, and the thread that runs it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="manyhands-share-loop", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def close(self) -> None:
        """Cancel what runs, and end."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self.loop).result(_FAREWELL)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(_FAREWELL)
        if not self.thread.is_alive():
            self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_FAREWELL) if tasks else None
        await asyncio.get_running_loop().shutdown_default_executor()


_FAREWELL = 2.0  # seconds


class _State:
    background: _Background | None = None
    making = threading.Lock()


def loop_of(entry: Entry) -> asyncio.AbstractEventLoop:
    """The event loop for the coroutines of an object."""
    loop: asyncio.AbstractEventLoop | None = entry.root.loop
    if loop is not None and loop.is_running():
        return loop
    with _State.making:
        if _State.background is None:
            _State.background = _Background()
        return _State.background.loop


def start(coroutine: Coroutine[Any, Any, T], entry: Entry) -> Future[T]:
    """Have it run in the event loop of an object."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop_of(entry))


async def outcome(teller: Teller, entry: Entry, caller: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a coroutine method returns, as ``teller`` says it; with ``__await__``, what the object itself gives when it is awaited."""
    _callers.have_numbers()
    token = _callers.of_task.set(caller)
    try:
        result = await _Steps(entry, caller, name, args, kwargs)
        return _operations.reply_with(teller, entry, name, result)
    finally:
        _callers.of_task.reset(token)


async def outcome_here(entry: Entry, caller: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for a coroutine of this process."""
    coroutine = outcome(_local.teller, entry, caller, name, args, kwargs)
    if loop_of(entry) is asyncio.get_running_loop():
        return await coroutine
    running = start(_packed(coroutine), entry)
    try:
        return _unpacked(await asyncio.wrap_future(running))
    except BaseException:  # Ctrl-C may strike in the task itself, which is not cancelled then
        running.cancel()
        raise


def result_here(entry: Entry, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for a thread that waits for it."""
    return _unpacked(start(_packed(outcome(_local.teller, entry, _callers.another(), name, args, kwargs)), entry).result())


async def _packed(coroutine: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    """What it returns or raises: that may end who waits for it, but not the event loop that it runs in."""
    try:
        return await coroutine, None
    except (KeyboardInterrupt, SystemExit) as error:
        return None, error


def _unpacked(packed: tuple[T, BaseException | None]) -> T:
    result, error = packed
    if error is not None:
        raise error
    return result


class _Steps:
    """An awaitable that takes the monitor for each step of a coroutine, and waits for it without keeping the event loop waiting."""

    def __init__(self, entry: Entry, caller: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._entry = entry
        self._caller = caller
        self._call = name, args, kwargs
        free = entry.free
        self._monitor: Monitor | None = None if name in free or "*" in free else entry.monitor

    def __await__(self) -> Generator[Any, Any, Any]:
        # A variable for each thing that a step is begun with: a value, or an exception that is thrown into it.
        value: Any = None
        thrown: BaseException | None = None
        steps: Generator[Any, Any, Any] | None = None
        while True:
            yield from self._entered()
            try:
                if steps is None:
                    steps = self._begun()
                awaited = steps.send(value) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                return end.value
            finally:
                if self._monitor is not None:
                    self._monitor.leave()
            value = thrown = None
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to deal with
                thrown = error

    def _begun(self) -> Generator[Any, Any, Any]:
        name, args, kwargs = self._call
        obj = self._entry.obj
        awaited = obj if name == "__await__" else _operations.result_of(obj, name, args, kwargs)
        return _unwrapped(awaited).__await__()

    def _entered(self) -> Generator[Any, Any, None]:
        monitor = self._monitor
        while monitor is not None and not monitor.enter(self._caller, 0):
            yield from asyncio.to_thread(monitor.await_free).__await__()


async def _unwrapped(awaitable: Any) -> Any:
    """Whatever can be awaited, as a coroutine: generators that were made into such cannot be asked for their steps otherwise."""
    return await awaitable


def shut_down() -> None:
    """End the thread, if there is one."""
    with _State.making:
        background, _State.background = _State.background, None
    if background is not None:
        background.close()


def forked() -> None:
    """In a child: the thread is the parent's."""
    _State.background = None
    _State.making = threading.Lock()
