"""A process has joined a run that is watched: what it tells from then on, besides where its threads are.

In the program, and in its workers, which load this by its name: a task may make calls of its own, use caches and share objects.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from manyhands._engine import _watched
from manyhands.watch._telling import Teller

if TYPE_CHECKING:
    from manyhands._probe._probe import Probe


class _State:
    teller: Teller | None = None


_state = _State()


def begin(probe: Probe) -> None:
    """Tell what happens in this process."""
    end()
    _state.teller = Teller(probe)
    _state.teller.start()


def end() -> None:
    """Tell no more."""
    teller, _state.teller = _state.teller, None
    if teller is not None:
        teller.stop()


def begin_in_worker(probe: Probe, joining: dict[str, Any]) -> None:
    """The same in a worker; its own workers join as well."""
    _watched.joining = joining
    begin(probe)
    atexit.register(_leave, probe)


def _leave(probe: Probe) -> None:
    end()
    probe.tell({"bye": "left"})
    probe.stop()
