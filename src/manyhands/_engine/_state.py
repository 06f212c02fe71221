"""Everything that exists once per process: the zygote, the shared pool, the list of all pools, and what happens at fork and exit."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from manyhands._engine._zygote_handle import Zygote

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._engine._pool import ProcessPool


class _State:
    """One instance; ``lock`` guards the zygote and the lists, ``making`` is held while a shared pool is made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.making = threading.Lock()
        self.zygote: Zygote | None = None
        self.shared: dict[tuple[object, ...], ProcessPool] = {}  # by settings
        self.pools: weakref.WeakSet[ProcessPool] = weakref.WeakSet()
        self.pending: weakref.WeakSet[ProcessPool] = weakref.WeakSet()  # whose work must end before the program does
        self.hooked = False
        self.interrupted: SystemExit | None = None


_state = _State()


def zygote() -> Zygote:
    """The zygote of this process. Started when it is first used."""
    with _state.lock:
        if _state.zygote is None:
            _state.zygote = Zygote()
            _hook()
        return _state.zygote


def new_pool(*, finish_at_exit: bool, **settings: object) -> ProcessPool:
    """A pool with workers of its own. ``finish_at_exit``: the program ends only when its work has."""
    from manyhands._engine._pool import ProcessPool  # noqa: PLC0415 - 10 ms, in which the zygote can start

    if _state.interrupted is not None and threading.current_thread() is not threading.main_thread():
        raise _state.interrupted
    pool = ProcessPool(zygote(), **settings)  # type: ignore[arg-type]
    _state.pools.add(pool)
    if finish_at_exit:
        _state.pending.add(pool)
    return pool


def shared_pool(fn: object, **settings: object) -> ProcessPool:
    """The warm pool of this process for these settings, used by all threads. ``fn`` is about to be run."""
    key = tuple(sorted(settings.items()))
    pool = _state.shared.get(key)
    if pool is None or pool.closed:
        with _state.making:
            pool = _state.shared.get(key)
            if pool is None or pool.closed:
                if settings["start_method"] == "zygote":
                    zygote().prepare(fn)
                pool = _state.shared[key] = new_pool(finish_at_exit=False, **settings)
    return pool


def share(key: tuple[object, ...], pool: ProcessPool) -> None:
    """Have a pool end with the warm ones. Another of that key takes its place."""
    with _state.making:
        _state.shared[key] = pool


def shared_pool_pids() -> list[int]:
    """Process ids of the warm workers of this process."""
    return [pid for pool in _state.shared.values() for pid in pool.pids()]


# What else is to end with the warm workers.
at_shutdown: list[Callable[[], object]] = []


def shutdown() -> None:
    """End the warm workers of this process, the process that starts them, and the one in which ``share.new`` has made objects.

    The next call starts new ones; the objects are gone.
    """
    with _state.lock:
        pools = list(_state.shared.values())
        _state.shared.clear()
    for pool in pools:
        pool.shutdown()
    for end in at_shutdown:
        end()
    with _state.lock:
        if _state.zygote is not None and not any(not pool.closed for pool in _state.pools):
            _state.zygote.close()


def _hook() -> None:
    if _state.hooked:
        return
    _state.hooked = True
    os.register_at_fork(after_in_child=_after_fork)
    # Futures are waited for before the interpreter joins its threads, as concurrent.futures does it (there is no public way). The
    # workers end after that: a thread that is being joined may still use them.
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    atexit.register(_end_all)
    with contextlib.suppress(RuntimeError):  # the main thread has ended already, and another begins to use pools
        register(_finish_work)


def _after_fork() -> None:
    """A forked child starts its own pools; what it inherited it lets go of, untouched."""
    global _state
    old, _state = _state, _State()
    _state.hooked = True
    for pool in list(old.pools):
        pool.abandon()
    if old.zygote is not None:
        old.zygote.abandon()


def _finish_work() -> None:
    """Wait for the futures of executors; unless the program was interrupted: then end what other threads wait for.

    They, too, have to end before the program does. SystemExit ends a thread without a word.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt:
        _state.interrupted = SystemExit("the program was interrupted")
        for pool in list(_state.pools):
            pool.break_off(_state.interrupted)
        return
    for pool in list(_state.pending):
        pool.drain()


def _end_all() -> None:
    for pool in list(_state.pools):
        pool.mute()
        try:
            pool.shutdown()
        except KeyboardInterrupt:  # do not wait for what the user's code in the workers does at its exit
            with contextlib.suppress(BaseException):
                pool.kill()
        except Exception:  # noqa: BLE001 - whatever it is, the kernel ends the workers with this process
            pass
    if "manyhands._engine._sayer" in sys.modules:
        sys.modules["manyhands._engine._sayer"].leave_blocked_streams()
    if _state.zygote is not None:
        with contextlib.suppress(KeyboardInterrupt):  # it ends anyway, with this process
            _state.zygote.close()
