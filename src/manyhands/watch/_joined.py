"""A process has joined a run that is watched: what it tells from then on, besides where its threads are.

In the program, and in its workers, which load this by its name: a task may make calls of its own, use caches and share objects. A child
that is forked begins anew.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

from manyhands._engine import _watched
from manyhands._engine._on_import import when_imported
from manyhands._probe import _probe
from manyhands.watch._control import Control
from manyhands.watch._telling import Teller
from manyhands.watch._uses import Uses

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from manyhands._probe._probe import Probe


class _State:
    teller: Teller | None = None
    uses: Uses | None = None
    control: Control | None = None
    is_followed = False  # whether forked children are
    more: list[Callable[[], object]] = []  # noqa: RUF012 - called at each look


_state = _State()


def teller() -> Teller | None:
    """What tells of this process, if it is watched."""
    return _state.teller


def begin(probe: Probe) -> None:
    """Tell what happens in this process."""
    end()
    _state.teller = Teller(probe)
    _state.uses = Uses(probe)
    _state.uses.start()
    _state.teller.looks += [_state.uses.look, *_state.more]
    _state.teller.start()
    _state.control = Control(probe)
    _state.control.start()
    _watched.leave = end
    _tell_keepers()
    probe.sampler.own = tuple({*probe.sampler.own, *_watched.OURS})
    when_imported("manyhands.backends.threads", _note_threads)
    if not _state.is_followed:
        _state.is_followed = True
        os.register_at_fork(after_in_child=_begin_anew)  # after the probe has


def _note_threads(module: Any) -> None:
    """The module has been loaded that calls tasks in threads."""
    if _state.teller is not None:
        _state.teller.probe.sampler.callers.add(id(module.ThreadExecutor._serve.__code__))  # noqa: SLF001 - as with the workers' code


def end() -> None:
    """Tell no more."""
    if _state.control is not None:
        _state.control.stop()
        _state.control = None
    if _state.uses is not None:
        _state.uses.stop()
        _state.uses = None
    if _state.teller is not None:
        _state.teller.stop()
        _state.teller = None
        if _watched.joining is None:
            _tell_keepers()


def _tell_keepers() -> None:
    """What this process has shared objects in, is watched as it is."""
    if (keepers := sys.modules.get("manyhands.sharing._keepers")) is not None:
        keepers.tell(_watched.joining)


def when_begun(look: Callable[[], object]) -> None:
    """Have ``look`` called at each look."""
    _state.more.append(look)
    if _state.teller is not None:
        _state.teller.looks.append(look)


def begin_in_worker(probe: Probe) -> None:
    """In a worker, which may have been one before."""
    if _state.teller is None or _state.teller.probe is not probe:
        begin(probe)
        atexit.register(leave, probe)


def leave(probe: Probe, status: int = 0) -> None:
    """This process ends. Of a status, the observer is told by the kernel."""
    if _probe.here() is probe:
        end()
        if not status:
            probe.tell({"bye": "left"})
        _probe.stop()


def _begin_anew() -> None:
    before, _state.teller = _state.teller, None
    if before is None:
        return
    before.abandon()
    if _state.uses is not None:
        _state.uses.stop()
        _state.uses = None
    _state.control = None
    probe = _probe.here()
    if probe is not None:
        begin(probe)
