"""What a watched program tells its pools, and their workers: where the observer is.

The program's side is set by :mod:`manyhands.watch`; a worker's side is loaded when it is told that it is watched.
"""

from __future__ import annotations

import importlib
import os
import sys
import types

from manyhands._core.living import Living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from manyhands._engine._pool import ProcessPool
    from manyhands._engine._worker import Worker
    from manyhands._probe._probe import Probe

# How workers join, and who is told what happens in pools; nothing and nobody while the program is not watched.
joining: dict[str, Any] | None = None
observers: list[Callable[[Any], None]] = []
# Told of each call that begins: what notes its cost, what gives its counts, how many tasks. What it gives is called with the last counts.
follow: Callable[[Any, Callable[[], Any], int | None], Callable[[Any], object]] | None = None
pools: Living[ProcessPool] = Living()
leave: Callable[[], object] | None = None  # tells no more, in a worker

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
OURS = tuple(_PACKAGE + name for name in ("_engine", "_codec", "_wire", "_probe", "backends"))  # files whose frames are no task's


def observe(observer: Callable[[Any], None]) -> None:
    """Have ``observer`` told what happens in all pools, those that there are as well."""
    observers.append(observer)
    for pool in pools:
        pool.observe(observer)


def unobserve(observer: Callable[[Any], None]) -> None:
    """Stop telling ``observer``."""
    observers.remove(observer)
    for pool in pools:
        pool.unobserve(observer)


def announce() -> None:
    """Have the workers that there are join, who would otherwise hear of it with their next task."""
    for pool in pools:
        if pool.pid == os.getpid() and not pool.closed:
            pool.tell_surroundings()


_by_option = False  # whether an option has had it watched: it does once, and not what has been stopped again


def begin() -> None:
    """Have this program watched, since an option says so. A worker is if its program is.

    Raises:
        WatchMissing, WatchFailed: see ``manyhands.watch``.
    """
    global _by_option  # noqa: PLW0603 - once for a process
    if _by_option or joining is not None or "MANYHANDS_WORKER" in os.environ:
        return
    importlib.import_module("manyhands.watch._watching").begin()  # by name: it lies above all that uses this
    _by_option = True


def follow_worker(choices: dict[str, Any]) -> None:
    """A worker has been watched by a call of its own, in an initializer or a task: so is this program, of whose pool it is."""
    if joining is None and "MANYHANDS_WORKER" not in os.environ:
        import threading  # noqa: PLC0415 - as above

        starting = importlib.import_module("manyhands.watch._starting")
        threading.Thread(target=starting.follow_worker, args=(choices,), name="manyhands-watch-join", daemon=True).start()


def join(told: dict[str, Any] | None, number: int | None) -> None:
    """In a worker: be watched from now on, or no more."""
    _join_as("worker", f"worker {number}", told, bound)


def join_as_keeper(told: dict[str, Any] | None) -> None:
    """The same in a process that has shared objects, and no tasks: its main thread only waits."""
    _join_as("keeper", "keeper", told, lambda probe: probe.sampler.boundaries.add(0))  # no code has that id


def _join_as(role: str, name: str, told: dict[str, Any] | None, bind: Callable[[Probe], object]) -> None:
    from manyhands._probe import _probe  # noqa: PLC0415 - most workers are not watched

    global joining  # noqa: PLW0603 - nested calls have pools of their own, which join the same run
    joining = told
    if told is None:
        if leave is not None:
            leave()
        _probe.stop()
        return
    probe = _probe.start(told["address"], told["wants"], role=role, name=name, run=told["run"])
    if probe is not None:
        bind(probe)
        if "teller" in told:  # the name of a module that knows what else is to be told; it is above this one
            importlib.import_module(told["teller"]).begin_in_worker(probe)


def bound(probe: Probe) -> bool:
    """What is told of this process is what its tasks do; False if it is no worker."""
    worker = _worker_of_process()
    if worker is None:
        return False
    probe.sampler.task = worker.started
    probe.sampler.own = OURS
    probe.sampler.boundaries |= set(map(id, boundaries()))
    return True


def _worker_of_process() -> Worker | None:
    module: Any = sys.modules.get("manyhands._engine._worker")
    return module.Worker.here if module is not None and os.environ.get("MANYHANDS_WORKER") == str(os.getpid()) else None


def boundaries() -> Iterator[types.CodeType]:
    """Code that calls the functions of tasks."""
    from manyhands._engine import _worker  # noqa: PLC0415 - it loads this module

    codes = [_worker._LOOP, _worker._adapt.__code__]  # noqa: SLF001 - the two are one
    while codes:
        code = codes.pop()
        yield code
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
