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
    for line in _told(first, others):
        add_note(first.error, line)
    return first


_MOST = 10
_LONGEST = 300


def _told(first: Failed, others: list[Failed]) -> Iterator[str]:
    """What failed as well; what has been said is not said again."""
    said = {_text_of(first)}
    same = [other.index for other in others if _text_of(other) in said]
    if same:
        which = ", ".join(map(str, same[:_MOST])) + (f" and {len(same) - _MOST} more" if len(same) > _MOST else "")
        yield f"task{'s' if len(same) > 1 else ''} {which} failed as well, with the same"
    others = [other for other in others if other.index not in same]
    for other in others[:_MOST]:
        text = _text_of(other)
        yield f"task {other.index} failed as well: " + (f"{type(other.error).__name__}, as above" if text in said else _shortened(other))
        said.add(text)
    if len(others) > _MOST:
        yield f"and {len(others) - _MOST} more"


def _text_of(failed: Failed) -> str:
    """What it says, but for the number of the task."""
    return f"{type(failed.error).__name__}: {failed.error}".replace(f"task {failed.index}", "task")


def _shortened(failed: Failed) -> str:
    text = f"{type(failed.error).__name__}: {failed.error}"
    return text if len(text) <= _LONGEST else text[:_LONGEST].rpartition(" ")[0] + " ..."
