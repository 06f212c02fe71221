"""What the page, the terminal and the summary show of a run, as plain data. Pure.

Times are seconds since the run began; shares are between 0 and 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._probe import _segment as told
from manyhands.watch.observer._estimate import eta

if TYPE_CHECKING:
    from manyhands.watch.observer._model import Call, Process, Run

NS = 1_000_000_000
_MOST_FILES, _MOST_STACKS, _MOST_ERRORS, _MOST_CALLS = 40, 30, 30, 20


def snapshot(run: Run, now: int) -> dict[str, Any]:
    """All of it but the timeline, the sources and the heat of single lines."""
    end = run.ended if run.ended is not None else now
    calls = list(run.calls.values())
    done, failed = sum(call.done for call in calls), sum(call.failed for call in calls)
    total = None if any(call.total is None for call in calls) or not calls else sum(call.total or 0 for call in calls)
    current = next((call for call in reversed(calls) if call.ended is None), None)
    return {
        "id": run.token,
        "name": run.name,
        "state": run.state,
        "how": run.how,
        "elapsed": (end - run.begun) / NS,
        "done": done,
        "failed": failed,
        "total": total,
        "rate": run.rate(end),
        "eta": None if current is None or run.ended is not None else eta(run, current, now),
        "sent": sum(call.sent for call in calls),
        "received": sum(call.received for call in calls),
        "cached": sum(hits for hits, _, _ in run.cache.values()),
        "saved": sum(saved for _, _, saved in run.cache.values()) / NS,
        "cost": _cost(run, now),
        "efficiency": _efficiency(run, end),
        "calls": [_call(call, run, now) for call in calls[-_MOST_CALLS:]],
        "lanes": [_lane(process, run, now) for process in run.processes.values()],
        "files": [
            {
                "id": run.heat.number(file.path),
                "path": file.path,
                "hits": file.hits,
                "own": file.own / NS,
                "last": (file.last - run.begun) / NS,
            }
            for file in run.heat.by_file()[:_MOST_FILES]
        ],
        "stacks": _stacks(run),
        "errors": [
            {
                "kind": failure.kind,
                "message": failure.message,
                "traceback": failure.traceback,
                "count": failure.count,
                "last": (failure.last - run.begun) / NS,
                "tasks": failure.tasks,
            }
            for failure in sorted(run.errors.values(), key=lambda failure: failure.count, reverse=True)[:_MOST_ERRORS]
        ],
        "cache": [
            {"function": name, "hits": hits, "misses": misses, "saved": saved / NS} for name, (hits, misses, saved) in run.cache.items()
        ],
        "shared": [{"object": name, "calls": count, "waited": waited / NS} for name, (count, waited) in run.shared.items()],
        "control": bool(run.choices.get("control")),
        "level": run.choices.get("level", "sample"),
        "lost": sum(process.lost for process in run.processes.values()),
    }


def _call(call: Call, run: Run, now: int) -> dict[str, Any]:
    return {
        "number": call.number,
        "function": str(call.function),
        "total": call.total,
        "done": call.done,
        "failed": call.failed,
        "workers": call.workers,
        "backend": str(call.backend),
        "begun": (call.begun - run.begun) / NS,
        "lasted": ((now if call.ended is None else call.ended) - call.begun) / NS,
        "is_over": call.ended is not None,
    }


def _lane(process: Process, run: Run, now: int) -> dict[str, Any]:
    end = now if process.gone is None else process.gone
    task = process.task
    stack = innermost_busy(process)
    state = "gone" if process.gone is not None else "paused" if process.figures[told.PAUSED] else "busy" if stack else "idle"
    return {
        "pid": process.pid,
        "name": process.name,
        "role": process.role,
        "state": state,
        "how": process.how,
        "busy": min(1.0, process.busy / max(1, end - process.begun)),
        "cpu": process.cpu,
        "memory": process.memory,
        "tasks": run.tasks_of(process.pid),
        "task": None
        if task is None
        else {
            "number": task.number,
            "function": str(task.function),
            "arguments": str(task.arguments),
            "for": max(0, now - task.since) / NS,
        },
        "stack": [list(frame) for frame in process.frames(stack)] if stack else [],
        "silent": max(0.0, (now - process.figures[told.LOOKED]) / NS) if process.figures[told.LOOKED] and process.gone is None else 0.0,
    }


def innermost_busy(process: Process) -> int:
    """The stack of the thread that shows best what a process does: its main thread's, if that is not idle; 0: none is at work."""
    for name in ("MainThread", None):
        for thread in process.threads.values():
            if thread.stack and (name is None or str(thread.name) == name):
                return thread.stack
    return 0


def _stacks(run: Run) -> list[dict[str, Any]]:
    """Where everybody is, equal stacks once."""
    found: dict[tuple[tuple[str, int, str], ...], list[int]] = {}
    for process in run.processes.values():
        if process.gone is None and (stack := innermost_busy(process)):
            found.setdefault(tuple(process.frames(stack)), []).append(process.pid)
    ordered = sorted(found.items(), key=lambda item: len(item[1]), reverse=True)[:_MOST_STACKS]
    return [{"count": len(pids), "pids": pids, "frames": [list(frame) for frame in frames]} for frames, pids in ordered]


def _cost(run: Run, now: int) -> float:
    """What watching takes of the time of the processes that are watched."""
    spent = sum(process.figures[told.COST] for process in run.processes.values())
    lived = sum((now if process.gone is None else process.gone) - process.begun for process in run.processes.values())
    return spent / lived if lived > 0 else 0.0


def _efficiency(run: Run, end: int) -> float | None:
    """Share of the workers' time that went into tasks."""
    workers = [process for process in run.processes.values() if process.role == "worker"]
    lived = sum((end if process.gone is None else process.gone) - process.begun for process in workers)
    return min(1.0, sum(process.busy for process in workers) / lived) if lived > 0 else None
