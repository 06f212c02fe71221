"""Who works on a call: places, each of a worker and of those that have followed it there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from manyhands.watch.observer._calls import Call
    from manyhands.watch.observer._model import Run

_FOLLOWS_WITHIN = 500_000_000  # nanoseconds by which the end of a process may be known later than the begin of its successor


class Place(NamedTuple):
    """Of one worker after another. Times are nanoseconds, of the call.

    Attributes:
        work: in tasks that have ended.
        lived: in which there was a worker.
        vacant: between the last task of one worker, or its death, and the first of the next.
        replaced: how many workers have had a successor.
        last: the worker that has it now, or had it last.
    """

    work: int
    lived: int
    vacant: int
    replaced: int
    last: int


class _Span(NamedTuple):
    worker: int
    begin: int
    end: int


def places(run: Run, call: Call, now: int) -> list[Place]:
    """All that there are or were. Workers of manyhands have the name of their place; of others, one follows when another has ended."""
    end = now if call.ended is None else call.ended
    named: dict[str | int, list[_Span]] = {}
    others: list[_Span] = []
    for worker in call.work.keys() | run.at_work(call).keys():
        process = run.processes.get(worker)
        if process is None:  # a thread, or a process that has been forgotten
            lived = end - call.begun if worker in run.thread_workers else call.work.get(worker, (0, 0))[1]
            span = _Span(worker, end - lived, end) if worker in run.thread_workers else _Span(worker, call.begun, call.begun + lived)
        else:
            span = _Span(worker, max(call.begun, process.begun), min(end, end if process.gone is None else process.gone))
        if worker in run.places:
            named.setdefault(run.places[worker], []).append(span)
        elif process is None or process.role == "program":
            named[worker] = [span]
        else:
            others.append(span)
    return [_place(run, call, spans) for spans in (*named.values(), *_following(others))]


def _following(spans: list[_Span]) -> list[list[_Span]]:
    found: list[list[_Span]] = []
    for span in sorted(spans, key=lambda span: span.begin):
        before = next((each for each in found if each[-1].end - _FOLLOWS_WITHIN < span.begin and each[-1].end < span.end), None)
        if before is None:
            found.append([span])
        else:
            before.append(span)
    return found


def _place(run: Run, call: Call, spans: list[_Span]) -> Place:
    spans.sort(key=lambda span: (span.begin, span.end))
    work, lived, vacant = 0, 0, 0
    for index, span in enumerate(spans):
        worked = call.work.get(span.worker, (0, 0))[1]
        work += worked
        lived += max(worked, span.end - span.begin)  # it may have joined in the midst of its first task
        vacant += _between(run, spans[index - 1], span) if index else 0
    return Place(work, lived, vacant, len(spans) - 1, spans[-1].worker)


def _between(run: Run, one: _Span, other: _Span) -> int:
    """Nanoseconds from the end of a worker until its successor has begun a task, or has begun."""
    before, after, process = run.timelines.get(one.worker), run.timelines.get(other.worker), run.processes.get(one.worker)
    died = process is not None and process.has_died
    end = before.end if before is not None and not died else one.end
    return max(0, (other.begin if after is None else after.begin) - end)
