"""What is known of the threads of a watched process, and the texts that it has numbered. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manyhands._probe._files import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENGINE = tuple(os.path.join(OURS + name, "") for name in ("_engine", "_codec"))
_FEED = os.path.join(OURS + "_engine", "_feed.py")


class Text:
    """A text that a process has named by its number; it may tell later what that is."""

    __slots__ = ("_number", "_texts")

    def __init__(self, texts: dict[int, str], number: int) -> None:
        self._texts = texts
        self._number = number

    @property
    def is_known(self) -> bool:
        """Whether it has been told."""
        return self._number in self._texts

    @property
    def key(self) -> tuple[int, int]:
        """The same for the same number of the same process."""
        return id(self._texts), self._number

    def __bool__(self) -> bool:
        return self._number != 0

    def __str__(self) -> str:
        return self._texts.get(self._number, "")


@dataclass
class Thread:
    """A thread of a watched process, and what it has done since it was seen last."""

    name: Text
    stack: int = 0
    since: int = 0
    is_computing: bool = False
    is_at_task: bool = False  # of a process that runs tasks in several threads
    task_stack: int = 0  # where it was seen last in a task
    told_until: int = 0  # up to when it is known to have read inputs
    identity: int = 0  # Python's, which faulthandler tells


def is_reading(paths: Iterable[str]) -> bool:
    """Whether a stack, the innermost file first, is inside of the inputs of a call: in code that makes them, or in C that does."""
    return next((path for path in paths if path.startswith(_ENGINE)), "") == _FEED
