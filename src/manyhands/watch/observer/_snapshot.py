"""What the page, the terminal and the summary show of a run, as plain data. Pure.

Times are seconds since the run began; shares are between 0 and 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._probe import _segment as told
from manyhands.watch.observer._estimate import eta
from manyhands.watch.observer._usage import MOSTLY
from manyhands.watch.observer._verdicts import verdict

if TYPE_CHECKING:
    from manyhands.watch.observer._calls import Call, Failure, Task
    from manyhands.watch.observer._model import Run
    from manyhands.watch.observer._process import Process, ThreadWorker

NS = 1_000_000_000
_MOST_FILES, _MOST_STACKS, _MOST_ERRORS, _MOST_CALLS = 40, 30, 30, 20
_MOST_GONE = 20  # lanes of processes that have ended


def snapshot(run: Run, now: int) -> dict[str, Any]:
    """All of it but the timeline, the sources and the heat of single lines."""
    end = run.ended if run.ended is not None else now
    loose = [((0, 0), run.loose)] if run.loose.done else []
    shown = [*run.calls.values(), *(call for _, call in loose)]
    calls = [*shown, *([run.past] if run.past.done else [])]
    total = None if any(not call.known and call.total is None for call in calls) or not calls else sum(map(_total, calls))
    current = next((call for call in reversed(shown) if call.ended is None), None)
    return {
        "id": run.token,
        "name": run.name,
        "state": run.state,
        "how": run.how,
        "elapsed": (end - run.begun) / NS,
        "done": sum(call.done for call in calls),
        "failed": sum(call.failed for call in calls),
        "total": total,
        "rate": run.rate(end),
        "eta": None if current is None or run.ended is not None else eta(run, current, now),
        "sent": sum(call.sent for call in calls),
        "received": sum(call.received for call in calls),
        "spared": sum(call.spared for call in calls),
        "cached": sum(cached.hits for cached in run.cache.values()),
        "saved": sum(cached.saved for cached in run.cache.values()) / NS,
        "cost": _cost(run, now),
        "efficiency": _efficiency(run, end),
        "verdict": verdict(run, end),
        "calls": [_call(key, call, run, end) for key, call in [*run.calls.items(), *loose][-_MOST_CALLS:]],
        "lanes": [*_lanes(run, now), *_lanes_of_threads(run, now)],
        "files": [
            {
                "id": run.heat.number(file.path),
                "path": file.path,
                "hits": file.hits,
                "own": file.own / NS,
                "last": (file.last - run.begun) / NS,
                "counts": file.counts,
            }
            for file in run.heat.by_file()[:_MOST_FILES]
        ],
        "stacks": _stacks(run, now),
        "errors": [
            {
                "id": number,
                "kind": failure.kind,
                "message": failure.message,
                "traceback": failure.traceback,
                "function": failure.function,
                "count": failure.count,
                "attempts": failure.attempts,
                "last": (failure.last - run.begun) / NS,
                "tasks": list(failure.tasks),
                "given": [given._asdict() for given in failure.given],
            }
            for number, failure in sorted(enumerate(run.errors.values()), key=_how_often, reverse=True)[:_MOST_ERRORS]
        ],
        "slowest": [
            {"number": number, "function": str(function), "pid": worker, "took": lasted / NS}
            for lasted, number, worker, function in run.longest
        ],
        "cache": [
            {"function": name, "hits": known.hits, "misses": known.misses, "saved": known.saved / NS, "taken": known.taken / NS}
            for name, known in run.cache.items()
        ],
        "shared": [
            {"object": name, "calls": known.calls, "waits": known.waits, "waited": known.waited / NS} for name, known in run.shared.items()
        ],
        "control": bool(run.choices.get("control")),
        "level": run.choices.get("level", "sample"),
        "processors": run.processors,
        "lost": sum(process.lost for process in run.processes.values()),
    }


def _how_often(failure: tuple[int, Failure]) -> tuple[int, int]:
    return failure[1].count, failure[1].attempts


def _total(call: Call) -> int:
    """How many tasks there are, as far as is known."""
    return max(call.done, call.known or 0)


def _call(key: tuple[int, int], call: Call, run: Run, end: int) -> dict[str, Any]:
    return {
        "id": "{}-{}".format(*key),
        "number": call.number,
        "function": str(call.function),
        "total": call.total,
        "done": call.done,
        "failed": call.failed,
        "workers": call.workers,
        "backend": str(call.backend),
        "begun": (call.begun - run.begun) / NS,
        "lasted": ((end if call.ended is None else call.ended) - call.begun) / NS,
        "is_over": call.ended is not None or run.ended is not None,
        "has_failed": call.has_failed,
    }


def _lanes(run: Run, now: int) -> list[dict[str, Any]]:
    """Of processes: all that live, and of those that have gone, the last."""
    gone = sorted((process.gone for process in run.processes.values() if process.gone is not None), reverse=True)
    since = gone[_MOST_GONE] if len(gone) > _MOST_GONE else 0
    return [_lane(process, run, now) for process in run.processes.values() if process.gone is None or process.gone > since]


def _lane(process: Process, run: Run, now: int) -> dict[str, Any]:
    stack = process.stack_now()
    end = now if process.gone is None else process.gone
    is_busy = _is_busy(process, run, now)
    state = "gone" if process.gone is not None else "paused" if process.is_paused else "busy" if is_busy else "idle"
    return {
        "pid": process.pid,
        "process": process.pid,
        "name": process.name,
        "role": process.role,
        "begun": (process.begun - run.begun) / NS,
        "ended": None if process.gone is None else (process.gone - run.begun) / NS,
        "state": state,
        "died": process.has_died,
        "how": process.how,
        "busy": min(1.0, worked(process, run, end) / max(1, run.worked(process.pid, process.begun, end))),
        "cpu": process.cpu,
        "memory": process.memory,
        "silent": max(0.0, (now - process.figures[told.LOOKED]) / NS) if process.figures[told.LOOKED] and process.gone is None else 0.0,
        **_at_work(run, process.pid, process, stack, now),
    }


def _lanes_of_threads(run: Run, now: int) -> list[dict[str, Any]]:
    """Of threads that run tasks; they are told of by numbers that no process has."""
    return [
        {
            "pid": number,
            "process": worker.process.pid,
            "name": str(worker.name),
            "role": "thread",
            "state": "gone" if worker.process.gone is not None else "busy" if is_at_work(run, number, now) else "idle",
            "died": False,
            "how": "",
            "busy": min(1.0, run.timeline(number).busy / max(1, (worker.process.gone or now) - worker.begun)),
            "cpu": 0.0,
            "memory": 0,
            "silent": 0.0,
            **_at_work(run, number, worker.process, _stack_of(worker), now),
        }
        for number, worker in run.thread_workers.items()
    ]


def is_at_work(run: Run, worker: int, now: int) -> bool:
    """Whether a worker is at a task that has taken some time, or quick ones follow one another closely."""
    done = run.timelines.get(worker)
    return worker in run.running or (done is not None and done.lately.share(now) >= MOSTLY)


def _is_busy(process: Process, run: Run, now: int) -> bool:
    if process.role == "worker":
        return is_at_work(run, process.pid, now) or process.is_at_tasks(now)
    return is_at_work(run, process.pid, now) or (
        bool(process.stack_at_work()) and (process.role == "program" or process.pid not in run.timelines)
    )


def _stack_of(worker: ThreadWorker) -> int:
    thread = worker.process.threads.get(worker.thread)
    return 0 if thread is None else thread.stack


def _at_work(run: Run, worker: int, process: Process, stack: int, now: int) -> dict[str, Any]:
    """What a worker has done, and what it is at."""
    task = run.running.get(worker)
    done = run.timelines.get(worker)
    return {
        "tasks": 0 if done is None else done.count,
        "function": "" if done is None or not done.count else str(run.functions[done.function]),
        "task": None if task is None else _task(task, now),
        "stack": [list(frame) for frame in process.frames(stack)] if stack else [],
    }


def _task(task: Task, now: int) -> dict[str, Any]:
    return {
        "number": task.number,
        "call": task.call,
        "attempt": task.attempt,
        "function": str(task.function),
        "arguments": str(task.arguments),
        "for": max(0, now - task.since) / NS,
    }


def worked(process: Process, run: Run, now: int) -> int:
    """Nanoseconds that a process has worked: in tasks, where it runs any, with the one that it is at; else as it was seen."""
    if process.pid not in run.timelines and process.pid not in run.running:
        return process.busy
    return run.in_tasks(process.pid, now)


def _stacks(run: Run, now: int) -> list[dict[str, Any]]:
    """Where everybody is, equal stacks once."""
    found: dict[tuple[tuple[str, int, str], ...], list[int]] = {}
    for process in run.processes.values():
        if process.gone is None and (stack := process.stack_now()):
            found.setdefault(tuple(process.frames(stack)), []).append(process.pid)
    for number, worker in run.thread_workers.items():
        if worker.process.gone is None and (stack := _stack_of(worker)) and is_at_work(run, number, now):
            found.setdefault(tuple(worker.process.frames(stack)), []).append(number)
    ordered = sorted(found.items(), key=lambda item: len(item[1]), reverse=True)[:_MOST_STACKS]
    return [{"count": len(pids), "pids": pids, "frames": [list(frame) for frame in frames]} for frames, pids in ordered]


def _cost(run: Run, now: int) -> float:
    """What watching takes of the time of the processes that are watched."""
    spent = sum(process.figures[told.COST] for process in run.processes.values())
    lived = sum((now if process.gone is None else process.gone) - process.begun for process in run.processes.values())
    return spent / lived if lived > 0 else 0.0


def _efficiency(run: Run, end: int) -> float | None:
    """Share of the workers' time that went into tasks: while calls were under way, or, without calls, while there were workers."""
    calls = [call for call in run.calls.values() if call.workers and call.work]
    there = sum(call.workers * ((end if call.ended is None else call.ended) - call.begun) - run.paused(call, end) for call in calls)
    there += run.lived(end) - run.paused(run.loose, end)
    if there <= 0:
        return None
    at_work = sum(run.worked(worker, task.since, end) for worker, task in run.running.items())
    return min(1.0, (sum(call.busy for call in (*calls, run.loose)) + at_work) / there)
