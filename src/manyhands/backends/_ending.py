"""What ends a call over many inputs before its time: an input that cannot be read, a task that has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from manyhands._core.policy import Failed, add_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.backends._contract import TaskStream


class Readable:
    """Inputs up to the first that cannot be read, which is an error only when all before it have been dealt with: see :meth:`check`.

    ``all`` are the inputs as they are.
    """

    def __init__(self, inputs: Iterator[Any]) -> None:
        self.all: Iterator[Any] = inputs
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            # Not ``yield from``, which would close them when this is closed: they are the user's.
            for value in self.all:  # noqa: UP028
                yield value
        except Exception as error:  # noqa: BLE001 - whatever the user's iterator raises
            self._error = error

    def check(self) -> None:
        """Raise what the inputs have raised."""
        error, self._error = self._error, None
        if error is None:
            return
        try:
            raise error
        finally:
            error = None  # or its traceback would keep this frame, and this frame the error


def raise_first(stream: TaskStream, failed: list[Failed]) -> NoReturn:
    """Give the call up; raise the first failure."""
    raise first_failure(stream, failed).error


def first_failure(stream: TaskStream, failed: list[Failed]) -> Failed:
    """Give the call up; the first failure in the order of the inputs, with a note of the others that are known."""
    stream.close()
    first, *others = sorted([*failed, *stream.leftovers()], key=lambda failed: failed.index)
    for other in others[:10]:
        add_note(first.error, f"task {other.index} failed as well: {type(other.error).__name__}: {other.error}")
    if len(others) > 10:
        add_note(first.error, f"and {len(others) - 10} more")
    return first
