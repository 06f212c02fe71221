"""What one bad task costs, and what is left when the parent is killed: ``python -m benchmarks.failures``.

Six tasks on two workers, the fourth (task 3) misbehaves in one of four ways. For each contender: which tasks gave their result, which an
error and of what type, which never ended, and whether the pool could still run a task. Each try has its own interpreter, with a time-out.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import contenders, fresh, misdeeds, orphans, report, tasks

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 7.0  # seconds for the results: one of the peers needs more than five to notice that a worker was killed
PATIENCE_AFTER = 2.0  # seconds for one more task
TIMEOUT = PATIENCE + PATIENCE_AFTER + 3
NEVER = "never ended"


class Answers:
    """What became of each task, written down at once: the call may hang."""

    def __init__(self, reports: fresh.Reports) -> None:
        self._reports = reports

    def result(self, index: int, value: Any) -> None:
        """A result, which may be wrong."""
        self._note(index, "ok" if value == index else f"wrong: {value!r:.40}")

    def error(self, index: int, error: BaseException) -> None:
        """An error of its own."""
        self._note(index, type(error).__name__)

    def never(self, index: int) -> None:
        """No answer in good time."""
        self._note(index, NEVER)

    def lost(self, error: BaseException) -> None:
        """One error instead of all results."""
        self._reports.write({"lost": type(error).__name__})

    def _note(self, index: int, answer: str) -> None:
        self._reports.write({"task": index, "answer": answer})


# ------------------------------------------------------------ the ways to ask


def by_futures(pool: contenders.Contender, fn: Callable[[Any], Any], inputs: list[Any], answers: Answers) -> None:
    """One future for each task: what a library knows about each."""
    takes: list[Callable[[float | None], Any] | None] = []
    for index, value in enumerate(inputs):
        try:
            takes.append(pool.submit(fn, value))
        except Exception as error:
            takes.append(None)
            answers.error(index, error)
    deadline = time.monotonic() + PATIENCE
    for index, take in enumerate(takes):
        if take is not None:
            _take(index, take, deadline, answers)


def _take(index: int, take: Callable[[float | None], Any], deadline: float, answers: Answers) -> None:
    try:
        answers.result(index, take(max(0.05, deadline - time.monotonic())))
    except Exception as error:
        # Python 3.11 has one TimeoutError, which is also multiprocessing's and that of futures; or else it is the task's own error.
        if time.monotonic() >= deadline and "Timeout" in type(error).__name__:
            answers.never(index)
        else:
            answers.error(index, error)


def by_call(pool: contenders.Contender, fn: Callable[[Any], Any], inputs: list[Any], answers: Answers) -> None:
    """One call for all tasks, which gives all results or one error."""
    try:
        results = pool.each(fn, inputs)
    except Exception as error:
        answers.lost(error)
    else:
        for index, value in enumerate(results):
            answers.result(index, value)


def by_map(pool: contenders.Contender, fn: Callable[[Any], Any], inputs: list[Any], answers: Answers) -> None:
    """``manyhands.map(errors="return")``."""
    import manyhands

    for index, value in enumerate(manyhands.map(fn, inputs, workers=pool.workers, errors="return")):
        if isinstance(value, manyhands.Failure):
            answers.error(index, value.error)
        else:
            answers.result(index, value)


# Name in the table -> contender, how it is asked. Where a library has both, futures tell more than a call.
FACES: dict[str, tuple[str, Callable[[contenders.Contender, Callable[[Any], Any], list[Any], Answers], None]]] = {
    "manyhands.map": ("manyhands", by_map),
    "manyhands.Executor": ("manyhands", by_futures),
    "manyhands.Parallel": ("manyhands.Parallel", by_call),
    "Pool": ("Pool", by_futures),
    "PPE": ("PPE", by_futures),
    "loky": ("loky", by_futures),
    "joblib": ("joblib", by_call),
    "mpire": ("mpire", by_futures),
    "pebble": ("pebble", by_futures),
    "dask": ("dask", by_futures),
    "ray": ("ray", by_futures),
}


# ------------------------------------------------------------ in the child


def child(path: str, face: str, column: str) -> None:
    """Let one task misbehave, and report."""
    label, ask = FACES[face]
    reports = fresh.Reports(path)
    with contenders.named(label)(2) as pool:
        _, fn = misdeeds.COLUMNS[column]
        ask(pool, fn, misdeeds.inputs(column), Answers(reports))
        reports.write({"asked": True})
        try:
            usable = _one_more(pool, ask) == 1
        except Exception:
            usable = False
        reports.write({"usable": usable})


def _one_more(pool: contenders.Contender, ask: Callable[..., None]) -> Any:
    if ask is by_futures:
        return pool.submit(tasks.noop, 1)(PATIENCE_AFTER)
    return pool.each(tasks.noop, [1])[0]


# ------------------------------------------------------------ in the parent


def describe(outcome: fresh.Outcome) -> str:
    """A cell of the table, in words."""
    facts = outcome.reports
    answers = {fact["task"]: fact["answer"] for fact in facts if "task" in fact}
    lost = next((fact["lost"] for fact in facts if "lost" in fact), None)
    asked = any("asked" in fact for fact in facts)
    usable = next((fact["usable"] for fact in facts if "usable" in fact), None)
    if lost:
        words = [f"whole call lost: {lost}"]
    elif not asked and not answers:
        words = ["**hangs**, no results" if outcome.timed_out else f"the program died (status {outcome.status})"]
    else:
        words = [_in_words(answers)]
        if not asked:
            words.append("then **hangs**" if outcome.timed_out else f"then the program died (status {outcome.status})")
    if asked:
        words.append("usable" if usable else "**pool unusable**")
        if outcome.timed_out and usable is not None:
            words.append("**hangs at the end**")
    return "; ".join(words)


def _in_words(answers: dict[int, str]) -> str:
    """``ok 0 1 2 4 5; 3 WorkerDied``."""
    grouped: dict[str, list[int]] = {}
    for index, answer in sorted(answers.items()):
        grouped.setdefault(answer, []).append(index)
    return ", ".join(f"{' '.join(map(str, indexes))} {answer}" for answer, indexes in grouped.items())


def main() -> None:
    """Print both tables."""
    present = {contender.label for contender in contenders.installed()}
    missing = [contender.label for contender in contenders.ALL if contender.label not in present]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.")
    print(report.describe(report.machine()))
    print(f"\n{misdeeds.TASKS} tasks, 2 workers, task {misdeeds.BAD} misbehaves:\n")
    faces = [face for face, (label, _) in FACES.items() if label in present]
    _print_line(["", *(title for title, _ in misdeeds.COLUMNS.values())])
    _print_line(["---"] * (1 + len(misdeeds.COLUMNS)))
    with fresh.bytecode_kept():
        for face in faces:
            outcomes = [fresh.run("benchmarks.failures", face, column, timeout=TIMEOUT) for column in misdeeds.COLUMNS]
            _print_line([face, *map(describe, outcomes)])
        print("\nWorkers (and other processes of the pool) still alive after `kill -9` of the parent:\n")
        moments = orphans.MOMENTS
        _print_line(["", *(f"{state}, {moment:g} s later" for state in orphans.STATES for moment in moments)])
        _print_line(["---"] + ["---:"] * (len(orphans.STATES) * len(moments)))
        for label, counts in orphans.count([contender.label for contender in contenders.installed()]).items():
            _print_line([label, *counts])


def _print_line(fields: list[str]) -> None:
    print("| " + " | ".join(fields) + " |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(*sys.argv[1:])
    else:
        main()
