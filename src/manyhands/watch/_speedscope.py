"""The stacks of a run for https://www.speedscope.app: a sampled profile for each process, of functions, in nanoseconds.

They come in the order in which they were seen, as far as that is still known: of long runs, equal stacks near one another are one sample.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.watch.observer._model import Run
    from manyhands.watch.observer._process import Process

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(run: Run, _: int) -> Iterator[str]:
    """The file, in parts."""
    frames: dict[tuple[str, str, int], int] = {}
    seen = [process for process in run.processes.values() if len(process.stacks_seen)]
    seen.sort(key=lambda process: process.role == "program")  # workers first: that is what is opened
    yield f'{{"$schema":"{SCHEMA}","exporter":"manyhands","name":{json.dumps(run.name)},"activeProfileIndex":0,"profiles":['
    for place, process in enumerate(seen):
        yield "," * (place > 0) + json.dumps(_profile(process, frames), separators=(",", ":"))
    if not seen:
        yield json.dumps(_empty(run))
    named = [{"name": name, "file": file, "line": line} for file, name, line in frames]
    yield f'],"shared":{{"frames":{json.dumps(named, separators=(",", ":"))}}}}}\n'


def _profile(process: Process, frames: dict[tuple[str, str, int], int]) -> dict[str, Any]:
    numbers: dict[int, list[int]] = {}
    samples, weights = [], []
    for stack, lasted in process.stacks_seen:
        if stack not in numbers:
            places = [process.codes[code] for code, _ in reversed(process.stacks.get(stack, [])) if code in process.codes]
            numbers[stack] = [frames.setdefault((file, name, line), len(frames)) for file, name, line in places]
        samples.append(numbers[stack])
        weights.append(lasted)
    name = f"{process.name} ({process.pid})" if str(process.pid) not in process.name else process.name
    return {**_shape(name, sum(weights)), "samples": samples, "weights": weights}


def _shape(name: str, end: int) -> dict[str, Any]:
    return {"type": "sampled", "name": name, "unit": "nanoseconds", "startValue": 0, "endValue": end}


def _empty(run: Run) -> dict[str, Any]:
    """speedscope opens no file without a profile."""
    return {**_shape(f"{run.name}: nobody was seen at work", 0), "samples": [], "weights": []}
