"""What workers do when they leave, and what becomes of its results."""

from __future__ import annotations

import os
import signal
import time

import pytest
import waiting

import manyhands
from manyhands import Executor
from manyhands._engine import _pool

counted = []


def count(x):
    counted.append(x)
    return x


def report():
    return os.getpid(), len(counted)


@pytest.fixture(params=["zygote", "spawn", "fork"])
def start_method(request):
    return request.param


def test_each_worker_reports_when_it_leaves(start_method):
    with Executor(2, worker_exit=report, start_method=start_method) as executor:
        assert list(executor.map(count, range(20), chunksize=1)) == list(range(20))
        pids = executor.worker_pids()
        assert executor.exit_results() == []
    assert sorted(pid for pid, _ in executor.exit_results()) == sorted(pids)
    assert sum(n for _, n in executor.exit_results()) == 20


def test_workers_that_are_replaced_report_as_well():
    with Executor(1, worker_exit=report, max_tasks_per_child=2) as executor:
        for x in range(6):
            executor.submit(count, x).result()
    assert [n for _, n in executor.exit_results()] == [2, 2, 2]


def test_workers_that_idle_report_when_they_leave():
    with Executor(1, worker_exit=report, idle_timeout=0.05) as executor:
        executor.submit(count, 1).result()
        waiting.until(executor.exit_results)
        executor.submit(count, 1).result()
    assert [n for _, n in executor.exit_results()] == [1, 1]


def test_a_worker_that_is_killed_reports_nothing():
    with Executor(1, worker_exit=report) as executor:
        killed = executor.submit(os.getpid).result()
        with pytest.raises(manyhands.WorkerDied):
            executor.submit(die).result()
        executor.submit(count, 1).result()
    ((pid, n),) = executor.exit_results()
    assert (pid != killed, n) == (True, 1)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def set_mark(value):
    os.environ["MARK"] = value


def test_with_an_initializer_whose_state_it_sees():
    with Executor(1, initializer=set_mark, initargs=("set",), worker_exit=lambda: os.environ["MARK"]) as executor:
        executor.submit(int).result()
    assert executor.exit_results() == ["set"]


def test_one_that_raises():
    with Executor(1, worker_exit=lambda: {}["missing"]) as executor:
        executor.submit(int).result()
    with pytest.raises(KeyError, match="missing"):
        executor.exit_results()
    (failure,) = executor.exit_results(errors="return")
    assert isinstance(failure, manyhands.Failure)
    with pytest.raises(ValueError, match="errors='skip' is not allowed; errors is 'raise' or 'return'"):
        executor.exit_results(errors="skip")


def test_one_that_raises_costs_no_result_of_the_others():
    def leave():
        if manyhands.worker_id() == 0:
            raise KeyError("missing")
        return "fine"

    with Executor(2, worker_exit=leave) as executor:
        executor.start_workers()
        waiting.until(lambda: len(executor.worker_pids()) == 2)
    with pytest.raises(KeyError) as found:
        executor.exit_results()
    (note,) = [note for note in found.value.__notes__ if "worker_exit failed in 1 of 2 workers" in note]
    assert 'exit_results(errors="return")' in note
    assert {str(result) for result in executor.exit_results(errors="return") if result} == {"fine"}


def test_a_result_that_cannot_be_sent():
    with Executor(1, worker_exit=lambda: (n for n in range(3))) as executor:
        executor.submit(int).result()
    with pytest.raises(manyhands.NotSerializable, match="generator"):
        executor.exit_results()


def take_long():
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    return "done"


def test_one_that_takes_long_is_waited_for(monkeypatch):
    monkeypatch.setattr(_pool, "_LEAVE", 0.01)
    with Executor(2, worker_exit=take_long) as executor:
        executor.submit(int).result()
    assert executor.exit_results() == ["done"]


def test_what_cannot_be_called_or_sent():
    with pytest.raises(TypeError, match="worker_exit=3 is not callable"):
        Executor(1, worker_exit=3)
    generator = (n for n in range(3))
    with pytest.raises(manyhands.NotSerializable, match="worker_exit"):
        Executor(1, worker_exit=lambda: generator)


def test_without_one():
    with Executor(1) as executor:
        executor.submit(int).result()
    assert executor.exit_results() == []
