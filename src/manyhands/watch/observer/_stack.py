"""The stacks of all threads of a process, now.

The process tells them itself, if it can. Where it does not, since C code holds Python's lock, it is sent a signal at which ``faulthandler``
writes them down: if it still has the handler, and the memory that is written to, which is looked at from outside, for the signal would end
a process without. Of one that is stopped, or cannot be reached, it is told where it was seen last.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.watch.observer._hub import Connection
    from manyhands.watch.observer._process import Process

_PATIENCE = 0.5  # seconds for the process to tell; many threads may wait for Python's lock before the one that does
_WITHIN = 1.0  # seconds for the signal's handler to begin
_LOOK = 0.01
_SETTLED = 3  # looks at which nothing more has been written
_MOST = 1 << 20  # bytes that are shown
_LIMITS = "at most 100 threads, and of each the 100 innermost calls"
_HEADING = re.compile(r"^(Current thread|Thread) (0x[0-9a-f]+)")


async def of(connection: Connection) -> str | None:
    """As text; None: it has ended, or does not listen."""
    process = connection.process
    state = _status(process.pid).get("State", "")[:1]
    if not state or process.gone is not None:
        return None
    if state not in {"T", "t"}:
        number = process.ask_for_stack()
        # So many may have been asked that there is no room for another question.
        if connection.ask({"stack": number}) and await _until(lambda: number in process.stacked, _PATIENCE):
            return process.stacked.pop(number)
        async with connection.asking:
            text = await _by_signal(connection)
        if number in process.stacked:  # just now
            return process.stacked.pop(number)
        if text:
            return f"It runs C code that holds Python's lock. What follows was written in spite of that: {_LIMITS}.\n\n{text}"
    why = "It is stopped" if state in {"T", "t"} else "It does not answer"
    return "\n".join([f"{why}; this is where it was seen last.", "", *_seen(process)])


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (is_so := condition()) and loop.time() < deadline:
        await asyncio.sleep(_LOOK)
    return is_so


# ---------------------------------------------------------------- by a signal


async def _by_signal(connection: Connection) -> str:
    """What its threads write down; empty if they cannot be asked."""
    if connection.stacks is None or not connection.stacks_told:
        return ""
    fd = os.dup(connection.stacks)  # the process may hang up meanwhile
    try:
        return await _written(fd, connection.stacks_told, connection.process)
    except OSError:
        return ""
    finally:
        os.close(fd)


async def _written(fd: int, told: dict[str, int], process: Process) -> str:
    if not _would_write(process.pid, told, fd):
        return ""
    os.ftruncate(fd, 0)
    _send(process.pid, process.watching_thread, told["signal"])
    if not await _until(lambda: os.fstat(fd).st_size > 0, _WITHIN):
        return ""
    before, looks = 0, 0
    while looks < _SETTLED:
        await asyncio.sleep(_LOOK)
        now = os.fstat(fd).st_size
        before, looks = now, looks + 1 if now == before else 0
    text = os.pread(fd, _MOST, 0).decode("utf-8", "replace")
    return "\n".join(_named(text, process)) + ("\n..." if before > _MOST else "")


def _would_write(pid: int, told: dict[str, int], fd: int) -> bool:
    """Whether it has a handler for the signal, and what that writes to is what was given to us, and no file of the user's by now."""
    caught = int(_status(pid).get("SigCgt", "0"), 16)
    try:
        is_ours = os.path.samestat(os.stat(f"/proc/{pid}/fd/{told['fd']}"), os.fstat(fd))
    except OSError:
        return False
    return is_ours and bool(caught >> (told["signal"] - 1) & 1)


def _send(pid: int, thread: int, number: int) -> None:
    """To the one thread if it can be: then no call of another one is cut short.

    Raises:
        OSError: it has ended.
    """
    if not thread or _tgkill is None:
        os.kill(pid, number)
    elif _tgkill(pid, thread, number):
        raise ProcessLookupError(pid)


_tgkill = getattr(ctypes.CDLL(None), "tgkill", None)  # of glibc, and others


def _status(pid: int) -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def _named(text: str, process: Process) -> Iterator[str]:
    """With the names of threads in the place of their identities, and without the one that writes it: that belongs to us."""
    is_ours = False
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            is_ours = heading[1] == "Current thread" and bool(process.watching_thread)
            line = f"{process.thread_of(int(heading[2], 16))}, most recent call first:"
        if not is_ours:
            yield line


# ---------------------------------------------------------------- as it was seen


def _seen(process: Process) -> Iterator[str]:
    for number, thread in process.threads.items():
        yield f"{thread.name} ({number}), most recent call first:"
        yield from (f'  File "{file}", line {line} in {name}' for file, line, name in process.frames(thread.stack))
        yield ""
