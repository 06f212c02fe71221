"""A run as JSON Lines: one object for each event, in the order of time. ``page/README.md`` has the table of what is in them.

``{"at": 0.512, "event": "tasks", "worker": 4711, "function": "work", ...}``
"""

from __future__ import annotations

import heapq
import json
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from manyhands.watch._tracks import NS, States, tracks
from manyhands.watch.observer._snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from manyhands.watch._tracks import Track
    from manyhands.watch.observer._calls import Call
    from manyhands.watch.observer._model import Run

FORMAT = 1
_COUNTS = ("done", "failed", "total", "sent", "received", "spared", "cached", "saved")
_SUMMARY = ("state", "how", *_COUNTS, "cost", "efficiency", "verdict", "cache", "shared")  # of a snapshot

Event = dict[str, Any]


def log(run: Run, now: int) -> Iterator[str]:
    """The file, line by line."""
    yield _line({"at": 0.0, "event": "run", "format": FORMAT, "name": run.name, "id": run.token, **_begun(run, now), "level": _level(run)})
    last = 0.0
    for event in heapq.merge(*_sources(run), key=itemgetter("at")):
        last = event["at"]
        yield _line(event)
    end = snapshot(run, now)
    yield _line({"at": max(last, round(end["elapsed"], 9)), "event": "summary", **{name: end[name] for name in _SUMMARY}})


def _begun(run: Run, now: int) -> Event:
    return {"begun": round(time.time() - (now - run.begun) / NS, 3)}


def _level(run: Run) -> str:
    return str(run.choices.get("level", "sample"))


def _sources(run: Run) -> Iterator[Iterable[Event]]:
    """What is to be told, each in the order of time."""
    yield sorted(_of_processes(run), key=itemgetter("at"))
    yield sorted(_of_calls(run), key=itemgetter("at"))
    yield sorted(_of_errors(run), key=itemgetter("at"))
    states = States(run)
    for track in tracks(run):
        yield _tasks(run, track, states)


def _of_processes(run: Run) -> Iterator[Event]:
    for process in run.processes.values():
        same = {"pid": process.pid, "name": process.name, "role": process.role}
        yield {"at": _at(run, process.begun), "event": "process", **same, "parent": process.parent}
        if process.gone is not None:
            yield {"at": _at(run, process.gone), "event": "process ended", **same, "how": process.how, "died": process.has_died}


def _of_calls(run: Run) -> Iterator[Event]:
    for (pid, number), call in run.calls.items():
        same = {"pid": pid, "call": number, "function": str(call.function)}
        about = {"workers": call.workers, "backend": str(call.backend)}
        yield {"at": _at(run, call.begun), "event": "call", **same, **about, "tasks": call.total}
        if call.ended is not None:
            how = {"done": call.done, "failed": call.failed, "raised": call.has_failed}
            yield {"at": _at(run, call.ended), "event": "call ended", **same, **how, **_moved(call)}


def _moved(call: Call) -> Event:
    return {"sent": call.sent, "received": call.received, "spared": call.spared}


def _of_errors(run: Run) -> Iterator[Event]:
    for key, failure in run.errors.items():
        if failure.count:
            about: Event = {"error": key, "type": failure.kind, "message": failure.message, "traceback": failure.traceback}
            yield {"at": _at(run, failure.first), "event": "error", **about, "function": failure.function, "count": failure.count}
    for failed in run.failures:
        about = {"worker": failed.worker or None, "task": failed.number, "attempt": failed.attempt, "error": failed.error}
        yield {"at": _at(run, failed.at), "event": "task failed", **about, "repeated": failed.is_repeated}


def _tasks(run: Run, track: Track, states: States) -> Iterator[Event]:
    timeline = run.timelines.get(track.worker)
    if timeline is None:
        return
    for bar in timeline.tasks():
        event: Event = {"at": _at(run, bar.end), "event": "tasks", "worker": track.worker, "pid": track.pid}
        event |= {
            "function": str(run.functions[bar.function]),
            "first": bar.first,
            "count": bar.count,
            "begun": _at(run, bar.begin),
            "busy": bar.busy / NS,
            "state": states.of(bar),
        }
        if arguments := states.arguments(track.worker, bar):
            event["arguments"] = arguments
        yield event


def _at(run: Run, at: int) -> float:
    return round(max(0, at - run.begun) / NS, 9)


def _line(event: Event) -> str:
    return json.dumps(event, separators=(",", ":")) + "\n"
