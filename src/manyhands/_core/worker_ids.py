"""Which worker runs the code that asks: small numbers, each held by one worker of a pool at a time."""

from __future__ import annotations

import _thread
import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

of_process: int | None = None  # set in a worker process, once


class _OfThread(_thread._local):  # noqa: SLF001 - threading.local, without the rest of threading
    number: int | None = None


of_thread = _OfThread()


def current() -> int | None:
    """That of the worker whose code asks; None in the program itself."""
    return of_process if of_thread.number is None else of_thread.number


def least_free(taken: Iterable[int]) -> int:
    """The least number that is not ``taken``."""
    held = set(taken)
    return next(number for number in itertools.count() if number not in held)
