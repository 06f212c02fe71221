"""``async with lock(shared)``: transactions of the tasks of an event loop, which goes on while one of them waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _callers

if TYPE_CHECKING:
    from contextvars import Token

_NO_END = 1e9  # seconds: those who wait with a limit need not be told that they would wait for ever


async def take(reference: Any, timeout: float | None) -> tuple[bool, bool, Token[int | None] | None]:
    """Whether the object is the task's alone now, whether its last holder has died, and what :func:`give_back` needs.

    The task is a caller of its own as long as it has it.
    """
    number, token = _callers.of_task.get(), None
    if number is None:
        number = _callers.new_for_task()
        token = _callers.of_task.set(number)
    taken = abandoned = False
    try:
        taken, abandoned = reference.lock(0)
        if not taken and timeout != 0:
            taken, abandoned = await _Waiting(reference, number).outcome(_NO_END if timeout is None else timeout)
    finally:
        if not taken and token is not None:
            _callers.of_task.reset(token)
            token = None
    return taken, abandoned, token


def give_back(reference: Any, token: Token[int | None] | None) -> None:
    """Let others have it."""
    try:
        reference.unlock()
    finally:
        if token is not None:
            _callers.of_task.reset(token)


class _Waiting:
    """A thread that waits for the lock; who is cancelled meanwhile leaves it to that to give it back."""

    def __init__(self, reference: Any, number: int) -> None:
        self._reference = reference
        self._number = number
        self._lock = threading.Lock()
        self._is_left = False
        self._outcome: tuple[bool, bool] | None = None

    async def outcome(self, timeout: float) -> tuple[bool, bool]:
        """Whether it was taken, and whether its last holder has died."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[bool, bool]] = loop.create_future()
        threading.Thread(target=self._run, args=(timeout, loop, done), name="manyhands-share-lock", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            self._leave()
            raise

    def _run(self, timeout: float, loop: asyncio.AbstractEventLoop, done: asyncio.Future[tuple[bool, bool]]) -> None:
        _callers.here.number = self._number
        error: BaseException | None = None
        outcome = (False, False)
        try:
            outcome = self._reference.lock(timeout)
        except BaseException as raised:  # noqa: BLE001 - it is for who waits
            error = raised
        with self._lock:
            self._outcome = outcome
            is_left = self._is_left
        if is_left:
            if outcome[0]:
                with contextlib.suppress(Exception):  # nobody shares it any more
                    self._reference.unlock()
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(_tell, done, outcome, error)

    def _leave(self) -> None:
        with self._lock:
            self._is_left = True
            outcome = self._outcome
        if outcome is not None and outcome[0]:
            self._reference.unlock()


def _tell(done: asyncio.Future[tuple[bool, bool]], outcome: tuple[bool, bool], error: BaseException | None) -> None:
    if done.done():  # cancelled
        return
    if error is None:
        done.set_result(outcome)
    else:
        done.set_exception(error)
