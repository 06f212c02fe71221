"""How ``lock``, ``snapshot`` and ``local`` reach what lies in shared memory: here, without a message."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked as ops

if TYPE_CHECKING:
    from manyhands.sharing._kinds import Kind


class InMemory:
    """As a reference to a shared object: see :class:`manyhands.sharing._proxies.Reference`.

    What is reached so has a method ``__manyhands_reference__``, which gives this; ``__manyhands_snapshot__``, which gives a copy that
    is not shared; and room for ``_manyhands_local``.
    """

    __slots__ = ("_obj", "_piece")

    def __init__(self, obj: Any, piece: Any) -> None:
        self._obj = obj
        self._piece = piece

    @property
    def kind(self) -> Kind:
        """Of its class."""
        from manyhands.sharing._kinds import kind_of  # noqa: PLC0415 - for messages

        return kind_of(type(self._obj))

    @property
    def local(self) -> types.SimpleNamespace:
        """Attributes of this process only."""
        if self._obj._manyhands_local is None:  # noqa: SLF001 - made for this
            self._obj._manyhands_local = types.SimpleNamespace()  # noqa: SLF001 - as above
        return self._obj._manyhands_local  # type: ignore[no-any-return] # noqa: SLF001 - as above

    def lock(self, timeout: float | None) -> tuple[bool, bool]:
        """Whether it was free, and whether its last holder has died as such."""
        piece = self._piece
        taken = piece.acquire(-1 if timeout is None else max(0.0, timeout))
        abandoned = taken and piece.abandoned
        if abandoned:
            piece.abandoned = False
        return taken, abandoned

    def unlock(self) -> None:
        """Let others have it again."""
        self._piece.release()

    def request(self, operation: int, _: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = {}) -> Any:  # noqa: B006 - not changed
        """A snapshot, or a function that is run with the object alone."""
        self._piece.acquire()
        try:
            if operation == ops.SNAPSHOT:
                return self._obj.__manyhands_snapshot__()
            if operation == ops.RUN:
                return args[0](self._obj, *args[1:], **kwargs)
        finally:
            self._piece.release()
        raise TypeError(f"a {self.kind.name} lies in shared memory: what is asked of it needs no message")
