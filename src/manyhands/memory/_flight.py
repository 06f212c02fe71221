"""One computes, the others wait: among threads, tasks of an event loop, and processes.

::

    with flight(store, key) as is_mine:
        if is_mine:
            store.put(key, compute(), ...)
    # not mine: it is there by now

The first of a process to want a key takes its turn there, then the lock of the key's file (``flock``, so that the holder's death frees it).
All others wait for one of the two, and are woken.

**Never a deadlock.** Who waits and holds other keys meanwhile notes it beforehand, as an empty file ``held.wanted.who`` beside the locks;
then looks whether the notes lead from what it wants back to what it holds. Of those who close a circle, the last one to wait sees it, and
computes by itself. A process counts as holding what the processes hold that it descends from, since they may be waiting for it.

Correctness never rests on it: where there are no locks, everybody computes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from manyhands.memory import _locks, _waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands.memory._contract import ResultStore

    # Whoever waits: either until it is over, or to be called then.
    Wait = "_Turn | _LockWait"

# What this thread or task computes now, with all that has led to it: (folder of the locks, key in hex).
_held: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("manyhands_held", default=())


class _Turn:
    """Of one in this process who computes a key, or waits for another process to do so."""

    __slots__ = ("_callbacks", "_lock", "is_over", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self.is_over = False

    def end(self) -> None:
        with self._lock:
            self.is_over = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def then(self, callback: Callable[[], object]) -> None:
        """Call it when the turn is over, in whatever thread."""
        with self._lock:
            if not self.is_over:
                self._callbacks.append(callback)
                return
        callback()

    def block(self) -> None:
        """Until it is over."""
        over = threading.Event()
        self.then(over.set)
        over.wait()


class _LockWait:
    """For the lock of another process. ``fd`` is this one's to close, even if nobody waits any more."""

    __slots__ = ("_is_settled", "_lock", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._lock = threading.Lock()
        self._is_settled = False

    def block(self) -> None:
        """Until it is held."""
        _locks.lock(self.fd)

    def then(self, callback: Callable[[], object]) -> None:
        """Call it when it is held, from a thread of its own: the system tells it to nobody but who stands there."""

        def stand() -> None:
            with contextlib.suppress(OSError):
                _locks.lock(fd)
            with self._lock:
                if self._is_settled:
                    os.close(fd)
                    return
                self._is_settled = True
            callback()

        fd = self.fd
        threading.Thread(target=stand, name="manyhands-flight", daemon=True).start()

    def give_up(self) -> bool:
        """Nobody wants it any more. False: a thread still stands there, and closes the descriptor."""
        with self._lock:
            stands, self._is_settled = not self._is_settled, True
            return not stands


_turns: dict[tuple[str, str], _Turn] = {}
_turns_lock = threading.Lock()
_descriptors: set[int] = set()  # of locks that this process holds or waits for


class Flight:
    """A turn at computing a key: ``with``, or ``async with``; gives whether it is to be computed here.

    Attributes:
        is_mine: the same.
        has_waited: whether that took until somebody else was through, or gone.
    """

    def __init__(self, store: ResultStore, key: bytes, is_there: Callable[[], bool] | None = None) -> None:
        self._folder = store.folder
        self._key = key.hex()
        self._id = store.folder.locks, self._key
        self._is_there = is_there or (lambda: store.has(key))
        self._turn: _Turn | None = None
        self._fd = -1
        self._holds = False  # the lock of the file that is at its path
        self._pid = os.getpid()
        self.is_mine = self.has_waited = False

    def __enter__(self) -> bool:
        for wait in (steps := self._steps(blocks=True)):
            self.has_waited = True
            try:
                wait.block()
            except BaseException as error:  # noqa: BLE001 - the steps raise it again
                _throw(steps, error)
        return self._begin()

    def __exit__(self, *_: object) -> None:
        self._end()

    async def __aenter__(self) -> bool:
        import asyncio  # noqa: PLC0415 - whoever gets here has loaded it

        loop = asyncio.get_running_loop()
        for wait in (steps := self._steps(blocks=False)):
            self.has_waited = True
            woken = loop.create_future()
            try:
                wait.then(lambda woken=woken: _call_soon(loop, woken))
                await woken
            except BaseException as error:  # noqa: BLE001 - cancelled; as above
                if isinstance(wait, _LockWait) and not wait.give_up():
                    self._forget_descriptor()
                _throw(steps, error)
        return self._begin()

    async def __aexit__(self, *_: object) -> None:
        self._end()

    # ------------------------------------------------------------ what there is to wait for

    def _steps(self, *, blocks: bool) -> Iterator[Any]:
        """What is to be waited for, one after the other; at the end ``is_mine`` says what to do. ``blocks``: the thread does, meanwhile."""
        if self._id in _held.get():  # a recursion
            self.is_mine = True
            return
        while True:
            with _turns_lock:
                other = _turns.get(self._id)
                if other is None:
                    self._turn = _turns[self._id] = _Turn()
            try:
                if other is None:
                    yield from self._lock_steps()
                    return
                with self._noted() as would_wait_forever:
                    if would_wait_forever or (blocks and other.thread == threading.get_ident()):  # another task of the event loop here
                        self.is_mine = True
                        return
                    yield other
            except BaseException:
                self._end()
                raise
            if self._is_there():
                return

    def _lock_steps(self) -> Iterator[Any]:
        """The same, having the turn in this process."""
        path = f"{self._folder.locks}/{self._key}"
        while not self.is_mine:
            try:
                self._open(path)
                is_held = _locks.try_lock(self._fd)
            except OSError:  # a folder only for reading, or a file system without locks
                self.is_mine = True
                return
            if not is_held:
                with self._noted() as would_wait_forever:
                    if would_wait_forever:
                        self._release()
                        self.is_mine = True
                        return
                    yield _LockWait(self._fd)
            self._holds = _locks.is_at(self._fd, path)
            if self._is_there():
                self._release()
                return
            if self._holds:
                _locks.sign(self._fd, _waits.who())
                self.is_mine = True
            else:
                self._release()  # who has held it is through, and has removed it

    @contextlib.contextmanager
    def _noted(self) -> Iterator[bool]:
        """Others can see meanwhile what this one waits for; whether it would wait for itself."""
        held = [key for folder, key in _held.get() if folder == self._folder.locks]
        with _waits.noted(self._folder.locks, held, self._key) as closes_a_circle:
            yield closes_a_circle

    # ------------------------------------------------------------ its beginning and end

    def _begin(self) -> bool:
        if self.is_mine:
            _held.set((*_held.get(), self._id))
        elif self._turn is not None:
            self._end_turn()
        return self.is_mine

    def _end(self) -> None:
        held = list(_held.get())
        if self.is_mine and self._id in held:
            held.reverse()
            held.remove(self._id)
            held.reverse()
            _held.set(tuple(held))
        if os.getpid() != self._pid:  # a child that was forked in the midst: it is the parent's
            return
        self._release()
        self._end_turn()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            with _turns_lock:
                if _turns.get(self._id) is turn:
                    del _turns[self._id]
            turn.end()

    def _open(self, path: str) -> None:
        try:
            self._fd = _locks.open_lock(path)
        except FileNotFoundError:
            self._folder.make()
            self._fd = _locks.open_lock(path)
        _descriptors.add(self._fd)

    def _release(self) -> None:
        """Give the lock up, if it is held, and else the wish for it."""
        fd, holds = self._forget_descriptor(), self._holds
        self._holds = False
        if holds:
            _locks.release(fd, f"{self._folder.locks}/{self._key}")
        elif fd >= 0:
            os.close(fd)

    def _forget_descriptor(self) -> int:
        fd, self._fd = self._fd, -1
        _descriptors.discard(fd)
        return fd


def flight(store: ResultStore, key: bytes, is_there: Callable[[], bool] | None = None) -> Flight:
    """A turn at computing ``key``: ``with flight(store, key) as is_mine:``, or ``async with``, which does not block the event loop.

    ``is_mine`` false: somebody else has computed it meanwhile, as ``is_there()`` says (``store.has(key)``). True: it is to be computed, and
    stored before the block ends; if it is not, one of those who wait computes it.
    """
    return Flight(store, key, is_there)


def _throw(steps: Iterator[Any], error: BaseException) -> None:
    """Have the steps clean up after an error in the midst of a wait, and raise it."""
    steps.throw(error)  # type: ignore[attr-defined]


def _call_soon(loop: Any, woken: Any) -> None:
    def wake() -> None:
        if not woken.done():  # cancelled meanwhile
            woken.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop has been closed, so nobody waits any more
        loop.call_soon_threadsafe(wake)


def _forked() -> None:
    """Another process: it holds nothing, and a lock that it inherited would outlive its holder."""
    global _turns_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _turns_lock = threading.Lock()
    _turns.clear()
    for fd in _descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)
    _descriptors.clear()


os.register_at_fork(after_in_child=_forked)
