"""Writing files of a run: those that ``manyhands.watch(save=)`` asks for when it has ended, and ``manyhands watch --save`` at any time."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING

from manyhands.watch.observer import _exports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from manyhands.watch.observer._exports import Part
    from manyhands.watch.observer._model import Run

_PIECE = 1 << 16  # bytes that are given together
_TURN = 0.01  # seconds in which nothing else is done


class Saving:
    """``changed()`` is called when nothing more is written."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._writing: dict[asyncio.Future[str], str] = {}  # for which run

    @property
    def is_busy(self) -> bool:
        """Whether anything is written."""
        return bool(self._writing)

    def begin(self, run: Run) -> None:
        """A run has ended: write what is wanted of it."""
        for path in run.choices.get("save") or ():
            self._begin(run, str(path))

    async def ended(self, run: Run) -> str:
        """Wait until all of a run is written that was begun; why it is not, or nothing."""
        await asyncio.gather(*[task for task, token in self._writing.items() if token == run.token])
        return run.unsaved

    async def keep(self, run: Run, path: str) -> str:
        """Write a file of a run as it is now; why that could not be done, or nothing."""
        return await self._begin(run, path)

    def _begin(self, run: Run, path: str) -> asyncio.Future[str]:
        task = asyncio.ensure_future(_written(run, path))
        self._writing[task] = run.token
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Future[str]) -> None:
        del self._writing[task]
        self._changed()


async def _written(run: Run, path: str) -> str:
    kind = _exports.kind_of(path)
    try:
        if kind is None:
            return f"{path} is none of the files that a run can be kept in"
        await _write(path, kind.made(run, time.monotonic_ns()))
    except Exception as error:  # noqa: BLE001 - who watches does not fail by it
        run.unsaved = f"{type(error).__name__}: {error}"
        traceback.print_exc(file=sys.stderr)  # the observer's log
        return run.unsaved
    return ""


async def in_turn(parts: Iterable[Part]) -> AsyncIterator[bytes]:
    """Parts of a file, some of them together, with all else that there is to do in between."""
    held: list[bytes] = []
    size, until = 0, time.monotonic() + _TURN
    for part in parts:
        text = part if isinstance(part, str) else await asyncio.to_thread(part)
        held.append(text.encode())
        size += len(held[-1])
        if size >= _PIECE or time.monotonic() >= until:
            yield b"".join(held)
            held.clear()
            await asyncio.sleep(0)
            size, until = 0, time.monotonic() + _TURN
    yield b"".join(held)


async def _write(path: str, parts: Iterable[Part]) -> None:
    """A file that this user alone can read. It is there as a whole, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".manyhands-")
    try:
        with open(descriptor, "wb") as file:
            async for piece in in_turn(parts):
                file.write(piece)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
