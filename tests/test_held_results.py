"""A message of several tasks, one of which takes long: the results of those before it do not wait for it, nor end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest
import tasks
import waiting
from tasks import BAD

import manyhands
from manyhands._wire import _posix

start_methods = pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


def write(path):
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(fd, b"x")
    return fd


@start_methods
def test_results_come_while_a_later_task_runs(start_method, fifo):
    options = {"chunk": 6, "workers": 1, "start_method": start_method}
    with manyhands.options(start_method=options.pop("start_method")):
        results = manyhands.imap(tasks.wait_for_fifo, range(6), [fifo] * 6, **options)
    with results:
        assert [next(results) for _ in range(BAD)] == [[0], [1], [2]]
        fd = write(fifo)
        assert list(results) == [[3], [4], [5]]
        os.close(fd)


def by_map(function, *inputs):
    return manyhands.imap(function, *inputs, chunk=6, workers=1, errors="return")


def by_executor(function, *inputs):
    with manyhands.Executor(1) as executor:
        yield from executor.map(function, *inputs, chunksize=6)


@pytest.mark.parametrize("way", [by_map, by_executor])
def test_tasks_that_had_ended_are_not_repeated_when_a_later_one_kills_its_worker(way, fifo, tmp_path):
    results = way(tasks.wait_for_fifo, range(6), [fifo] * 6, ["die"] * 6)
    assert [next(results) for _ in range(BAD)] == [[0], [1], [2]]
    fd = write(fifo)
    if way is by_map:
        failed, *rest = results
        assert isinstance(failed.error, manyhands.WorkerDied)
        assert rest == [[4], [5]]
    else:
        with pytest.raises(manyhands.WorkerDied, match="while it ran task 3"):
            next(results)
    os.close(fd)
    assert [len(waiting.noted(tmp_path, f"ran-{n}")) for n in range(BAD + 1)] == [1, 1, 1, 1]


@contextlib.contextmanager
def asked_all_the_time(executor):
    """Its workers are asked for results at any moment."""
    done = threading.Event()

    def ask():
        while not done.wait(0.0001):
            for pid in executor.worker_pids():
                _posix.send_signal(pid, _posix.RESULTS_SIGNAL)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


@pytest.mark.parametrize("chunk", [1, 10, "auto"])
def test_being_asked_for_results_at_any_moment_loses_none(chunk):
    chunksize = None if chunk == "auto" else chunk
    good = [n for n in range(3000) if n % 7]
    with manyhands.Executor(2) as executor:
        assert list(executor.map(abs, range(20))) == list(range(20))
        with asked_all_the_time(executor):
            for function in (tasks.of_any_kind, tasks.square):
                futures = [executor.submit(function, n) for n in range(200)]
                assert list(executor.map(function, good, chunksize=chunksize)) == list(map(function, good))
                for n, future in enumerate(futures):
                    error = future.exception()
                    assert str(error) == f"number {n}" if error else future.result() == function(n)


def guarded(x):
    """What a program does that limits a piece of its work by an alarm."""
    if x % 2:
        return x

    def strike(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        tasks.spin(5)
    except TimeoutError:
        return x
    return "the alarm was lost"


def test_an_alarm_of_a_task_strikes_though_results_are_asked_for():
    with manyhands.Executor(1) as executor:
        assert list(executor.map(guarded, range(4))) == list(range(4))
        with asked_all_the_time(executor):
            assert list(executor.map(guarded, range(1000), chunksize=20)) == list(range(1000))
