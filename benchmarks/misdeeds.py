"""Tasks that misbehave, one kind for each column of the table of failures."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = 6
BAD = 3  # which of them misbehaves


class OddError(Exception):
    """Pickles, but cannot be made again: its ``args`` are not what its ``__init__`` takes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Bomb:
    """An argument that pickles, and raises where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return explode, ()


def explode() -> object:
    """Fail as unpickling does when the other side lacks something."""
    msg = "this argument cannot be unpickled"
    raise ValueError(msg)


def killed(index: Any) -> Any:
    """The bad task ends its worker, as the kernel does when memory is short."""
    return _work(index, lambda: os.kill(os.getpid(), signal.SIGKILL))


def odd_exception(index: Any) -> Any:
    """The bad task raises what does not unpickle."""
    return _work(index, _raise_odd)


def odd_result(index: Any) -> Any:
    """The bad task returns what no pickler can send."""
    return _work(index, lambda: {"weights": (weight for weight in ())})


def odd_argument(index: Any) -> Any:
    """Nothing is wrong with the function: its input is the bomb."""
    return _work(index, lambda: None)


def _work(index: Any, misbehave: Callable[[], object]) -> Any:
    time.sleep(0.05)  # so that the others are under way when it happens
    return misbehave() if index == BAD else index


def _raise_odd() -> None:
    raise OddError(7, "this exception cannot be unpickled")


COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "killed": ("worker killed", killed),
    "exception": ("exception that does not unpickle", odd_exception),
    "result": ("result that does not pickle", odd_result),
    "argument": ("argument that does not unpickle", odd_argument),
}


def inputs(column: str) -> list[Any]:
    """The inputs of the tasks."""
    values: list[Any] = list(range(TASKS))
    if column == "argument":
        values[BAD] = Bomb()
    return values
