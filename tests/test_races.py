"""Threads that meet at the worst moment: one is held up at a chosen place while another goes on."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import signal
import threading

import pytest
import tasks
import waiting

import manyhands
from manyhands._core import windows
from manyhands._core.scheduler import Scheduler
from manyhands._engine import _crew, _dispatcher, _state
from manyhands._engine._driving import Driving


class Blocking:
    """An argument that takes its time to be pickled: ``begun`` is set, ``go`` is awaited."""

    def __init__(self):
        self.begun = threading.Event()
        self.go = threading.Event()

    def __reduce__(self):
        self.begun.set()
        assert self.go.wait(20)
        return (int, (3,))


def submit_late(executor, results):
    """A thread that submits, and where it can be held up until the executor has been shut down."""
    argument = Blocking()

    def submit():
        future = executor.submit(tasks.square, argument)
        future.add_done_callback(results.append)

    thread = threading.Thread(target=submit)
    thread.start()
    assert argument.begun.wait(20)
    return argument, thread


def test_what_is_submitted_while_the_executor_is_shut_down_ends():
    results = []
    executor = manyhands.Executor(1)
    assert executor.submit(tasks.square, 3).result() == 9
    argument, thread = submit_late(executor, results)
    executor.shutdown()
    argument.go.set()
    thread.join(20)
    (future,) = results
    with pytest.raises(manyhands.PoolClosed, match="was shut down"):
        future.result(timeout=20)


def test_what_is_submitted_in_the_last_moment_ends(monkeypatch):
    """After the pool was found to have no work, and before nothing can be posted any more."""
    results = []
    executor = manyhands.Executor(1)
    assert executor.submit(tasks.square, 3).result() == 9
    argument, thread = submit_late(executor, results)
    stop = Driving.stop_background

    def stop_after_it(driving):
        argument.go.set()
        thread.join(20)
        stop(driving)

    monkeypatch.setattr(Driving, "stop_background", stop_after_it)
    executor.shutdown()
    waiting.until(lambda: results)
    assert isinstance(results[0].exception(timeout=20), manyhands.PoolClosed)


def test_work_in_the_midst_of_a_turn_is_waited_for(monkeypatch):
    submit = Scheduler.submit
    held, go = threading.Event(), threading.Event()
    executor = manyhands.Executor(1)
    assert executor.submit(tasks.square, 3).result() == 9

    def hold(scheduler, batch):
        if threading.current_thread().name == "manyhands-driver":
            held.set()
            assert go.wait(20)
        submit(scheduler, batch)

    monkeypatch.setattr(Scheduler, "submit", hold)
    monkeypatch.setattr(_dispatcher.Dispatcher, "nudge", lambda _: None)  # the background thread takes it up
    future = executor.submit(tasks.square, 4)
    assert held.wait(20)
    monkeypatch.undo()
    threading.Timer(0.05, go.set).start()
    executor.shutdown()
    assert future.done()
    assert future.result() == 16


class Inputs:
    """Counts up to 2000. Whoever reads the 1000th begins to shut down in another thread, and waits for that to read as well."""

    def __init__(self, shutdown):
        self.numbers = iter(range(2000))
        self.ending = threading.Thread(target=shutdown)
        self.reading = 0
        self.both = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.reading += 1
        try:
            if self.reading > 1:
                self.both.set()
            number = next(self.numbers)
            if number == 1000:
                self.ending.start()
                self.both.wait(0.3)
            return number
        finally:
            self.reading -= 1


def test_one_thread_reads_the_inputs_of_map_while_another_shuts_down():
    executor = manyhands.Executor(2)
    assert executor.submit(tasks.square, 3).result() == 9
    inputs = Inputs(executor.shutdown)
    assert list(executor.map(tasks.square, inputs, chunksize=None)) == [x * x for x in range(2000)]
    inputs.ending.join(20)
    assert not inputs.ending.is_alive()
    assert not inputs.both.is_set()


def test_what_a_lost_future_is_does_not_change_any_more(monkeypatch):
    """The pool fails; before those who wait are told, one more is submitted, and runs all the same."""
    with manyhands.Executor(1) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        dispatcher = executor._pool._dispatcher
        dispatcher.driving.stop_background()  # nobody drives but who waits
        with monkeypatch.context() as patched:
            patched.setattr(Scheduler, "submit", _fail)
            first = executor.submit(tasks.square, 2)
        second = executor.submit(tasks.raise_value_error, tasks.BAD)
        error = second.exception(timeout=20)
        assert isinstance(first.exception(timeout=20), manyhands.errors.InternalError)
        for n in range(20):
            assert executor.submit(tasks.square, n).result(timeout=20) == n * n
        assert second.exception() is error


def _fail(*_):
    raise RuntimeError("a fault")


# ------------------------------------------------------------ callbacks


def test_callbacks_that_wait_for_one_another_do_not_nest():
    with manyhands.Executor(1) as executor:
        pid = executor.submit(tasks.pid).result()
        futures = [executor.submit(tasks.spin, 0.05)] + [executor.submit(tasks.square, n) for n in range(500)]
        found = []
        for future, other in itertools.pairwise(futures):
            future.add_done_callback(lambda _, other=other: found.append(other.result(timeout=20)))
        concurrent.futures.wait(futures, timeout=30)
        waiting.until(lambda: len(found) == 500)
        assert found == [n * n for n in range(500)]
        assert executor.submit(tasks.pid).result() == pid


def test_a_callback_that_raises_keyboard_interrupt_hurts_nobody(caplog):
    with manyhands.Executor(1) as executor:
        called = []
        for n in range(3):
            future = executor.submit(tasks.spin, 0.1)  # not done when it gets its callbacks: they would be called here
            future.add_done_callback(lambda _: _interrupt())
            future.add_done_callback(called.append)
            waiting.until(lambda n=n: len(called) == n + 1)  # while nobody waits
    assert "exception calling callback" in caplog.text


def _interrupt():
    raise KeyboardInterrupt


def test_cancelling_in_the_midst_of_a_turn(monkeypatch):
    """What the garbage collector finds there may be an iterator, whose end cancels futures."""
    settle = windows.settle
    with manyhands.Executor(1) as executor:
        futures = [executor.submit(tasks.spin, 0.01) for _ in range(40)]

        def cancel_meanwhile(*args):
            for n in (20, 0):
                futures[n].cancel(running=True)
            return settle(*args)

        with monkeypatch.context() as patched:
            patched.setattr(windows, "settle", cancel_meanwhile)
            concurrent.futures.wait(futures, timeout=30)
        assert futures[20].cancelled()
        ends = [future.cancelled() or future.exception() for future in futures]
        assert set(ends) == {True, None}
        assert executor.submit(tasks.square, 3).result() == 9


# ------------------------------------------------------------ the end of workers


def test_a_worker_that_dies_while_the_zygote_is_stopped(monkeypatch):
    monkeypatch.setattr(_crew, "_LINGER", 50_000_000)
    monkeypatch.setattr(_crew, "_WORD", 200_000_000)
    with manyhands.Executor(1) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        os.kill(_state.zygote().pid, signal.SIGSTOP)
        with pytest.raises(manyhands.WorkerDied) as caught:
            executor.submit(tasks.kill_self, tasks.BAD).result(timeout=20)
        assert "closed a descriptor" not in str(caught.value)
        assert executor.submit(tasks.square, 4).result(timeout=20) == 16


def test_attempts_are_forgotten_when_a_task_has_ended(tmp_path):
    with manyhands.Executor(1) as executor:
        bound = executor.with_options(retries=3)
        for n in range(3):
            assert bound.submit(tasks.fail_until, n, str(tmp_path), 2).result(timeout=20) == n
        assert not bound._call.history
