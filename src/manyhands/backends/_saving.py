"""Failed tasks that are to be saved: what does it is loaded when there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands._core.policy import add_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from manyhands.backends._recording import Recording
    from manyhands.backends._streaming import Row


class Saving:
    """Saves the failed tasks of one call in ``folder``, unless that is None. ``is_after``: they may have changed their arguments."""

    __slots__ = ("_folder", "_is_after", "_recording")

    def __init__(self, folder: str | None, *, is_after: bool) -> None:
        self._folder = folder
        self._is_after = is_after
        self._recording: Recording | None = None

    def __call__(
        self, index: int, row: Row, call: Callable[[Row], str], error: BaseException, attempt: int, earlier: Sequence[str]
    ) -> None:
        """One has failed for good with ``error``; ``call(row)`` is it in words."""
        if self._folder is None:
            return
        try:
            from manyhands.backends._recording import Recording  # noqa: PLC0415 - see the module

            if self._recording is None:
                self._recording = Recording(self._folder, is_after=self._is_after)
            self._recording(index, row, call(row), error, attempt, earlier)
        except Exception as second:  # noqa: BLE001 - no descriptor is left to load it, say; the task has failed with something else
            add_note(error, f"not recorded: {type(second).__name__}: {second}")
