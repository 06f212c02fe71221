"""A run as a trace in Chrome's Trace Event Format, for https://ui.perfetto.dev and chrome://tracing.

Each worker is a track, with a complete event (``X``) for each task: its function, its state and its number; its arguments where they may be
shown. Quick tasks that were told of together are one event, which says how many. Calls are asynchronous events (``b``, ``e``) of the
program; memory and processors are counters (``C``) of each process; errors, and how a process ended, are instants (``i``). Times are
microseconds since the run began.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from manyhands.watch._tracks import NS, States, nested, tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from manyhands.watch._tracks import Track
    from manyhands.watch.observer._calls import Call
    from manyhands.watch.observer._model import Run
    from manyhands.watch.observer._timeline import Bar

_MOST = 300_000  # events for tasks; where there are more tasks, neighbours are one event, which says so
_TOGETHER = 200  # events in one part


def trace(run: Run, now: int) -> Iterator[str]:
    """The file, in parts."""
    about = json.dumps({"program": run.name, "state": run.state, "how": run.how, "made by": "manyhands"})
    yield f'{{"displayTimeUnit":"ms","otherData":{about},"traceEvents":['
    held: list[str] = []
    separator = ""
    for event in _events(run, run.ended if run.ended is not None else now):
        held.append(json.dumps(event, separators=(",", ":")))
        if len(held) == _TOGETHER:
            yield separator + ",\n".join(held)
            held.clear()
            separator = ",\n"
    yield (separator if held else "") + ",\n".join(held) + "]}\n"


def _events(run: Run, end: int) -> Iterator[dict[str, Any]]:
    found = tracks(run)
    yield from _names(run, found)
    yield from _calls(run, end)
    states = States(run)
    for track in found:
        yield from _tasks(run, track, states, end)
        yield from _at_work(run, track, end)
    yield from _errors(run, {track.worker: track for track in found})
    yield from _counters(run)
    for process in run.processes.values():
        if process.gone is not None and process.how:
            where = {"pid": process.pid, "tid": process.pid, "ts": _us(run, process.gone)}
            yield {"ph": "i", "s": "p", "name": process.how, "cat": "process", **where}


def _us(run: Run, at: int) -> float:
    return max(0, at - run.begun) / 1000


def _at(track: Track) -> dict[str, int]:
    return {"pid": track.pid, "tid": track.worker}


def _names(run: Run, found: list[Track]) -> Iterator[dict[str, Any]]:
    for place, track in enumerate(found):
        if not track.thread:
            program = run.name if track.worker in run.processes and run.processes[track.worker].role == "program" else track.name
            yield {"ph": "M", "name": "process_name", **_at(track), "args": {"name": program}}
            yield {"ph": "M", "name": "process_sort_index", **_at(track), "args": {"sort_index": place}}
        yield {"ph": "M", "name": "thread_name", **_at(track), "args": {"name": track.name}}
        yield {"ph": "M", "name": "thread_sort_index", **_at(track), "args": {"sort_index": track.thread}}


def _calls(run: Run, end: int) -> Iterator[dict[str, Any]]:
    for (pid, number), call in list(run.calls.items()):
        same = {"name": str(call.function) or "call", "cat": "call", "id2": {"local": hex(number)}, "pid": pid, "tid": pid}
        yield {**same, "ph": "b", "ts": _us(run, call.begun), "args": _of_call(call)}
        yield {**same, "ph": "e", "ts": _us(run, max(call.begun, end if call.ended is None else call.ended))}


def _of_call(call: Call) -> dict[str, Any]:
    return {"tasks": call.total, "done": call.done, "failed": call.failed, "workers": call.workers, "backend": str(call.backend)}


def _tasks(run: Run, track: Track, states: States, end: int) -> Iterator[dict[str, Any]]:
    timeline = run.timelines.get(track.worker)
    if timeline is None:
        return
    bars: Iterable[Bar] = timeline.tasks()
    if sum(map(len, run.timelines.values())) > _MOST:
        bars = timeline.drawn(run.begun, end + 1, _MOST // 2 // len(run.timelines))
    for bar in nested(bars):
        args: dict[str, Any] = {"task": bar.first, "state": states.of(bar)}
        if bar.count > 1:
            args |= {"tasks": bar.count, "busy": bar.busy / NS}
        if arguments := states.arguments(track.worker, bar):
            args["arguments"] = arguments
        if error := states.error(track.worker, bar):
            args["error"] = error
        yield {
            "ph": "X",
            "name": str(run.functions[bar.function]) or "task",
            "cat": "task",
            **_at(track),
            "ts": _us(run, bar.begin),
            "dur": (bar.end - max(bar.begin, run.begun)) / 1000 if bar.end > run.begun else 0,
            "args": args,
        }


def _at_work(run: Run, track: Track, end: int) -> Iterator[dict[str, Any]]:
    """The task that a worker has not ended."""
    task = run.running.get(track.worker)
    if task is None:
        return
    timeline = run.timelines.get(track.worker)
    begin = task.since if timeline is None else max(task.since, timeline.end)
    args = {"task": task.number, "state": "running", **({"arguments": str(task.arguments)} if task.arguments else {})}
    yield {
        "ph": "X",
        "name": str(task.function) or "task",
        "cat": "task",
        **_at(track),
        "ts": _us(run, begin),
        "dur": max(0, end - begin) / 1000,
        "args": args,
    }


def _errors(run: Run, by_worker: dict[int, Track]) -> Iterator[dict[str, Any]]:
    program = next((process.pid for process in run.processes.values() if process.role == "program"), 0)
    for failed in list(run.failures):
        where = _at(by_worker[failed.worker]) if failed.worker in by_worker else {"pid": program, "tid": program}
        args = {"task": failed.number, "attempt": failed.attempt}
        yield {"ph": "i", "s": "t", "name": failed.error or "error", "cat": "error", **where, "ts": _us(run, failed.at), "args": args}


def _counters(run: Run) -> Iterator[dict[str, Any]]:
    """As the page has shown them."""
    known: dict[int, tuple[int, float]] = {}
    for change in list(run.history.changes):
        for lane in change.get("lanes", ()):
            pid = lane["pid"]
            memory, cpu = known.get(pid, (0, 0.0))
            now = lane.get("memory", memory), lane.get("cpu", cpu)
            if now != known.get(pid) and pid in run.processes:
                known[pid] = now
                same = {"ph": "C", "pid": pid, "tid": pid, "ts": change["elapsed"] * 1e6}
                yield {**same, "name": "memory", "args": {"bytes": now[0]}}
                yield {**same, "name": "processors", "args": {"used": now[1]}}
