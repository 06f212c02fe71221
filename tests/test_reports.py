"""What a call has cost, and what is said about it."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time

import numpy as np
import pytest
import scripts

import manyhands
from manyhands._core.verdict import Figures, duration, size, verdict

BACKENDS = ["processes", "threads", "sequential"]


def work(x):
    """Some milliseconds of a processor."""
    return sum(range(100_000 + x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_report_tells_what_a_call_was(backend):
    manyhands.map(work, range(20), workers=2, backend=backend, chunk=1)
    report = manyhands.last_report()
    assert (report.function, report.tasks, report.failed) == ("work", 20, 0)
    assert report.backend == backend
    assert sum(tasks for tasks, _ in report.per_worker.values()) == 20
    assert report.busy == pytest.approx(sum(seconds for _, seconds in report.per_worker.values()))
    assert 0 < report.busy <= report.workers * report.wall
    assert 0 <= report.start <= report.wall
    assert report.verdict in str(report)
    assert "20 tasks of work on" in str(report)


def slow(x):
    if x == 7:
        threading.Event().wait(0.05)
    return x


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_slowest_tasks_with_their_arguments(backend):
    manyhands.map(slow, range(20), workers=2, backend=backend, chunk=1)
    seconds, task = manyhands.last_report().slowest[0]
    assert task == "task 7: slow(7)"
    assert 0.05 <= seconds < 5


def test_slow_tasks_that_fail_count_as_well():
    def fail(x):
        slow(x)
        raise KeyError(x)

    manyhands.map(fail, range(10), workers=2, errors="skip")
    report = manyhands.last_report()
    assert report.failed == 10
    assert any(task.startswith("task 7: ") and seconds >= 0.05 for seconds, task in report.slowest)


def test_what_was_moved():
    manyhands.map(len, [b"x" * 10_000] * 10, workers=2)
    report = manyhands.last_report()
    assert 10_000 <= report.sent < 200_000
    assert 10 < report.received < 1000
    assert report.preparing > 0
    manyhands.map(bytes, [1_000_000] * 3, workers=2)
    assert manyhands.last_report().received >= 3_000_000


def test_what_a_function_carries_is_counted_for_each_worker_that_is_sent_it():
    table = np.ones(200_000)
    look_up = lambda i: float(table[i])  # noqa: E731

    manyhands.map(look_up, range(4), workers=1)
    first = manyhands.last_report()
    assert table.nbytes < first.sent < table.nbytes + 10_000
    manyhands.map(look_up, range(4), workers=1)
    assert manyhands.last_report().sent < 10_000  # the worker knows it


def test_workers_that_are_warm_are_not_blamed_for_what_a_function_carries():
    table = np.ones(1_200_000)
    with manyhands.options(workers=2, chunk=1):
        manyhands.map(work, range(20))
        while len(manyhands.last_report().per_worker) < 2:
            manyhands.map(work, range(20))
        manyhands.map(lambda i: float(table[i]), range(2))
    assert "Serial would have been faster" in str(manyhands.last_report())
    assert "starting workers" not in str(manyhands.last_report())


def test_how_far_tasks_were_dispatched_ahead():
    with manyhands.options(workers=3, chunk=2):
        assert len(list(manyhands.imap(work, iter(range(24)), buffer=12))) == 24
    report = manyhands.last_report()
    assert (report.chunk, report.ahead) == (2, 12)
    assert "at most 12 tasks dispatched ahead: 6 with the workers, 2 in a message; 6 waiting" in str(report)


@pytest.mark.parametrize("face", ["manyhands", "manyhands.compat.joblib"])
def test_parallel_reports_as_well(face):
    joblib = importlib.import_module(face)
    # The figures that joblib's documentation gives: 12 of 24 tasks dispatched, of which three workers have 6.
    joblib.Parallel(n_jobs=3, pre_dispatch="2 * n_jobs", batch_size=2)(joblib.delayed(work)(x) for x in range(24))
    report = manyhands.last_report()
    assert (report.tasks, report.workers, report.chunk, report.ahead) == (24, 3, 2, 12)
    assert "at most 12 tasks dispatched ahead: 6 with the workers, 2 in a message; 6 waiting" in str(report)
    assert list(joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(work)(x) for x in range(5)))
    assert manyhands.last_report().tasks == 5


@pytest.mark.parametrize("kind", [manyhands.Pool, manyhands.ThreadPool])
def test_maps_of_pools_report_as_well(kind):
    with kind(2) as pool:
        pool.map(work, range(20), chunksize=5)
        report = manyhands.last_report()
        assert (report.function, report.tasks, report.workers, report.chunk) == ("work", 20, 2, 5)
        assert report.backend == ("processes" if kind is manyhands.Pool else "threads")
        assert report.wall > 0
        assert sum(tasks for tasks, _ in report.per_worker.values()) == 20
        with pytest.raises(TypeError):
            pool.starmap(work, [(1,), ("x",)])
        report = manyhands.last_report()
        assert (report.tasks, report.failed) == (2, 1)


def test_a_call_that_coroutines_await_reports_to_their_thread():
    async def run():
        return [x async for x in manyhands.aimap(work, range(7))]

    assert len(asyncio.run(run())) == 7
    assert manyhands.last_report().tasks == 7


def test_tasks_that_were_stopped_count_as_work():
    with pytest.raises(manyhands.TaskTimeout):
        manyhands.map(time.sleep, [60], timeout=0.2)
    assert manyhands.last_report().busy >= 0.2
    manyhands.map(work, range(4), workers=2, backend="sequential")
    assert manyhands.last_report().verdict.startswith("One worker did it all")


def test_an_iterator_reports_when_it_ends_and_each_thread_has_its_own():
    manyhands.map(abs, range(5))
    with manyhands.imap(work, range(1000)) as results:
        next(results)
        assert manyhands.last_report().tasks == 5
    assert manyhands.last_report().tasks < 1000
    seen = []
    thread = threading.Thread(target=lambda: seen.append(manyhands.last_report()))
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_report_that_is_shown():
    program = "import manyhands\nmanyhands.map(abs, range(10), workers=2, progress='report')"
    done = scripts.run(program)
    assert done.stderr.startswith("10 tasks of abs on 2 workers (processes) in ")
    assert scripts.run(program.replace(", progress='report'", ""), MANYHANDS_PROGRESS="report").stderr.startswith("10 tasks of abs")
    with pytest.raises(ValueError, match="progress='repord' is not allowed; progress is True, False, or 'report'"):
        manyhands.map(abs, [1], progress="repord")


# ---------------------------------------------------------------- what is said about it

GOOD = Figures(
    tasks=100,
    workers=4,
    processors=4,
    wall=1.0,
    busy=3.8,
    longest=0.97,
    start=0.01,
    preparing=0.01,
    collecting=0.01,
    away=0.01,
    slowest=0.04,
    fixed=None,
    sent=1000,
    hired=True,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Well used: 4 workers were 3.80 times as fast"),
        ({"tasks": 0}, "nothing to do"),
        ({"workers": 1}, "One worker did it all: 100 tasks of 38 ms"),
        (
            {"tasks": 1_000_000, "busy": 0.9, "fixed": 10},
            "tasks take 0.9 µs, less than it takes to send them 10 at a time; use larger chunks",
        ),
        ({"tasks": 1_000_000, "busy": 0.9, "fixed": 1}, "one by one; use larger chunks"),
        ({"busy": 0.1, "start": 0.81}, "starting workers took 800 ms of 1 s; they stay warm"),
        ({"busy": 0.1, "start": 0.81, "hired": False}, "800 ms of 1 s went by until a worker was free and had loaded the function"),
        ({"busy": 0.5, "preparing": 0.8, "sent": 10**9}, "810 ms went into reading inputs and moving 1 GB"),
        ({"busy": 0.5}, "do more in each of them"),
        ({"busy": 0.5, "away": 0.8}, "the program was busy with the results, or with other things, for 800 ms of 1 s"),
        ({"busy": 0.5, "start": 0.9, "preparing": 0.89}, "went into reading inputs"),
        ({"workers": 8, "processors": 2, "busy": 7.6}, "8 workers had 2 processors: tasks that wait were 7.60 times as fast"),
        ({"tasks": 3, "busy": 2.0}, "there were only 3 tasks for 4 workers"),
        ({"busy": 2.0, "longest": 0.9, "slowest": 0.8}, "one task alone took 800 ms of 1 s"),
        (
            {"busy": 2.0, "longest": 0.9, "fixed": 20},
            "the work was uneven, so that workers waited at the end: use more and smaller tasks, in smaller",
        ),
        ({"busy": 2.0, "longest": 0.6, "start": 0.41}, "starting workers took 400 ms"),
        ({"busy": 2.0, "longest": 0.6, "start": 0.41, "hired": False}, "400 ms of 1 s went by until a worker was free"),
        ({"busy": 2.0, "longest": 0.6, "preparing": 0.4}, "sending them took 400 ms of 1 s, while workers waited"),
        ({"busy": 2.0, "longest": 0.6, "collecting": 0.4}, "reading the results took 400 ms"),
        ({"busy": 2.0, "longest": 0.6, "processors": 2}, "4 workers had 2 processors"),
        ({"busy": 2.0, "longest": 0.6}, "workers waited for the program"),
    ],
)
def test_verdicts(changes, said):
    assert said in verdict(GOOD._replace(**changes))


@pytest.mark.parametrize("changes", [{"busy": 0.5}, {"busy": 0.5, "start": 0.9}, {"busy": 0.5, "fixed": 1, "tasks": 10**6}])
def test_where_serial_would_have_been_faster_it_is_said(changes):
    assert verdict(GOOD._replace(**changes)).startswith("Serial would have been faster: ")


def test_numbers_are_written_for_people():
    assert [duration(s) for s in (0.9999, 0.00099999, 99.99)] == ["1 s", "1 ms", "1 min 40 s"]
    assert [duration(s) for s in (3e-6, 0.0042, 1.7, 125, 7322)] == ["3 µs", "4.2 ms", "1.7 s", "2 min 5 s", "2 h 2 min"]
    assert [size(n) for n in (0, 12, 3400, 1_200_000_000, 10**13)] == ["0 bytes", "12 bytes", "3.4 kB", "1.2 GB", "10 TB"]
