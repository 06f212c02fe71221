"""An invented run: what a parallel program of many workers and tasks could look like, at each time of it."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

SAMPLE = Path(__file__).parent / "sample"
FAILED, CACHED = 1, 2
FUNCTIONS = ["train.load", "train.prepared", "train.fit", "train.score"]
FILES = {1: "model.py", 2: "features.py", 3: "train.py"}
# Weight, and the frames, innermost first: file, line, function.
STACKS: dict[int, list[tuple[float, list[tuple[str, int, str]]]]] = {
    0: [(5, [("features.py", 13, "load"), ("train.py", 17, "prepared")]), (2, [("features.py", 12, "load"), ("train.py", 17, "prepared")])],
    1: [
        (3, [("features.py", 19, "scaled"), ("features.py", 25, "features"), ("train.py", 17, "prepared"), ("train.py", 21, "fit")]),
        (6, [("features.py", 31, "features"), ("train.py", 17, "prepared"), ("train.py", 21, "fit")]),
    ],
    2: [
        (14, [("model.py", 46, "descend"), ("model.py", 65, "solve"), ("train.py", 24, "fit")]),
        (9, [("model.py", 47, "descend"), ("model.py", 65, "solve"), ("train.py", 24, "fit")]),
        (6, [("model.py", 45, "descend"), ("model.py", 65, "solve"), ("train.py", 24, "fit")]),
        (8, [("model.py", 51, "descend"), ("model.py", 65, "solve"), ("train.py", 24, "fit")]),
        (2, [("model.py", 66, "solve"), ("train.py", 24, "fit")]),
        (3, [("model.py", 23, "predict"), ("model.py", 36, "residuals"), ("model.py", 63, "solve"), ("train.py", 24, "fit")]),
    ],
    3: [(4, [("model.py", 23, "predict"), ("model.py", 36, "residuals"), ("model.py", 81, "score"), ("train.py", 25, "fit")])],
}
ERRORS = [
    (
        "Diverged",
        "after 41 steps, penalty 1e-06",
        2,
        66,
        'model.py", line 71, in solve\n    raise Diverged(f"after {step} steps, penalty {penalty:g}")',
    ),
    (
        "ValueError",
        "zip() argument 2 is shorter than argument 1",
        3,
        83,
        'model.py", line 38, in residuals\n    for row, target in zip(rows, targets, strict=True):',
    ),
    (
        "json.JSONDecodeError",
        "Expecting value: line 1 column 1 (char 0)",
        0,
        13,
        'features.py", line 13, in load\n    return [json.loads(line) for line in file]',
    ),
]


@dataclass
class Worker:
    """One that is invented, and its tasks: begins, ends and what they are."""

    pid: int
    name: str
    born: float = 0.0
    lost: float | None = None
    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    what: list[tuple[int, int, int]] = field(default_factory=list)  # function, flags, number
    busy: list[float] = field(default_factory=list)  # until the end of each


class Invented:
    """A run of so many tasks in so many seconds. ``ends``: how: done, failed, interrupted or died."""

    def __init__(self, token: str, *, workers: int, tasks: int, seconds: float, ends: str = "done", seed: int = 1) -> None:
        self.token, self.seconds, self.how_it_ends, self.total = token, seconds, ends, tasks
        self._random = random.Random(seed)
        self.workers = [Worker(4100 + 7 * n, f"worker {n + 1}", 0.05 + 0.004 * n) for n in range(workers)]
        if workers > 2:
            self._lose_one()
        self._invent(tasks)
        self._weights = self._line_weights()

    def _lose_one(self) -> None:
        victim = self.workers[len(self.workers) // 3]
        victim.lost = self.seconds * 0.22
        self.workers.append(Worker(victim.pid + 5000, f"worker {len(self.workers) + 1}", victim.lost + 0.05))

    def _invent(self, tasks: int) -> None:
        draw = self._random
        each = self.seconds * 0.9 * (len(self.workers) - 1 or 1) / tasks
        left = tasks
        clocks = [(worker.born, index) for index, worker in enumerate(self.workers)]
        number = 0
        while left > 0 and clocks:
            turn = clocks[:]
            for at, index in turn:
                worker = self.workers[index]
                share = number / tasks
                function = 0 if share < 0.06 else draw.choices((1, 2, 3), (3, 6, 1))[0]
                cached = function == 1 and draw.random() < 0.35
                length = each * draw.lognormvariate(-0.3, 0.75) * (0.08 if cached else (1.0, 0.5, 1.5, 0.4)[function])
                begin = at + each * (0.02 if draw.random() < 0.97 else 0.6)
                if (worker.lost is not None and begin + length > worker.lost) or left <= 0:
                    clocks.remove((at, index))
                    continue
                failed = FAILED if draw.random() < (0.004 if 0.4 < share < 0.47 else 0.0004) else 0
                worker.begins.append(begin)
                worker.ends.append(begin + length)
                worker.what.append((function, failed | (CACHED if cached else 0), number))
                worker.busy.append((worker.busy[-1] if worker.busy else 0.0) + length)
                number += 1
                left -= 1
                clocks[clocks.index((at, index))] = (begin + length, index)
        self.seconds = max(worker.ends[-1] for worker in self.workers if worker.ends)

    def _line_weights(self) -> dict[str, dict[int, list[float]]]:
        """Of all time, by file and line: with what it has called, and of its own."""
        found: dict[str, dict[int, list[float]]] = {name: {} for name in FILES.values()}
        shares = {0: 0.06, 1: 0.18, 2: 0.7, 3: 0.06}
        for function, stacks in STACKS.items():
            whole = sum(weight for weight, _ in stacks)
            for weight, frames in stacks:
                for depth, (name, line, _) in enumerate(frames):
                    entry = found[name].setdefault(line, [0.0, 0.0, 1.0 if function else 0.0])
                    entry[0] += shares[function] * weight / whole
                    entry[1] += 0.0 if depth else shares[function] * weight / whole
        return found

    # ------------------------------------------------------------ at a time

    def done(self, now: float) -> int:
        return sum(bisect_right(worker.ends, now) for worker in self.workers)

    def failed(self, now: float) -> list[int]:
        if not hasattr(self, "_failures"):
            self._failures = sorted(
                (end, number)
                for worker in self.workers
                for end, (_, flags, number) in zip(worker.ends, worker.what, strict=True)
                if flags & FAILED
            )
        return [number for end, number in self._failures if end <= now]

    def busy(self, worker: Worker, now: float) -> float:
        index = bisect_right(worker.ends, now)
        seconds = worker.busy[index - 1] if index else 0.0
        if index < len(worker.begins) and worker.begins[index] < now:
            seconds += now - worker.begins[index]
        return seconds

    def place(self, path: str) -> str:
        return f"/home/ada/study/{path}"

    def stack(self, worker: Worker, function: int, now: float) -> list[list[Any]]:
        draw = random.Random(f"{worker.pid} {int(now * 2.5)}")
        stacks = STACKS[function]
        frames = draw.choices([frames for _, frames in stacks], [weight for weight, _ in stacks])[0]
        return [[self.place(name), line, called] for name, line, called in frames]

    def lane(self, worker: Worker, now: float) -> dict[str, Any]:
        is_over = now >= self.seconds
        end = min(now, self.seconds, worker.lost or self.seconds)
        busy = min(1.0, self.busy(worker, end) / max(1e-6, end - worker.born))
        lane: dict[str, Any] = {
            "pid": worker.pid, "name": worker.name, "role": "worker", "state": "idle", "how": "", "busy": busy, "cpu": 0.0,
            "memory": int(48e6 + 6e6 * (worker.pid % 9) + 1.1e6 * min(now, 60)), "tasks": bisect_right(worker.ends, end),
            "task": None, "stack": [], "silent": 0.0, "begun": worker.born, "ended": None,
        }  # fmt: skip
        if worker.lost is not None and now >= worker.lost:
            return lane | {
                "state": "gone",
                "how": "killed by signal 9 (SIGKILL), memory 3.1 GB: out of memory?",
                "ended": worker.lost,
                "busy": busy,
            }
        if is_over:
            return lane | {"state": "gone", "ended": self.seconds}
        index = bisect_right(worker.ends, now)
        if index < len(worker.begins) and worker.begins[index] <= now:
            function, _, number = worker.what[index]
            arguments = f"'data/{number % 997:03}.jsonl', 1e{number % 10 - 6}"
            lane["task"] = {"number": number, "function": FUNCTIONS[function], "arguments": arguments, "for": now - worker.begins[index]}
            lane |= {
                "state": "busy",
                "cpu": 0.9 + 0.1 * ((worker.pid * 31 + int(now)) % 10) / 10,
                "stack": self.stack(worker, function, now),
            }
        return lane

    def program(self, now: float) -> dict[str, Any]:
        is_over = now >= self.seconds
        return {
            "pid": 4093, "name": "train.py", "role": "program", "state": "gone" if is_over else "busy", "how": "", "busy": 0.38, "cpu": 0.41,
            "memory": int(212e6), "tasks": 0, "task": None, "silent": 0.0, "begun": 0.0, "ended": self.seconds if is_over else None,
            "stack": [] if is_over else [[self.place("train.py"), 33, "<module>"]],
        }  # fmt: skip

    def snapshot(self, now: float) -> dict[str, Any]:
        end = min(now, self.seconds)
        is_over = now >= self.seconds
        done, failed = self.done(end), self.failed(end)
        rate = (done - self.done(end - min(10, end))) / max(0.2, min(10, end))
        lanes = [self.program(now), *(self.lane(worker, now) for worker in self.workers if worker.born <= now)]
        cached = int(done * 0.1)
        left = (self.total - done) / max(1, rate)
        return {
            "id": self.token, "name": "train.py", "state": self.how_it_ends if is_over else "running", "how": self._how() if is_over else "",
            "elapsed": end, "done": done, "failed": len(failed), "total": self.total, "rate": rate,
            "eta": None if is_over or done < 3 else [left, max(0.05, done**-0.5) * left],
            "sent": int(done * 1_281_300), "received": int(done * 9_100), "spared": int(done * 1_240_000), "cached": cached, "saved": cached * 0.06,
            "cost": 0.0041, "processors": 64, "verdict": self._verdict(now),
            "efficiency": sum(self.busy(worker, end) for worker in self.workers)
            / max(1e-6, sum(min(end, worker.lost or end) - worker.born for worker in self.workers if worker.born < end)),
            "calls": self._calls(done, end), "lanes": lanes, "files": self.files(now), "stacks": self._stacks(lanes), "errors": self._errors(failed, end),
            "cache": [
                {"function": "train.prepared", "hits": cached, "misses": int(cached * 1.8), "saved": cached * 0.055},
                {"function": "features.vocabulary", "hits": cached // 90, "misses": 3, "saved": cached * 0.005},
            ],
            "shared": [
                {"object": "board: dict", "calls": done // 3, "waited": done * 2.1e-5},
                {"object": "progress: Counter", "calls": done, "waited": done * 0.4e-5},
                {"object": "limits: Settings", "calls": done // 11, "waited": 0.0},
            ],
            "lost": 0,
        }  # fmt: skip

    def _how(self) -> str:
        return {"died": "it was killed, or crashed", "interrupted": "KeyboardInterrupt", "failed": "ValueError: no files in data"}.get(
            self.how_it_ends, ""
        )

    def _verdict(self, now: float) -> dict[str, str]:
        if now < self.seconds * 0.15:
            return {"kind": "good", "text": f"well used: {len(self.workers)} workers are busy 93 %", "remedy": ""}
        text = "workers idle 6 %: the program is the bottleneck, pickling takes 61 % of its time"
        return {"kind": "pickling", "text": text, "remedy": "use larger chunks, or share() the table that all tasks need"}

    def _calls(self, done: int, end: float) -> list[dict[str, Any]]:
        first = int(self.total * 0.06)
        told = {"failed": 0, "workers": len(self.workers), "backend": "processes"}
        calls = [
            {
                "number": 1,
                "function": "train.load",
                "total": first,
                "done": min(done, first),
                "begun": 0.0,
                "lasted": min(end, self.seconds * 0.06),
            }
        ]
        if done >= first:
            rest = self.total - first
            calls.append({"number": 2, "function": "train.fit", "total": rest, "done": done - first, "begun": 0.0, "lasted": end * 0.94})
        return [call | told | {"is_over": call["done"] == call["total"]} for call in calls]

    def _stacks(self, lanes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for lane in lanes:
            if lane["stack"]:
                found.setdefault(str(lane["stack"]), []).append(lane)
        ordered = sorted(found.values(), key=len, reverse=True)
        return [{"count": len(same), "pids": [lane["pid"] for lane in same], "frames": same[0]["stack"]} for same in ordered]

    def _errors(self, failed: list[int], end: float) -> list[dict[str, Any]]:
        found = []
        for kind, (name, message, _, _, where) in enumerate(ERRORS):
            tasks = [number for number in failed if min(2, number % 7 // 3) == kind]
            if tasks:
                traceback = (
                    f'Traceback (most recent call last):\n  File "/home/ada/study/train.py", line 24, in fit\n'
                    f'    fitted = model.solve(rows[:half], targets[:half], penalty)\n  File "/home/ada/study/{where}\n{name}: {message}\n'
                )
                entry = {
                    "kind": name,
                    "message": message,
                    "traceback": traceback,
                    "count": len(tasks),
                    "last": end * 0.9,
                    "tasks": tasks[:20],
                }
                found.append(entry)
        return sorted(found, key=lambda entry: -entry["count"])

    # ------------------------------------------------------------ lines

    def files(self, now: float) -> list[dict[str, Any]]:
        spent = sum(self.busy(worker, min(now, self.seconds)) for worker in self.workers)
        found = []
        for number, name in FILES.items():
            own = sum(entry[1] for entry in self._weights[name].values()) * spent
            found.append(
                {"id": number, "path": self.place(name), "name": name, "hits": int(own * 20), "own": own, "last": min(now, self.seconds)}
            )
        return sorted(found, key=lambda entry: -float(entry["own"]))

    def source(self, number: int, pid: int | None, now: float) -> dict[str, Any]:
        name = FILES[number]
        end = min(now, self.seconds)
        spent = sum(self.busy(worker, end) for worker in self.workers if pid in {None, worker.pid})
        draw = random.Random(int(now))
        heat = {
            str(line): [int(whole * spent * 20) + 1, whole * spent, own * spent, end - (draw.random() * 3 if recent else end * 0.9), 0]
            for line, (whole, own, recent) in self._weights[name].items()
            if spent
        }
        text = (SAMPLE / name).read_text(encoding="utf-8")
        return {"path": self.place(name), "lines": text.splitlines(), "heat": heat, "runnable": runnable(text, name), "here": {}}


def runnable(text: str, name: str) -> list[int]:
    """Lines that have code in functions."""
    found: set[int] = set()
    codes = [compile(text, name, "exec")]
    while codes:
        code = codes.pop()
        if code.co_name != "<module>":
            found |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted(found)
