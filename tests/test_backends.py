"""One contract, checked over every backend and every start method."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import re
import threading

import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands import backends
from manyhands._core import failing
from manyhands.settings import resolved

KINDS = ["zygote", "spawn", "fork", "threads", "sequential", "foreign"]


@pytest.fixture(params=KINDS)
def kind(request):
    with contextlib_options(request.param):
        yield request.param


def contextlib_options(kind):
    if kind in {"zygote", "spawn", "fork"}:
        return manyhands.options(backend="processes", start_method=kind, workers=2)
    if kind == "foreign":
        return foreign()
    return manyhands.options(backend=kind, workers=2)


def foreign():
    import contextlib

    @contextlib.contextmanager
    def block():
        with concurrent.futures.ThreadPoolExecutor(2) as executor, manyhands.options(backend=executor, workers=2):
            yield

    return block()


def backend_of(kind):
    return backends.get(resolved().backend)


def test_capabilities_are_frozen_and_true(kind):
    capabilities = backend_of(kind).capabilities
    with pytest.raises(AttributeError):
        capabilities.name = "other"
    argument = []
    [result] = manyhands.map(lambda x: x.append(1) or os.getpid(), [argument])
    assert capabilities.by_value == (argument == [])
    assert capabilities.isolated == (result != os.getpid())


def test_executor(kind):
    backend = backend_of(kind)
    executor = backend.executor(resolved())
    assert isinstance(executor, concurrent.futures.Executor)
    try:
        futures = [executor.submit(tasks.add, i, y=1) for i in range(20)]
        assert [f.result(timeout=20) for f in futures] == list(range(1, 21))
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == list(range(1, 21))
        assert isinstance(executor.submit(tasks.raise_value_error, 3).exception(timeout=20), ValueError)
    finally:
        if kind != "foreign":
            executor.shutdown()
    if kind != "foreign":
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(tasks.square, 1)


@pytest.mark.parametrize("chunk", [1, 5, "auto"])
def test_each_task_ends_once_and_in_order(kind, chunk):
    assert manyhands.map(tasks.square, range(200), chunk=chunk) == [x * x for x in range(200)]
    assert sorted(manyhands.map(tasks.square, range(200), chunk=chunk, ordered=False)) == [x * x for x in range(200)]


def test_errors_belong_to_their_task(kind):
    values = manyhands.map(tasks.raise_value_error, range(6), errors="return")
    assert [v for i, v in enumerate(values) if i != 3] == [0, 1, 2, 4, 5]
    assert isinstance(values[3].error, ValueError)
    assert "raise_value_error(3)" in "\n".join(values[3].error.__notes__)
    with pytest.raises(ValueError, match="three is bad"):
        manyhands.map(tasks.raise_value_error, range(6))


def test_sys_exit_is_a_failure_of_its_task(kind):
    values = manyhands.map(tasks.soft_exit, range(6), errors="return")
    assert values[3].error.type_name == "SystemExit"
    assert manyhands.map(tasks.soft_exit, range(6), errors="skip") == [0, 1, 2, 4, 5]


def test_a_hanging_task_times_out(kind):
    def slow(x):
        waiting.until(lambda: False, seconds=1) if x == 3 else None
        return x

    manyhands.map(slow, range(3))  # what it imports takes its time on a busy machine
    values = manyhands.map(slow, range(6), errors="return", timeout=0.5)
    assert [v for i, v in enumerate(values) if i != 3] == [0, 1, 2, 4, 5]
    assert isinstance(values[3].error, manyhands.TaskTimeout | AssertionError)
    if kind != "sequential":
        assert isinstance(values[3].error, manyhands.TaskTimeout)


def test_threads_that_hang_are_given_up():
    release = threading.Event()
    ended = []

    def hang(x):
        if x in {0, 3}:
            release.wait(10)
            ended.append(x)
        return x

    try:
        values = manyhands.map(hang, range(6), workers=1, timeout=0.2, errors="return", backend="threads")
        assert [v for v in values if not isinstance(v, manyhands.Failure)] == [1, 2, 4, 5]
        assert "left running" in str(values[3].error)
        with pytest.raises(manyhands.TaskTimeout, match=r"task 0") as caught:
            manyhands.map(hang, [0, 3], workers=2, timeout=0.2, backend="threads")
        assert "task 1 failed as well: TaskTimeout" in caught.value.__notes__[0]
        assert not ended
    finally:
        release.set()


def test_a_thread_that_was_given_up_is_replaced_when_it_is_needed():
    release = threading.Event()
    with backends.get("threads").executor(resolved(workers=1)) as executor:
        futures = [executor.submit(tasks.square, x) for x in range(3)]
        hung = executor.submit(release.wait, 10)
        waiting.until(hung.running)
        executor.abandon(hung)
        try:
            assert executor.submit(tasks.square, 3).result(timeout=5) == 9
            assert not hung.done()
        finally:
            release.set()
    assert [future.result() for future in futures] == [0, 1, 4]


def test_sequential_timeout_tells_that_the_task_came_to_its_end():
    with pytest.raises(
        manyhands.TaskTimeout, match=r"longer than timeout=0.01 s; it could not be stopped and came to its end after 0.0"
    ) as caught:
        manyhands.map(tasks.spin, [0.02], timeout=0.01, backend="sequential")
    assert caught.value.took >= 0.02


@pytest.mark.parametrize("option", [{"retries": 2000}, {"timeout": 1e300}])
def test_numbers_without_measure(kind, option):
    with pytest.raises(ValueError, match="three is bad"):
        manyhands.map(tasks.raise_value_error, [3], **option)


def test_arguments_that_end_the_program_when_they_are_shown(kind):
    class Rude:
        def __repr__(self):
            raise SystemExit(3)

    def fail(x):
        raise ValueError("three is bad")

    try:
        [failure] = manyhands.map(fail, [Rude()], errors="return")
    finally:
        del Rude.__repr__  # it would end pytest as well
    assert isinstance(failure.error, ValueError)


@pytest.mark.parametrize("options", [{}, {"retries": 2}, {"retries": 1, "backoff": 0.01}], ids=str)
@pytest.mark.parametrize("chunk", [1, 3])
def test_the_first_of_quick_failures_is_raised(kind, options, chunk, monkeypatch):
    monkeypatch.setattr(failing, "GRACE", 20.0)  # however slow the machine is
    for _ in range(5):
        with pytest.raises(ValueError, match="number 2") as caught:
            manyhands.map(tasks.fail_from, range(8), [2] * 8, chunk=chunk, **options)
        notes = caught.value.__notes__
        assert sum("earlier attempt" in note for note in notes) == options.get("retries", 0)
        with pytest.raises(ValueError, match="number 2"):
            manyhands.Parallel(2, resolved().backend, batch_size=chunk, **options)(
                manyhands.delayed(tasks.fail_from)(n, 2) for n in range(8)
            )


def test_an_earlier_failure_has_a_moment_to_come(kind, tmp_path, monkeypatch):
    """Task 1 has failed when task 0, which runs, is about to; nothing later starts meanwhile."""
    monkeypatch.setattr(failing, "GRACE", 20.0)
    for _ in range(3):
        with pytest.raises(ValueError, match="number 0") as caught:
            manyhands.map(tasks.fail_after, [0.03, *[0] * 299], range(300), [str(tmp_path)] * 300, chunk=1)
        assert all(re.match(r"task [1-9]\d* failed as well: ValueError: number", note) for note in caught.value.__notes__[1:])
        if kind in {"zygote", "spawn", "fork"}:  # what threads have been given may have started; and what is in a worker's window
            assert not [name for name in os.listdir(tmp_path) if name.startswith("ran-29")]


@pytest.mark.parametrize("kind", ["threads", "foreign"], indirect=True)
def test_the_first_failure_in_the_order_of_the_inputs_is_raised(kind):
    parallel = manyhands.Parallel(2, resolved().backend, batch_size=1)

    def fail(x):
        if x == 0:
            waiting.until(lambda: parallel.n_completed_tasks)  # the other's failure has been seen
        raise ValueError(f"number {x}")

    with pytest.raises(ValueError, match="number 0") as caught:
        parallel(manyhands.delayed(fail)(x) for x in range(2))
    assert "task 1 failed as well: ValueError: number 1" in caught.value.__notes__


@pytest.mark.parametrize("kind", ["threads", "foreign"], indirect=True)
def test_failures_of_one_batch_are_all_noted(kind):
    def fail(x):
        raise ValueError(f"number {x}")

    with pytest.raises(ValueError, match="number 0") as caught:
        manyhands.map(fail, range(3), chunk=3)
    assert caught.value.__notes__[1:] == [f"task {x} failed as well: ValueError: number {x}" for x in (1, 2)]


def test_retries(kind, tmp_path):
    assert manyhands.map(tasks.fail_until, range(4), [str(tmp_path)] * 4, [2] * 4, retries=2) == [0, 1, 2, 3]
    with pytest.raises(ConnectionError) as caught:
        manyhands.map(tasks.fail_until, [7], [str(tmp_path)], [9], retries=1)
    assert "earlier attempt 1: ConnectionError: run 1" in "\n".join(caught.value.__notes__)


def test_inputs_are_read_here_and_not_too_far_ahead(kind):
    read = []
    here = threading.get_ident()

    def inputs():
        for value in itertools.count():
            assert threading.get_ident() == here
            read.append(value)
            yield value

    with manyhands.imap(tasks.square, inputs(), buffer=6) as results:
        assert [next(results) for _ in range(30)] == [x * x for x in range(30)]
    assert len(read) <= 36


def test_inputs_that_raise(kind):
    def inputs():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        manyhands.map(tasks.square, inputs())


def test_nothing_starts_after_close(kind, tmp_path):
    results = manyhands.imap(tasks.log, itertools.count(), itertools.repeat(str(tmp_path)))
    next(results)
    results.close()
    ran = len(list(tmp_path.iterdir()))
    assert manyhands.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    assert len(list(tmp_path.iterdir())) == ran
    assert list(results) == []


@pytest.mark.parametrize("kind", ["threads", "sequential", "foreign"], indirect=True)
def test_a_stream_that_was_closed_ends(kind):
    read = []
    inputs = (read.append(x) or x for x in range(100))
    stream = backend_of(kind).stream(backends.Plan(function=tasks.square, workers=2, chunk=1, ahead=2), inputs, resolved())
    chunks = stream.chunks()
    assert next(chunks)[1] in ([0], [1])
    stream.close()
    before = len(read)
    assert list(chunks) == []
    assert len(read) == before


def test_a_program_whose_aimap_was_cancelled_does_not_wait_for_its_threads():
    program = """
        import asyncio, threading
        import manyhands

        started = threading.Event()

        def hang(x):
            started.set()
            threading.Event().wait()

        async def take():
            async for _ in manyhands.aimap(hang, [1], workers=1, backend="threads"):
                pass

        async def main():
            task = asyncio.create_task(take())
            await asyncio.to_thread(started.wait)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")

        asyncio.run(main())
        """
    assert scripts.run(program, seconds=20).stdout == "cancelled\n"


def test_calls_of_many_functions(kind):
    calls = [manyhands.delayed(tasks.add)(i, y=2) for i in range(10)] + [manyhands.delayed(len)("abc")]
    options = resolved()
    with manyhands.options(workers=2):
        parallel = manyhands.Parallel(backend=options.backend)
        assert parallel(calls) == [*range(2, 12), 3]


def test_progress_counts(kind):
    results = manyhands.imap(tasks.raise_value_error, range(6), errors="skip")
    assert list(results) == [0, 1, 2, 4, 5]
    counts = results.statistics()
    assert (counts.submitted, counts.ended, counts.failed) == (6, 6, 1)
    assert sum(work[0] for work in counts.work.values()) == 6


def test_a_registered_backend():
    from manyhands.backends.threads import ThreadBackend

    backends.register("mine", ThreadBackend)
    assert manyhands.map(tasks.pid, range(3), backend="mine") == [os.getpid()] * 3
    with pytest.raises(ValueError, match="'threads' is a built-in"):
        backends.register("threads", ThreadBackend)


def test_a_process_pool_of_the_standard_library_as_backend():
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        assert manyhands.map(tasks.square, range(100), backend=executor, workers=2) == [x * x for x in range(100)]
        values = manyhands.map(tasks.raise_value_error, range(6), backend=executor, errors="skip", chunk=1)
        assert values == [0, 1, 2, 4, 5]
