"""Parallel and delayed, with joblib's parameters."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import numpy as np
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands import Parallel, delayed
from manyhands._engine import _stream
from manyhands.backends import _streaming


def test_delayed_notes_a_call():
    assert delayed(tasks.add)(1, y=3) == (tasks.add, (1,), {"y": 3})

    @delayed
    def decorated(x):
        """What it does."""

    function, args, kwargs = decorated(5)
    assert (args, kwargs) == ((5,), {})
    assert decorated.__wrapped__ is function
    assert decorated.__name__ == "decorated"
    assert (decorated.__doc__, delayed(tasks.spin).__doc__) == ("What it does.", tasks.spin.__doc__)
    assert "notes the call" in type(decorated).__doc__
    with pytest.raises(TypeError, match=r"delayed\(f\)\(x\), not delayed\(f\(x\)\)"):
        delayed(tasks.square(3))


@delayed
def found_by_name(x):
    return x + 1


def test_delayed_functions_can_be_pickled_and_copied():
    assert pickle.loads(pickle.dumps(found_by_name)) is found_by_name
    assert copy.deepcopy(found_by_name) is found_by_name
    for again in (pickle.loads(pickle.dumps(delayed(tasks.add))), copy.copy(delayed(tasks.add)), copy.deepcopy(delayed(tasks.add))):
        assert again(1, y=3) == (tasks.add, (1,), {"y": 3})


def test_decorated_functions_in_functions_that_travel():
    ran = scripts.run("""
        import manyhands
        from manyhands import Parallel, delayed

        @delayed
        def child(x):
            return x + 1

        def parent(n):
            @delayed
            def grandchild(x):
                return x * 2

            return Parallel(n_jobs=1)(child(i) for i in range(n)), Parallel(n_jobs=1)(grandchild(i) for i in range(n))

        print(manyhands.map(parent, [2, 3], workers=2))
        """)
    assert ran.stdout == "[([1, 2], [0, 2]), ([1, 2, 3], [0, 2, 4])]\n", ran.stderr


@pytest.mark.parametrize("n_jobs", [1, 2, -1, -2, -100, None])
def test_results_in_order(n_jobs):
    assert Parallel(n_jobs=n_jobs)(delayed(tasks.square)(i) for i in range(50)) == [i * i for i in range(50)]


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "processes", "threading", "threads", "sequential", None])
def test_backends(backend):
    assert Parallel(n_jobs=2, backend=backend)(delayed(tasks.add)(i, y=1) for i in range(20)) == list(range(1, 21))


def test_two_lists_element_by_element():
    a, b = [1, 2, 3], [-1, -2, -3]
    assert Parallel(n_jobs=2, backend="threading")(delayed(lambda x, y: x + y)(*pair) for pair in zip(a, b, strict=True)) == [0, 0, 0]


def test_different_functions_and_hand_made_tuples():
    calls = [(tasks.square, (3,), {}), (tasks.add, (1,), {"y": 5}), (len, ("four",), {}), (tasks.square, (4,), {}), (pow, (2, 3), {})]
    assert Parallel(n_jobs=2)(calls) == [9, 6, 4, 16, 8]


def test_objects_with_a_state_are_taken_as_they_are_when_they_are_noted():
    class Counter:
        n = 0

        def __call__(self, x):
            return self.n + x

    counter = Counter()

    def calls():
        for _ in range(6):
            counter.n += 1
            yield delayed(counter)(10)

    assert Parallel(n_jobs=2)(calls()) == [11, 12, 13, 14, 15, 16]


def test_one_job_runs_here():
    assert Parallel(n_jobs=1)(delayed(tasks.pid)() for _ in range(3)) == [os.getpid()] * 3
    assert os.getpid() not in Parallel(n_jobs=2)(delayed(tasks.pid)() for _ in range(3))


def test_sharedmem_shares():
    seen = []
    Parallel(n_jobs=2, require="sharedmem")(delayed(seen.append)(i) for i in range(10))
    assert sorted(seen) == list(range(10))
    Parallel(n_jobs=2, prefer="threads")(delayed(seen.append)(i) for i in range(10))
    assert len(seen) == 20
    with pytest.raises(ValueError, match="sharedmem"):
        Parallel(n_jobs=2, backend="loky", require="sharedmem")


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_generators(backend):
    parallel = Parallel(n_jobs=2, backend=backend, return_as="generator")
    results = parallel(delayed(tasks.square)(i) for i in range(100))
    assert next(results) == 0
    assert list(results) == [i * i for i in range(1, 100)]
    unordered = Parallel(n_jobs=2, backend=backend, return_as="generator_unordered")
    assert sorted(unordered(delayed(tasks.square)(i) for i in range(100))) == [i * i for i in range(100)]


def test_a_generator_begins_before_it_is_asked(tmp_path):
    results = Parallel(n_jobs=2, return_as="generator")(delayed(tasks.log)(i, str(tmp_path)) for i in range(2))
    waiting.noted(tmp_path, "ran-1")
    assert list(results) == [0, 1]


def test_generator_has_back_pressure():
    read = []

    def calls():
        for i in range(400):
            read.append(i)
            yield delayed(tasks.spin)(0.001)

    results = Parallel(n_jobs=2, return_as="generator", batch_size=1, pre_dispatch=4)(calls())
    next(results)
    assert len(read) < 100
    results.close()


def test_block_ends_what_its_generator_runs(tmp_path):
    with Parallel(n_jobs=2, return_as="generator") as parallel:
        results = parallel(delayed(tasks.hang)(i, str(tmp_path)) for i in (0, 3, 3))
        assert next(results) == 0
        pids = [int(text) for text in waiting.noted(tmp_path, "started", 2)]
    assert all(waiting.gone(pid) for pid in pids)


@pytest.mark.parametrize(("n_jobs", "backend"), [(1, None), (2, "loky"), (2, "threading"), (2, "sequential")])
def test_block_ends_all_its_generators(n_jobs, backend, tmp_path):
    with Parallel(n_jobs, backend, return_as="generator", batch_size=3) as parallel:
        generators = [parallel(delayed(tasks.log)(i, str(tmp_path)) for i in range(50)) for _ in range(3)]
        assert [next(generator) for generator in generators[:2]] == [0, 0]
    ran = sorted(os.listdir(tmp_path))
    assert [list(generator) for generator in generators] == [[], [], []]
    assert sorted(os.listdir(tmp_path)) == ran


def test_a_generator_that_is_dropped_ends_its_call(tmp_path):
    results = Parallel(n_jobs=2, return_as="generator")(delayed(tasks.hang)(3, str(tmp_path)) for _ in range(2))
    pids = [int(text) for text in waiting.noted(tmp_path, "started", 2)]
    del results
    assert all(waiting.gone(pid) for pid in pids)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_generator_of_all_goes_on_while_nobody_takes(backend, tmp_path, monkeypatch):
    # Inputs that took long to read, as on a machine that is busy with other things.
    monkeypatch.setattr(_stream, "READING", -1)
    monkeypatch.setattr(_stream, "_SLOW", -1)
    monkeypatch.setattr(_streaming, "READING", -1)
    parallel = Parallel(2, backend, return_as="generator", batch_size=1, pre_dispatch="all")
    results = parallel(delayed(tasks.log)(i, str(tmp_path)) for i in range(200))
    assert parallel.n_dispatched_tasks == 200
    waiting.noted(tmp_path, "ran-199")
    assert list(results) == list(range(200))


@pytest.mark.parametrize(
    ("pre_dispatch", "ahead"), [(3, 3), ("n_jobs", 2), ("2*n_jobs", 4), ("1.5 * n_jobs + 1", 4), ("all", 40), ("2 * n_jobs", 4)]
)
def test_pre_dispatch_bounds_what_is_read_ahead(pre_dispatch, ahead):
    """Each call is read when no more than so many are under way."""
    most = 0
    read = 0
    parallel = Parallel(n_jobs=2, pre_dispatch=pre_dispatch, batch_size=1)

    def calls():
        nonlocal most, read
        for _ in range(40):
            most = max(most, read - parallel.n_completed_tasks)
            read += 1
            yield delayed(tasks.spin)(0.002)

    assert len(parallel(calls())) == 40
    assert most <= ahead
    assert (parallel.n_dispatched_tasks, parallel.n_completed_tasks) == (40, 40)


def test_pre_dispatch_counts_batches():
    """24 tasks, 3 workers, two messages each ahead, of two tasks: 12 tasks."""
    read = 0
    most = 0
    parallel = Parallel(n_jobs=3, pre_dispatch="2 * n_jobs", batch_size=2)

    def calls():
        nonlocal read, most
        for _ in range(24):
            read += 1
            most = max(most, read - parallel.n_completed_tasks)
            yield delayed(tasks.spin)(0.005)

    parallel(calls())
    assert 6 <= most <= 14  # 12, and the batch that is being read


@pytest.mark.parametrize("expression", ["n_jobs.__class__", "__import__('os')", "2 *", "", "x", "0", "-n_jobs", -1, 0, 1.5])
def test_pre_dispatch_evaluates_nothing_else(expression):
    with pytest.raises(ValueError, match="pre_dispatch"):
        Parallel(n_jobs=2, pre_dispatch=expression)


def test_timeout_is_per_task():
    assert Parallel(n_jobs=2, timeout=2)(delayed(tasks.spin)(0.01) for _ in range(300)) == [0.01] * 300
    with pytest.raises(TimeoutError, match=r"hang\(3\)"):
        Parallel(n_jobs=2, timeout=0.3)(delayed(tasks.hang)(i) for i in range(6))


def test_the_error_names_the_task():
    with pytest.raises(ValueError, match="three is bad") as caught:
        Parallel(n_jobs=2)(delayed(tasks.raise_value_error)(i) for i in range(6))
    assert "raise_value_error(3)" in caught.value.__notes__[0]


def test_many_threads_use_it_together():
    results = {}

    def work(n):
        results[n] = Parallel(n_jobs=2)(delayed(tasks.add)(i, n) for i in range(100))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [i + n for i in range(100)] for n in range(4)}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_jobs", 0, ValueError),
        ("n_jobs", 1.5, TypeError),
        ("backend", "magic", manyhands.BackendMissing),
        ("return_as", "set", ValueError),
        ("timeout", -1, ValueError),
        ("batch_size", 0, ValueError),
        ("batch_size", 1.5, ValueError),
        ("batch_size", "many", ValueError),
        ("verbose", "loud", TypeError),
        ("verbose", None, TypeError),
        ("initializer", print, TypeError),
        ("colour", "red", TypeError),
        ("retries", -1, ValueError),
        ("prefer", "speed", ValueError),
        ("require", "luck", ValueError),
        ("mmap_mode", "x", ValueError),
    ],
)
def test_bad_arguments_are_named(name, value, error):
    with pytest.raises(error, match=name if name in {"initializer", "colour"} else f"{name}={value!r}"):
        Parallel(**{"n_jobs": 2, name: value})([])


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("wrong", [5, "abs", (abs, 1), (abs, 1, {}), (abs, (1,), 2), (abs, (1,), {}, 4), ("abs", [1], {}), {}])
def test_what_is_no_call(n_jobs, wrong):
    with pytest.raises(TypeError, match=r"takes calls like delayed.*number 1 is "):
        Parallel(n_jobs)([delayed(abs)(1), wrong])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_calls_may_be_lists(n_jobs):
    assert Parallel(n_jobs)([[abs, (-1,), {}], (abs, [-2], {}), (pow, range(2, 4), {}), [tasks.add, (), {"x": 1, "y": 2}]]) == [1, 2, 8, 3]


def test_numbers_of_numpy():
    two, four = np.int64(2), np.int64(4)
    for options in ({"batch_size": four}, {"pre_dispatch": four}, {"verbose": np.int64(0)}, {"batch_size": four, "pre_dispatch": four}):
        assert Parallel(n_jobs=two, **options)(delayed(tasks.square)(i) for i in range(9)) == [i * i for i in range(9)]
    assert Parallel(n_jobs=two).n_jobs == 2


def test_options_of_manyhands(tmp_path):
    calls = [delayed(tasks.fail_until)(i, str(tmp_path), 1) for i in range(3)]
    assert Parallel(n_jobs=2, retries=1, start_method="spawn")(calls) == [0, 1, 2]


@pytest.mark.parametrize(("verbose", "stream"), [(1, "err"), (11, "err"), (51, "out")])
def test_verbose(verbose, stream, capsys):
    Parallel(n_jobs=2, verbose=verbose)(delayed(tasks.square)(i) for i in range(10))
    captured = capsys.readouterr()
    text = getattr(captured, stream)
    assert "[Parallel(n_jobs=2)]: Using backend processes with 2 concurrent workers." in text
    assert "Done  10 out of  10 | elapsed:" in text
    assert text.rstrip().endswith("finished")
    assert getattr(captured, "out" if stream == "err" else "err") == ""


def test_jobs_from_a_block_or_the_environment(monkeypatch):
    with manyhands.options(workers=2):
        assert Parallel().n_jobs == 2
    monkeypatch.setenv("MANYHANDS_WORKERS", "3")
    assert Parallel().n_jobs == 3
    monkeypatch.delenv("MANYHANDS_WORKERS")
    assert Parallel().n_jobs == 1


def test_whole_floats_are_numbers_of_jobs():
    assert manyhands.Parallel(n_jobs=4 / 2).n_jobs == 2


def test_a_backend_that_is_not_known():
    with pytest.raises(manyhands.BackendMissing, match=r"'nope' is not known; backend is one of 'loky', .*'processes'"):
        manyhands.Parallel(backend="nope")
