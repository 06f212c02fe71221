"""What the page may have a worker do: it is put to the processes of its run, of which the one whose worker it is does it."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from manyhands.watch.observer._snapshot import is_at_work

if TYPE_CHECKING:
    from manyhands.watch.observer._hub import Connection, Hub
    from manyhands.watch.observer._model import Run

DEEDS = ("cancel", "pause", "resume", "restart")
_WITHIN = 2.0  # seconds for an answer; who is asked may be held up by C code
_LOOK = 0.01
_numbers = itertools.count(1)

_ONLY = "Only a worker that is a process of manyhands' own can be paused and replaced, and its task be cancelled"


async def do(hub: Hub, run: Run, pid: int, deed: str) -> str:
    """Have it done; why it was not, or nothing."""
    why = _refusal(run, pid)
    if why:
        return why
    number = next(_numbers)
    order: dict[str, Any] = {"number": number, "do": deed, "pid": pid}
    if deed == "cancel":
        task = run.running.get(pid)
        if task is None:
            return "Its tasks are too short to be cancelled." if is_at_work(run, pid, time.monotonic_ns()) else "It is at no task."
        order["task"] = [task.call, task.number]
    return await _asked(run, [each for each in hub.of(run) if each.process.pid != pid], order)


def _refusal(run: Run, pid: int) -> str:
    """Why nobody need be asked."""
    if pid in run.thread_workers:
        return f"{_ONLY}. This one is a thread: nothing can stop it from outside."
    process = run.processes[pid]
    if process.role == "program":
        return f"{_ONLY}. This is the program: what runs in it cannot be stopped without it."
    if process.role != "worker":
        return f"{_ONLY}. This one belongs to multiprocessing, to concurrent.futures, or to the program itself."
    return ""


async def _asked(run: Run, processes: list[Connection], order: dict[str, Any]) -> str:
    answers = run.deeds[order["number"]] = []
    loop = asyncio.get_running_loop()
    try:
        asked = sum(each.ask({"control": order}) for each in processes)
        deadline = loop.time() + _WITHIN
        while loop.time() < deadline:
            found = next((why for why in answers if why is not None), None)
            if found is not None:
                return found
            if len(answers) >= asked:
                return f"{_ONLY}. No process of this run has this one as its worker."
            await asyncio.sleep(_LOOK)
    finally:
        del run.deeds[order["number"]]
    return "Nobody has answered in time; it may still be done."
