"""``Pool`` and ``ThreadPool``: the methods of ``multiprocessing.Pool``, and what its users rely on."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import pickle
import queue
import signal
import sys
import threading
import time
import warnings

import pytest
import scripts
import waiting

import manyhands
from manyhands import Pool, ThreadPool

KINDS = pytest.mark.parametrize("kind", [Pool, ThreadPool])


def square(x):
    return x * x


def add(x, y=1):
    return x + y


def too_long():
    raise TimeoutError("the task's own")


def odd_only(x):
    if x % 2 == 0:
        raise ValueError(x)
    return x


@KINDS
def test_every_method(kind):
    with kind(2) as pool:
        assert pool.apply(add, (1,), {"y": 5}) == 6
        assert pool.map(square, range(10)) == [square(x) for x in range(10)]
        assert pool.map(square, (x for x in range(5)), chunksize=2) == [0, 1, 4, 9, 16]
        assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
        assert pool.apply_async(add, (1, 2)).get(30) == 3
        assert pool.map_async(square, range(5), 2).get(30) == [0, 1, 4, 9, 16]
        assert pool.starmap_async(add, [(1, 2), (3, 4)]).get() == [3, 7]
        assert list(pool.imap(square, range(20), chunksize=3)) == [square(x) for x in range(20)]
        assert sorted(pool.imap_unordered(square, range(20))) == [square(x) for x in range(20)]
        assert pool.map(square, []) == pool.map_async(square, []).get() == list(pool.imap(square, [])) == []


@KINDS
def test_names_and_signatures_are_those_of_multiprocessing(kind):
    import inspect

    theirs = getattr(multiprocessing.pool, kind.__name__)
    for name in ("apply", "apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered"):
        wanted = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(inspect.signature(getattr(kind, name)).parameters) == wanted, name
    ours = [each.name for each in inspect.signature(kind).parameters.values() if each.kind is not each.KEYWORD_ONLY]
    assert ours == list(inspect.signature(theirs).parameters)


@KINDS
def test_results_that_are_to_come(kind):
    gate = threading.Event()
    with kind(1) as pool:
        result = pool.apply_async(gate.wait if kind is ThreadPool else time.sleep, (0.5,))
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        result.wait(0.01)
        gate.set()
        result.get()
        assert (result.ready(), result.successful()) == (True, True)
        failed = pool.apply_async(odd_only, (2,))
        failed.wait()
        assert not failed.successful()
        with pytest.raises(ValueError, match="2"):
            failed.get()


@KINDS
def test_callbacks(kind):
    said = []
    with kind(2) as pool:
        pool.apply_async(square, (3,), callback=said.append).wait()
        pool.map_async(square, [1, 2], callback=said.append).wait()
        assert said == [9, [1, 4]]
        pool.apply_async(odd_only, (2,), callback=said.append, error_callback=lambda error: said.append(str(error))).wait()
        pool.starmap_async(odd_only, [(1,), (4,)], error_callback=lambda error: said.append(str(error))).wait()
        assert said[2:] == ["2", "4"]


def begin_each(pool, **callbacks):
    """A call of each kind that calls back; to be begun one after the other."""
    yield pool.apply_async(square, (3,), **callbacks), 9
    yield pool.map_async(square, [3, 4], **callbacks), [9, 16]
    yield pool.starmap_async(square, [(3,), (4,)], **callbacks), [9, 16]


@KINDS
def test_a_result_is_there_when_its_callback_has_returned(kind):
    said, begun, gate = [], threading.Event(), threading.Event()

    def call_back(value):
        begun.set()
        gate.wait(30)
        said.append(value)

    with kind(2) as pool:
        for result, value in begin_each(pool, callback=call_back):
            begun.wait(30)
            assert not result.ready()
            result.wait(0.01)
            with pytest.raises(multiprocessing.TimeoutError):
                result.get(0.01)
            assert not said
            gate.set()
            assert result.get(30) == said.pop() == value
            begun.clear()
            gate.clear()


@KINDS
@pytest.mark.parametrize("method", ["apply_async", "map_async"])
def test_join_waits_for_callbacks(kind, method):
    said, joined = [], threading.Event()
    pool = kind(2)
    getattr(pool, method)(square, [3], callback=lambda _: said.append(joined.wait(0.05)))
    pool.close()
    pool.join()
    joined.set()
    assert said == [False]


@KINDS
def test_callbacks_are_not_called_by_who_submits(kind):
    lock, said = threading.Lock(), []

    def call_back(_):
        said.append(lock.acquire(timeout=10))
        lock.release()

    class Unsendable:
        def __reduce__(self):
            raise TypeError("not this one")

    pool = kind(1)
    with lock:
        for argument in [3, Unsendable()] * 50:
            pool.apply_async(square, (argument,), callback=call_back, error_callback=call_back)
    pool.close()
    pool.join()
    assert said == [True] * 100


@KINDS
def test_a_callback_may_wait_for_its_result_or_fail(kind, caplog):
    said, made = [], queue.SimpleQueue()

    def call_back(value):
        own = made.get(timeout=30)
        said.append((own.ready(), own.get(30) == value))
        sys.exit("no reason to end a thread")

    with kind(1) as pool:
        for result, value in begin_each(pool, callback=call_back):
            made.put(result)
            assert result.get(30) == value
        assert pool.apply(square, (5,)) == 25
    assert said == [(True, True)] * 3
    assert caplog.text.count("exception calling callback for") == 3


def test_a_callback_may_wait_for_another_call_with_a_callback():
    said, made = [], queue.SimpleQueue()
    with Pool(1) as pool:
        first = pool.apply_async(square, (2,), callback=lambda _: said.append(made.get(timeout=30).get(30)))
        second = pool.apply_async(square, (3,), callback=said.append)
        made.put(second)
        assert (first.get(30), second.get(30)) == (4, 9)
        assert said == [9, 9]


@KINDS
def test_all_calls_are_made_and_the_first_failure_is_raised(kind, tmp_path):
    def work(x):
        (tmp_path / str(x)).touch()
        return odd_only(x)

    with kind(2) as pool:
        with pytest.raises(ValueError, match="2"):
            pool.map(work, [1, 2, 3, 4, 5])
        assert len(list(tmp_path.iterdir())) == 5


@KINDS
def test_iterators_go_on_after_a_failure(kind):
    def broken():
        yield from (1, 2)
        raise KeyError("input")

    with kind(2) as pool:
        results = pool.imap(odd_only, [1, 2, 3])
        assert next(results) == 1
        with pytest.raises(ValueError, match="2"):
            next(results)
        assert list(results) == [3]
        results = pool.imap(square, broken())
        assert [next(results), next(results)] == [1, 4]
        with pytest.raises(KeyError):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


@KINDS
@pytest.mark.parametrize("timeout", [None, 30])
def test_a_timeout_error_of_a_task_is_its_own(kind, timeout):
    with kind(1) as pool:
        result = pool.apply_async(too_long)
        with pytest.raises(TimeoutError, match="the task's own"):
            result.get(timeout)


@KINDS
def test_an_iterator_can_be_asked_again_after_its_time_was_up(kind):
    with kind(1) as pool:
        results = pool.imap(time.sleep, [0.3, 0])
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout=0.01)
        assert [results.next(), results.next(30)] == [None, None]
        with pytest.raises(StopIteration):
            results.next()


@KINDS
def test_close_and_join_do_what_is_left(kind):
    pool = kind(2)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    lazy, eager = pool.imap(square, range(3000)), pool.map_async(square, range(10))
    forgotten = pool.apply_async(square, (5,))
    pool.close()
    for call in (pool.apply, pool.map, pool.imap, pool.map_async, pool.apply_async):
        with pytest.raises(ValueError, match="Pool not running"):
            call(square, [1])
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass
    pool.join()
    assert (sum(lazy), eager.get(), forgotten.get()) == (sum(map(square, range(3000))), list(map(square, range(10))), 25)


@KINDS
def test_terminate_does_not_wait(kind):
    gate = threading.Event()
    pool = kind(2)
    work = gate.wait if kind is ThreadPool else time.sleep
    running = pool.map_async(work, [60] * 1000, chunksize=1)
    lazy = pool.imap(work, [60] * 1000)
    pool.terminate()
    pool.join()
    with pytest.raises((manyhands.PoolClosed, manyhands.WorkerDied)):
        running.get()
    with pytest.raises((manyhands.PoolClosed, manyhands.WorkerDied)):
        next(lazy)
    gate.set()


@KINDS
@pytest.mark.parametrize("count", [4, 1000])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_results_of_a_terminated_pool_do_not_end_as_if_they_were_all(kind, method, count):
    gate = threading.Event()

    def work(x):
        if x:
            gate.wait() if kind is ThreadPool else time.sleep(60)
        return x

    with kind(2) as pool:
        results = getattr(pool, method)(work, range(count))
        assert next(results) == 0
    for take in (results.next, lambda: results.next(timeout=5), lambda: list(results)):
        with pytest.raises((manyhands.PoolClosed, manyhands.WorkerDied)):
            take()
    gate.set()


@KINDS
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_results_that_are_complete_can_be_taken_from_a_terminated_pool(kind, method):
    with kind(2) as pool:
        results = getattr(pool, method)(square, range(100))
        assert next(results) in range(100)
        pool.close()
        pool.join()
    assert len(list(results)) == 99
    assert list(results) == []


@KINDS
@pytest.mark.parametrize("call", ["map(work, range(4))", "apply_async(work, (1,)).get()", "imap(work, range(4)).next()"])
def test_ctrl_c_does_not_wait_for_what_runs(kind, call, tmp_path):
    code = f"""
        import sys, threading, tasks, waiting, manyhands
        def work(x):
            tasks.note(sys.argv[1], "started")
            threading.Event().wait()
        with manyhands.{kind.__name__}(2) as pool:
            pool.{call}
    """
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "started")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert errors.count("Traceback") == 1
        assert process.returncode in {130, -signal.SIGINT}


@KINDS
@pytest.mark.parametrize("then", ["pass", "pool.close()", "raise OSError"])
def test_a_program_does_not_end_later_for_a_pool_that_was_not_joined(kind, then, tmp_path):
    code = f"""
        import sys, threading, tasks, waiting, manyhands
        def work(x):
            tasks.note(sys.argv[1], "started")
            threading.Event().wait()
        pool = manyhands.{kind.__name__}(2)
        results = pool.map_async(work, range(4)), pool.apply_async(work, (1,)), pool.imap(work, range(4))
        waiting.noted(sys.argv[1], "started")
        {then}
    """
    with scripts.started(code, str(tmp_path)) as process:
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors.count("Traceback")) == ((1, 1) if "raise" in then else (0, 0))


@KINDS
def test_initializer(kind):
    def set_up(value):
        os.environ["OF_THE_POOL"] = value

    with kind(1, set_up, ("here",)) as pool:
        assert pool.apply(lambda: os.environ["OF_THE_POOL"]) == "here"
    os.environ.pop("OF_THE_POOL", None)

    def broken():
        raise OSError("no database")

    with kind(1, broken) as pool, pytest.raises((OSError, manyhands.WorkerDied), match="no database"):
        pool.apply(square, (1,))


def test_workers_are_replaced_after_so_many_tasks():
    with Pool(1, maxtasksperchild=2) as pool:
        assert len(set(pool.map(lambda _: os.getpid(), range(6), chunksize=1))) == 3


def test_where_programs_look_for_the_workers():
    with Pool(2) as pool:
        pids = set(pool.map(lambda _: os.getpid(), range(2), chunksize=1))
        workers = pool._pool
        assert pool._processes == 2
        assert pids <= {worker.pid for worker in workers}
        assert all(worker.is_alive() and worker.exitcode is None for worker in workers)
        workers[0].terminate()
        workers[0].join(20)
        assert (workers[0].is_alive(), workers[0].exitcode) == (False, -signal.SIGTERM)
        assert pool.map(square, range(3)) == [0, 1, 4]


def test_contexts():
    for context in (multiprocessing.get_context("spawn"), "fork", multiprocessing.get_context("forkserver")):
        with Pool(1, context=context) as pool:
            assert pool.apply(square, (3,)) == 9


def test_a_task_that_ends_its_worker_fails_alone():
    with Pool(2) as pool:
        bad = pool.apply_async(os._exit, (3,))
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
        with pytest.raises(manyhands.WorkerDied):
            bad.get(30)


def test_arguments_are_copied_when_they_are_submitted():
    with Pool(1) as pool:
        blocker, values = pool.apply_async(time.sleep, (0.1,)), [1]
        result, mapped = pool.apply_async(sum, (values,)), pool.map_async(sum, [values, values])
        values.append(5)
        assert (result.get(), mapped.get(), blocker.get()) == (1, [1, 1], None)


@KINDS
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"processes": 0}, ValueError, "processes=0"),
        ({"processes": 1.5}, ValueError, "processes=1.5"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
    ],
)
def test_what_is_not_allowed(kind, arguments, error, text):
    with pytest.raises(error, match=text):
        kind(**arguments)
    with kind(1) as pool:
        for call in (pool.map, pool.imap, pool.map_async, pool.imap_unordered):
            with pytest.raises(ValueError, match="chunksize"):
                call(square, [1], 0)
            with pytest.raises(TypeError, match="not iterable"):
                call(square, 5)


@KINDS
def test_a_pool_that_was_not_closed_says_so(kind):
    pool = kind(1)
    assert pool.apply(square, (2,)) == 4
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
    with kind(1) as pool, pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool = kind(1)
        pool.close()
        pool.join()
        assert "state=CLOSE pool_size=1" in repr(pool)
        del pool
