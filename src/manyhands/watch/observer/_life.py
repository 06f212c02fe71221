"""How long the observer stays: as long as a run is under way or somebody looks, and some seconds more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_UNTIL_OPEN = 30.0  # seconds that a browser may take to start


class Life:
    """``stays``: the seconds. Nothing is looked at from time to time: whoever changes something calls :meth:`note`.

    Attributes:
        is_over: somebody has said that it is to end now.
    """

    def __init__(self, stays: float) -> None:
        self._stays = stays
        self._until = 0.0
        self._noted = asyncio.Event()
        self._waited_for: list[socket.socket] = []
        self.is_over = False

    def note(self) -> None:
        """Something has happened for which the observer may be needed, or no more."""
        self._noted.set()

    def expect(self, within: float = _UNTIL_OPEN) -> None:
        """Somebody will look soon; or may, within so many seconds."""
        self._until = max(self._until, asyncio.get_running_loop().time() + within)
        self.note()

    def left(self) -> float:
        """Seconds that the observer stays, if nobody needs it from now on."""
        return max(self._stays, self._until - asyncio.get_running_loop().time())

    def end_now(self) -> None:
        """Whoever needs it has to do without."""
        self.is_over = True
        self.note()

    def end_for(self, connected: socket.socket) -> None:
        """The same for one who waits for it: until the connection ends, with this process."""
        self._waited_for.append(connected)
        self.end_now()

    async def end(self, is_needed: Callable[[], bool]) -> None:
        """Until nobody needs it."""
        while not self.is_over:
            self._noted.clear()
            patience = None if is_needed() else self.left()
            try:
                async with asyncio.timeout(patience):
                    await self._noted.wait()
            except TimeoutError:
                return
