"""What happens to tasks that fail, and what stands in the place of their results."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from manyhands._core.tasks import NS
from manyhands.errors import STACK_FOLLOWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands._core.options import Options

_LONGEST = 300  # characters of what is noted of an attempt
_DAY = 86400.0
# So often is a delay doubled: the shortest is far beyond a day by then, and a float does not overflow.
_DOUBLINGS = 64


class Policy(NamedTuple):
    """``timeout`` and ``backoff`` are seconds. The n-th repetition waits ``backoff * 2 ** (n - 1)``, a day at the most.

    ``tag_output``: name the task before each line that it writes. ``record``: the folder in which tasks that failed are saved.
    """

    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    backoff: float = 0.0
    tag_output: bool = False
    record: str | None = None

    @classmethod
    def of(cls, options: Options) -> Policy:
        """What these options say of it."""
        return cls(options.timeout, options.retries, options.retry_on, options.backoff, options.tag_output, options.record_failures)

    def repeats(self, error: BaseException, attempt: int) -> bool:
        """Whether a task that failed for the ``attempt``-th time is to run again."""
        return attempt <= self.retries and isinstance(error, self.retry_on)

    def delay(self, attempt: int) -> int:
        """Nanoseconds between the ``attempt``-th failure and the next start."""
        return int(min(self.backoff * 2.0 ** min(attempt - 1, _DOUBLINGS), _DAY) * NS)


class Failed:
    """Stands among the results for a task that has failed for good. Never leaves the process."""

    __slots__ = ("error", "index")

    def __init__(self, index: int, error: BaseException) -> None:
        self.index: int = index
        self.error: BaseException = error


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an exception, unless its class forbids it: some have slots, or attributes of their own mind."""
    with contextlib.suppress(Exception):
        error.add_note(note)


def attempt_line(attempt: int, error: BaseException) -> str:
    """How a failed attempt is noted on the error of the last one."""
    text = " ".join(str(error).partition(STACK_FOLLOWS)[0].split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST].rpartition(" ")[0] + " ..."
    return f"attempt {attempt}: {type(error).__name__}: {text}"
