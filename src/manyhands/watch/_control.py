"""What the page has this process's workers do: the observer asks, where ``control=True`` allows it, and is told what came of it.

A process is asked about workers that may be none of its own: each answers for its own pools. When nobody is left who could have a paused
worker go on, all do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._engine import _watched

if TYPE_CHECKING:
    from manyhands._probe._probe import Probe


class Control:
    """Answers the observer, by ``probe``."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def start(self) -> None:
        """From now on."""
        self._probe.answers["control"] = self._obey
        self._probe.sampler.last.append(self.release)

    def stop(self) -> None:
        """No more."""
        self._probe.answers.pop("control", None)
        self.release()

    def _obey(self, asked: dict[str, Any]) -> None:
        number, pid, task = asked["number"], int(asked["pid"]), asked.get("task")
        at = None if task is None else (int(task[0]), int(task[1]))

        def answer(why: str) -> None:
            self._probe.tell({"controlled": number, "why": why})

        if not any(pool.control(pid, str(asked["do"]), at, answer) for pool in _watched.pools):
            self._probe.tell({"controlled": number, "why": None})  # it is no worker of this process

    def release(self) -> None:
        """Have all workers go on."""
        for pool in _watched.pools:
            pool.resume_all()
