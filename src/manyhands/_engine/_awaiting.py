"""``await future``, and ``async with executor``. Loaded where somebody does, since ``asyncio`` takes 40 ms."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._engine._futures import Future

T = TypeVar("T")


async def outcome(future: Future[T]) -> T:
    """What it gives, as soon as it is there. Who is cancelled meanwhile takes the task along, as with a future of asyncio's own."""
    if not future.done():
        await _until_done(future)
    if future.cancelled():
        raise asyncio.CancelledError
    return future.result()


async def _until_done(future: Future[T]) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():  # cancelled meanwhile
            waiter.set_result(None)

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed, so nobody waits any more
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    try:
        await waiter
    except asyncio.CancelledError:
        future.cancel(running=True)
        raise


async def leave(exit_block: Callable[[type[BaseException] | None], object], kind: type[BaseException] | None) -> None:
    """Leave a block, which may take long, in a thread. Who is cancelled meanwhile leaves it at once, as if that had been in it."""
    threads = ThreadPoolExecutor(2, thread_name_prefix="manyhands-exit")
    leaving = asyncio.wrap_future(threads.submit(exit_block, kind))
    try:
        await asyncio.shield(leaving)
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.wrap_future(threads.submit(exit_block, asyncio.CancelledError)))
        await asyncio.shield(leaving)
        raise
    finally:
        threads.shutdown(wait=leaving.done())
