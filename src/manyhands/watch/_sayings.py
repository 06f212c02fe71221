"""What is said of runs where there is no terminal: a line now and then. Pure: snapshots and seconds go in, lines come out."""

from __future__ import annotations

from typing import Any

from manyhands.watch import _words

_SOON = 2.0  # seconds between two lines about how far a run is, at least,
_EVERY = 10.0  # at most,
_STEP = 0.1  # and when so much of it has been done
_NEWLY = 2  # errors that are told together, in full


class Sayings:
    """Of one run."""

    def __init__(self) -> None:
        self._at: float | None = None  # when something was said of how far it is
        self._done = 0
        self._share = 0.0
        self._errors: set[tuple[str, str]] = set()
        self._lost: set[int] = set()
        self._has_ended = False

    def about(self, run: dict[str, Any], now: float) -> list[str]:
        """What is new."""
        if self._has_ended:
            return []
        name = _words.plain(run["name"])
        if run["state"] != "running":
            self._has_ended = True
            return _words.as_text(_words.summary(run)).split("\n")
        return [f"manyhands: {name}: {text}" for text in [*self._losses(run), *self._progress(run, now)]]

    def _losses(self, run: dict[str, Any]) -> list[str]:
        """Errors of a kind that was not there before, and workers that were lost."""
        new = [found for found in run["errors"] if (found["kind"], found["message"]) not in self._errors]
        self._errors |= {(found["kind"], found["message"]) for found in new}
        said = [_words.error(found) for found in new[:_NEWLY]]
        if len(new) > _NEWLY:
            said.append(f"and {_words.several(len(new) - _NEWLY, 'other error')}")
        lost = [lane for lane in run["lanes"] if _words.is_lost(lane) and lane["role"] != "program" and lane["pid"] not in self._lost]
        self._lost |= {lane["pid"] for lane in lost}
        return [*said, *(f"{_words.called(lane)} is lost: {_words.plain(lane['how']) or 'killed'}" for lane in lost)]

    def _progress(self, run: dict[str, Any], now: float) -> list[str]:
        if self._at is None:
            self._at = now  # the first line is due when there is something to tell
        lasted = now - self._at
        share = run["done"] / run["total"] if run["total"] else 0.0
        has_moved = run["done"] != self._done and (share >= self._share + _STEP or share < self._share or share == 1)
        if lasted < _SOON or not (has_moved or lasted >= _EVERY):
            return []
        self._at, self._share, self._done = now, share, run["done"]
        return [", ".join(_words.numbers(run))]
