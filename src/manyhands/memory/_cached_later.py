"""Functions whose results are there later: coroutine functions, generator functions, asynchronous generator functions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from manyhands._codec import _kept, _pickling
from manyhands.errors import NotSerializable, NotStorable
from manyhands.memory._cached import MemorizedFunc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from manyhands.memory._cached import Told
    from manyhands.memory._contract import Found
    from manyhands.memory._results import MemorizedResult
    from manyhands.memory._settings import Settings


class AsyncMemorizedFunc(MemorizedFunc[..., Any]):
    """A coroutine function whose results are kept: the event loop goes on while another computes what is waited for."""

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        told = self._told(args, kwargs)
        hit = self._find(told[1])
        if hit is None:
            hit = self._taken_over(told, args, kwargs)
        return await self._computed_later(told, args, kwargs) if hit is None else hit.value

    async def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> MemorizedResult[Any]:  # type: ignore[override] # it is awaited
        """The same call, but the result stays in the store until it is asked for."""
        told = self._told(args, kwargs)
        if not self._is_here(told, args, kwargs):  # _computed_later looks elsewhere
            await self._computed_later(told, args, kwargs)
        return self._shelved(told[1])

    async def call(self, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override] # it is awaited
        """Compute the result, whether or not it is in the store, and keep it there."""
        work = self._begin(self._told(args, kwargs))
        return self._finish(work, await self.func(*args, **kwargs))

    async def _computed_later(self, told: Told, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        turn = self._turn(told)
        async with turn as is_mine:
            hit = await _fetched(self, told[1]) if is_mine else self._find(told[1])
            if hit is not None:
                return hit.value
            work = self._begin(self._still(told, turn, args, kwargs))
            return self._finish(work, await self.func(*args, **kwargs))[0]


class MemorizedGenerator(MemorizedFunc[..., Any]):
    """A generator function: what it yields and returns is kept once it has come to its end, and then given again.

    Where it is computed it is the generator itself, to which can be sent; where it is given again, what is sent is not looked at. One that
    is not read to its end is not kept. Nobody waits for another's: whoever reads it may stop halfway.
    """

    def __call__(self, /, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        key = self._told(args, kwargs)[1]
        hit = self._find(key) or self._fetched(key)
        return self._recorded(args, kwargs) if hit is None else _given_again(hit.value)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute it, whether or not it is in the store, and keep it there."""
        return self._recorded(args, kwargs)

    def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> MemorizedResult[Any]:
        """Read it to its end, and keep it: a pair of what it yields, and what it returns."""
        told = self._told(args, kwargs)
        if not self._is_there(told, args, kwargs):
            for _ in self._recorded(args, kwargs):
                pass
        return self._shelved(told[1])

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, Any]:
        work, items = self._begin(self._told(args, kwargs)), Recording(self._settings, self._code.name)
        returned = yield from _recording(self.func(*args, **kwargs), items)
        if items.is_whole:
            self._finish(work, items.ended(returned))
        return returned


class AsyncMemorizedGenerator(MemorizedFunc[..., Any]):
    """The same for an asynchronous generator function."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        return self._iterating(args, kwargs)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute it, whether or not it is in the store, and keep it there."""
        return self._recorded(args, kwargs)

    async def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> MemorizedResult[Any]:  # type: ignore[override] # it is awaited
        """Read it to its end, and keep it: the list of what it yields."""
        told = self._told(args, kwargs)
        if not self._is_good(told[1]):  # _iterating looks elsewhere
            async for _ in self._iterating(args, kwargs):
                pass
        return self._shelved(told[1])

    async def _iterating(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncGenerator[Any, Any]:
        key = self._told(args, kwargs)[1]
        hit = self._find(key) or await _fetched(self, key)
        if hit is None:
            async for item in self._recorded(args, kwargs):
                yield item
        else:
            for item in _given_again(hit.value):
                yield item

    async def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncGenerator[Any, Any]:
        work, items = self._begin(self._told(args, kwargs)), Recording(self._settings, self._code.name)
        async for item in self.func(*args, **kwargs):
            items.add(item)
            yield item
        if items.is_whole:
            self._finish(work, items.ended(None))


class Recording:
    """What a generator has yielded, each as it was then: whoever gets it may change it.

    Attributes:
        is_whole: whether all of it could be kept.
    """

    def __init__(self, settings: Settings, function: str) -> None:
        self._settings = settings
        self._function = function
        self._items: list[bytes] = []
        self.is_whole = True

    def add(self, item: Any) -> None:
        """One more.

        Raises:
            NotStored: it cannot be kept; unless that is to be a warning.
        """
        if not self.is_whole:
            return
        try:
            self._items.append(_kept.encode_whole(item))
        except NotSerializable as error:
            self.is_whole = False
            self._items.clear()
            self._settings.say_not_stored(self._function, NotStorable(self._function, error.parts, error.more), item)

    def ended(self, returned: Any) -> tuple[list[bytes], Any]:
        """What is kept."""
        return self._items, returned


def kind_of(function: Callable[..., Any]) -> type[MemorizedFunc[..., Any]]:
    """What ``Memory.cache`` makes of such a function."""
    if inspect.iscoroutinefunction(function):
        return AsyncMemorizedFunc
    return MemorizedGenerator if inspect.isgeneratorfunction(function) else AsyncMemorizedGenerator


async def _fetched(function: MemorizedFunc[..., Any], key: bytes) -> Found | None:
    """What others have stored elsewhere; the event loop goes on while it is looked for."""
    store = function._store  # noqa: SLF001 - one family
    if not store.has_remote:
        return None
    import asyncio  # noqa: PLC0415 - whoever gets here has loaded it

    return function._find(key) if await asyncio.to_thread(store.fetch, key) else None  # noqa: SLF001 - as above


def _given_again(stored: tuple[list[bytes], Any]) -> Generator[Any, Any, Any]:
    items, returned = stored
    for item in items:
        yield _pickling.decode(item, (), "result")
    return returned


def _recording(generator: Generator[Any, Any, Any], items: Recording) -> Generator[Any, Any, Any]:
    """The same generator, with all that can be done to one."""
    try:
        item = next(generator)
        while True:
            items.add(item)
            try:
                sent = yield item
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is for the generator
                item = generator.throw(error)
            else:
                item = generator.send(sent)
    except StopIteration as end:
        return end.value
