"""How a run has been over time: what the page has shown of it, and how hot its lines were. Pure: plain data goes in.

Snapshots are kept as differences, some hundred of them: when there are too many, every second one is joined with the one after it, and from
then on they are twice as far apart. So it takes as much memory for a day as for a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyhands.watch.observer._heat import Heat

NS = 1_000_000_000
MOST = 240  # snapshots
MOST_HEATS = 24
FIRST = NS // 10  # nanoseconds between two snapshots of a run that has just begun,
_WORKERS = 16  # and as much more for each so many processes
_FIRST_HEATS = NS // 2
_DEEPEST = 16  # frames of a stack
_MOST_FILES, _MOST_LINES = 40, 20_000  # whose heat is kept
_COARSE = 1 << 16  # bytes
_SILENT = 1.0  # seconds that say nothing

# Lists in a snapshot whose items are known by a key, so that of each only what has changed is kept.
KEYS = {"lanes": "pid", "files": "id", "calls": "id", "errors": "id", "cache": "function", "shared": "object"}
LEFT = "left"  # in a difference: by list, the keys of items that are there no more
_DERIVED = frozenset({"stacks"})  # told by the lanes

Plain = dict[str, Any]
Figures = tuple[float, float, float, float, float]  # seconds, tasks a second, share of workers at work, processors, bytes


class History:
    """Of one run.

    Attributes:
        changes: the first is a whole snapshot; each other is what is different from the one before.
        figures: what the small charts of the page show, at the same times.
        heats: when; and by file and line what is different from the time before: hits, nanoseconds, those of its own, when it was seen.
    """

    def __init__(self) -> None:
        self.changes: list[Plain] = []
        self.figures: list[Figures] = []
        self.heats: list[tuple[int, Heats]] = []
        self._latest: Plain = {}
        self._stacks: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # equal ones are one
        self._apart = FIRST
        self._next = 0
        self._apart_heats = _FIRST_HEATS
        self._next_heats = 0
        self._lines: dict[tuple[str, int], tuple[int, int]] = {}  # hits and nanoseconds, as they were noted last

    def is_due(self, now: int) -> bool:
        """Whether it is time for another snapshot."""
        return now >= self._next

    def note(self, snapshot: Plain, now: int) -> None:
        """How the run is now; ``now`` in nanoseconds."""
        after = self._compact(snapshot)
        self._next = now + self._apart * (1 + len(after["lanes"]) // _WORKERS)
        self.changes.append(difference(self._latest, after) if self.changes else after)
        self._latest = after
        self.figures.append(figures(snapshot))
        if len(self.changes) > MOST:
            self._thin()

    def until(self, snapshot: Plain) -> list[Plain]:
        """The changes, and how the run is now."""
        after = self._compact(snapshot)
        return [*self.changes, difference(self._latest, after)] if self.changes else [after]

    def _thin(self) -> None:
        self._apart *= 2
        first, *rest = self.changes
        self.changes = [first, *[joined(*rest[at : at + 2]) for at in range(0, len(rest), 2)]]
        self.figures = [self.figures[0], *[self.figures[min(at + 1, len(rest))] for at in range(1, len(rest) + 1, 2)]]
        self._stacks = {}

    def _compact(self, snapshot: Plain) -> Plain:
        """The same with what changes all the time rounded, or told by what does not."""
        now = snapshot["elapsed"]
        found = {key: _rounded(value) for key, value in snapshot.items() if key not in KEYS and key not in _DERIVED}
        for name in KEYS:
            found[name] = [_rounded_all(item) for item in snapshot.get(name, ())]
        found["lanes"] = [self._lane(lane, now) for lane in snapshot["lanes"]]
        for call in found["calls"]:
            if not call["is_over"]:
                call["lasted"] = None
        return found

    def _lane(self, lane: Plain, now: float) -> Plain:
        stack = tuple(map(tuple, lane["stack"][:_DEEPEST]))
        task = lane["task"]
        return {
            **_rounded_all(lane),
            "memory": lane["memory"] // _COARSE * _COARSE,
            "silent": lane["silent"] if lane["silent"] > _SILENT else 0,
            "stack": self._stacks.setdefault(stack, stack),
            "task": None if task is None else {**{key: task[key] for key in task if key != "for"}, "since": round(now - task["for"], 3)},
        }

    # ------------------------------------------------------------ lines

    def are_heats_due(self, now: int) -> bool:
        """Whether it is time to note how hot lines are."""
        return now >= self._next_heats

    def note_heats(self, heat: Heat, now: int) -> None:
        """How hot they are now."""
        self._next_heats = now + self._apart_heats
        self.heats.append((now, self._changed(heat)))
        if len(self.heats) > MOST_HEATS:
            self._apart_heats *= 2
            rest = self.heats[1:]
            self.heats = [self.heats[0], *[_joined_heats(*rest[at : at + 2]) for at in range(0, len(rest), 2)]]

    def _changed(self, heat: Heat) -> Heats:
        found: Heats = {}
        for file in heat.by_file()[:_MOST_FILES]:
            for number, line in heat.files[file.path].items():
                key, state = (file.path, number), (line.hits, line.time)
                if self._lines.get(key) != state and (key in self._lines or len(self._lines) < _MOST_LINES):
                    self._lines[key] = state
                    found.setdefault(file.path, {})[number] = (line.hits, line.time, line.own, line.last)
        return found


Heats = dict[str, dict[int, tuple[int, int, int, int]]]


def _joined_heats(*heats: tuple[int, Heats]) -> tuple[int, Heats]:
    found: Heats = {}
    for _, changed in heats:
        for path, lines in changed.items():
            found[path] = {**found.get(path, {}), **lines}
    return heats[-1][0], found


# ---------------------------------------------------------------- differences


def difference(before: Plain, after: Plain) -> Plain:
    """What has to be said of a snapshot to who knows the one before. When that was is always said."""
    found = {key: value for key, value in after.items() if key not in KEYS and (key == "elapsed" or before.get(key) != value)}
    left = {}
    for name, by in KEYS.items():
        known = {item[by]: item for item in before[name]}
        changed = [_changed(known.pop(item[by], {}), item, by) for item in after[name]]
        if changed := [item for item in changed if len(item) > 1]:
            found[name] = changed
        if known:
            left[name] = list(known)
    return {**found, LEFT: left} if left else found


def _changed(before: Plain, after: Plain, by: str) -> Plain:
    return {key: value for key, value in after.items() if key == by or key not in before or before[key] != value}


def joined(first: Plain, second: Plain | None = None) -> Plain:
    """Two differences, one after the other, as one."""
    if second is None:
        return first
    found = {**first, **second}
    left = {}
    for name, by in KEYS.items():
        gone = second.get(LEFT, {}).get(name, [])
        items = {item[by]: item for item in first.get(name, ()) if item[by] not in set(gone)}
        for item in second.get(name, ()):
            items[item[by]] = {**items.get(item[by], {}), **item}
        found.pop(name, None)
        if items:
            found[name] = list(items.values())
        come_back = {item[by] for item in second.get(name, ())}
        if gone := [key for key in dict.fromkeys([*first.get(LEFT, {}).get(name, []), *gone]) if key not in come_back]:
            left[name] = gone
    found.pop(LEFT, None)
    return {**found, LEFT: left} if left else found


# ---------------------------------------------------------------- figures


def figures(snapshot: Plain) -> Figures:
    """Of the small charts."""
    alive = [lane for lane in snapshot["lanes"] if lane["state"] != "gone"]
    workers = [lane for lane in alive if lane["role"] not in {"program", "keeper"}]
    working = sum(lane["state"] == "busy" for lane in workers) / len(workers) if workers else 0.0
    return (
        snapshot["elapsed"],
        snapshot["rate"],
        working,
        sum(lane["cpu"] for lane in alive),
        sum(lane["memory"] for lane in alive),
    )


def charts(history: History) -> dict[str, list[float]]:
    """The same by name, over time."""
    names = ("times", "rate", "working", "cpu", "memory")
    return {name: [round(each[index], 3) for each in history.figures] for index, name in enumerate(names)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [round(each, 2) for each in value] if isinstance(value, tuple) and all(isinstance(each, float) for each in value) else value


def _rounded_all(item: Plain) -> Plain:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in item.items()}
