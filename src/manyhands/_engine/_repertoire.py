"""The functions that a worker has been sent: kept as they came until they are used, and how each is called then.

This module is loaded in the zygote, so that a forked worker is ready at once; it imports little.
"""

from __future__ import annotations

from manyhands._codec import _pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from manyhands._codec._captures import Captures
    from manyhands._codec._main_globals import MainGlobals
    from manyhands._codec._pickling import Bytes
    from manyhands._wire._frames import Frame

# Bytes of a function, arrays apart, above which it is not loaded for each task anew: what tasks do to its state stays there.
_HEAVY = 65536


class Repertoire:
    """Functions by number; ``on_loaded`` is called when one has been made from what came."""

    __slots__ = ("_calls", "_main", "_on_loaded", "_packed")

    def __init__(self, on_loaded: Callable[[], object]) -> None:
        self._on_loaded = on_loaded
        self._packed: dict[int, Frame | OSError] = {}  # as they came, or why they could not
        self._calls: dict[int, Callable[..., object]] = {}  # the same, once used
        self._main: MainGlobals | None = None  # the globals of functions that came by value

    def add(self, number: int, frame: Frame | OSError) -> None:
        """A function has come, or could not."""
        self._packed[number] = frame

    def forget(self, number: int) -> None:
        """A function will not be used again."""
        self._packed.pop(number, None)
        self._calls.pop(number, None)
        if self._main is not None:
            self._main.forget(number)

    def call(self, number: int) -> Callable[..., object]:
        """How function ``number`` is called. Runs nothing of the user's: that waits until a task is marked as started."""
        call = self._calls.get(number)
        if call is None:
            return self._first_use(number)
        if self._main is not None:
            self._main.enter(number)
        return call

    def load(self, number: int, frame: Frame) -> Any:
        """What a message holds: a function, or with number 0 an initializer and its arguments."""
        payload, buffers = contents(frame)
        what = "function" if number else "initializer"
        if not _pickling.is_made(payload):
            return _pickling.decode(payload, buffers, what)
        if self._main is None:
            from manyhands._codec._main_globals import MainGlobals  # noqa: PLC0415 - only for functions that come by value

            self._main = MainGlobals()
        try:
            return self._main.load(number, payload, buffers)
        except Exception as error:
            from manyhands._codec import _loading  # noqa: PLC0415 - only after a failure

            _loading.add_note(error, payload, buffers, what)
            raise

    def _first_use(self, number: int) -> Callable[..., object]:
        def resolve_and_call(*args: object, **kwargs: object) -> object:
            function = self._calls.get(number)
            if function is None:
                function = self._resolve(number)
                self._on_loaded()
            return function(*args, **kwargs)

        return resolve_and_call

    def _resolve(self, number: int) -> Callable[..., object]:
        """The function as it was sent, for each task: what one does to its state, no other sees."""
        frame = self._packed[number]
        if isinstance(frame, OSError):
            raise frame
        function: Callable[..., object] = self.load(number, frame)
        self._packed.pop(number)
        if len(frame.payload) > _HEAVY or _pickling.is_plain(function, frame.payload):
            self._calls[number] = function
            return function
        from manyhands._codec._captures import Captures  # noqa: PLC0415 - 1 ms; most functions travel by name

        captures = Captures(function, global_names=False)
        self._calls[number] = self._loaded_anew(number, frame) if captures.mutable else self._as_sent(number, frame, function, captures)
        return function

    def _loaded_anew(self, number: int, frame: Frame) -> Callable[..., object]:
        """How it is called, where a task may change what it has: nothing of that is kept when one has ended."""

        def call_as_sent(*args: object, **kwargs: object) -> object:
            return self.load(number, frame)(*args, **kwargs)

        return call_as_sent

    def _as_sent(self, number: int, frame: Frame, function: Callable[..., object], captures: Captures) -> Callable[..., object]:
        """The same, where it can be seen whether one has."""

        def call_as_sent(*args: object, **kwargs: object) -> object:
            nonlocal function, captures
            if captures.changed():
                function = self.load(number, frame)
                captures = type(captures)(function, global_names=False)
            return function(*args, **kwargs)

        return call_as_sent


def contents(frame: Frame) -> tuple[Bytes, list[Any]]:
    """Payload and buffers of a message, for one use: the next finds them as they came."""
    if not frame.buffers:
        return frame.payload, []
    from manyhands._engine import _parcels  # noqa: PLC0415 - only where something large is sent

    return frame.payload, list(map(_parcels.fresh, frame.buffers))
