"""``manyhands.compat.joblib``: what users of joblib see."""

from __future__ import annotations

import contextlib
import gc
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
import weakref

import joblib
import joblib_tasks as tasks
import numpy as np
import pytest
import scripts
import waiting

import manyhands
from manyhands._engine import _notices
from manyhands.compat import joblib as ours
from manyhands.compat.joblib import Parallel, delayed, effective_n_jobs, parallel_backend, parallel_config
from manyhands.compat.joblib import parallel as names

BACKENDS = ["loky", "multiprocessing", "threading", "sequential"]


def test_every_name_is_there():
    assert set(joblib.__all__) <= set(ours.__all__)
    for name in ours.__all__:
        value = getattr(ours, name)
        assert value.__doc__, name
        assert not hasattr(value, "__module__") or value.__module__.startswith("manyhands."), name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = ours.Nothing
    assert "Parallel" in dir(ours)


@pytest.mark.parametrize(
    "name",
    ["Parallel", "parallel_config", "parallel_backend", "effective_n_jobs", "register_parallel_backend", "cpu_count", "dump", "load"],
)
def test_signatures(name):
    assert list(inspect.signature(getattr(ours, name)).parameters) == list(inspect.signature(getattr(joblib, name)).parameters)


def test_it_needs_no_joblib_and_is_imported_lightly():
    code = """
import sys
sys.modules["joblib"] = None
before = set(sys.modules)
import manyhands.compat.joblib
light = set(sys.modules) - before
assert not any(name.startswith(("multiprocessing", "concurrent", "numpy")) for name in light), light
from manyhands.compat.joblib import *
print(Parallel(n_jobs=2)(delayed(lambda x: x + 1)(x) for x in range(3)), effective_n_jobs(2), cpu_count() > 0)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert ran.stdout == "[1, 2, 3] 2 True\n", ran.stderr


def test_a_call_loads_little_more_than_one_of_our_own_parallel():
    heavy = {"concurrent.futures", "dis", "logging", "multiprocessing", "numpy", "pathlib", "random", "shutil", "tempfile", "uuid"}
    done = scripts.run(f"""
        import sys
        before = set(sys.modules)
        from manyhands.compat.joblib import Parallel, delayed
        print(Parallel(n_jobs=2)(delayed(abs)(x) for x in (-1, -2)))
        print(sorted({heavy!r} & (set(sys.modules) - before)))
    """)
    assert (done.stdout, done.stderr) == ("[1, 2]\n[]\n", "")


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_loaded_by_need_is_found(backend, n_jobs):
    done = scripts.run(f"""
        from manyhands.compat.joblib import Parallel, delayed
        print(Parallel(n_jobs={n_jobs}, backend={backend!r})(delayed(abs)(x) for x in (-1, -2)))
    """)
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


# ------------------------------------------------------------ the calls


def test_delayed_notes_a_call():
    assert delayed(tasks.add)(1, y=3) == (tasks.add, (1,), {"y": 3})
    calls = [(tasks.square, (3,), {}), (tasks.add, (1,), {"y": 5}), delayed(len)("four")]
    assert Parallel(n_jobs=2)(calls) == [9, 6, 4]


def test_two_lists_element_by_element():
    pairs = list(zip([1, 2, 3], [-1, -2, -3], strict=True))
    noted = [delayed(tasks.add)(*pair) for pair in pairs]
    assert [function(*args, **kwargs) for function, args, kwargs in noted] == [0, 0, 0]
    assert Parallel(n_jobs=2, backend="threading")(noted) == [0, 0, 0]


@pytest.mark.parametrize("backend", [*BACKENDS, None])
@pytest.mark.parametrize("n_jobs", [1, 2, -1, -2, None, 2.0])
def test_results_in_order(backend, n_jobs):
    assert Parallel(n_jobs=n_jobs, backend=backend)(delayed(tasks.square)(i) for i in range(30)) == [i * i for i in range(30)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators(backend, return_as):
    parallel = Parallel(n_jobs=2, backend=backend, return_as=return_as)
    for _ in range(2):
        results = list(parallel(delayed(tasks.square)(i) for i in range(50)))
        assert (results if return_as == "generator" else sorted(results)) == [i * i for i in range(50)]
    assert parallel.n_completed_tasks == parallel.n_dispatched_tasks == 50


def test_every_parameter_together(tmp_path):
    parallel = Parallel(
        n_jobs=2, backend="loky", return_as="list", verbose=0, timeout=30, pre_dispatch="2 * n_jobs", batch_size=2,
        temp_folder=str(tmp_path), max_nbytes="1K", mmap_mode="r", prefer="processes", require=None,
    )  # fmt: skip
    assert parallel(delayed(tasks.square)(i) for i in range(20)) == [i * i for i in range(20)]


def test_what_is_dispatched_ahead():
    """24 calls, 3 workers, 2 * n_jobs messages of 2 calls."""
    read = []

    def calls():
        for i in range(24):
            read.append(i)
            yield delayed(time.sleep)(0 if i else 0.05)

    results = Parallel(n_jobs=3, pre_dispatch="2 * n_jobs", batch_size=2, return_as="generator", backend="threading")(calls())
    assert len(read) == 12
    assert list(results) == [None] * 24
    assert len(read) == 24
    Parallel(n_jobs=2, pre_dispatch="all", backend="threading")(delayed(time.sleep)(0) for _ in range(3))


@pytest.mark.parametrize("given", [{"pre_dispatch": 3.7}, {"batch_size": True}, {"batch_size": np.int64(2)}, {"n_jobs": np.float64(2.5)}])
def test_numbers_of_all_kinds(given):
    assert Parallel(**{"n_jobs": 2, **given})(delayed(tasks.square)(i) for i in range(9)) == [i * i for i in range(9)]


def test_one_job_is_a_loop():
    assert Parallel(n_jobs=1, pre_dispatch=0)(delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]
    order = []

    def calls():
        for i in range(3):
            order.append(f"read {i}")
            yield delayed(order.append)(f"ran {i}")

    Parallel(n_jobs=1)(calls())
    assert order == ["read 0", "ran 0", "read 1", "ran 1", "read 2", "ran 2"]
    assert Parallel(n_jobs=1)(delayed(tasks.pid)() for _ in range(2)) == [os.getpid()] * 2


def test_a_call_that_is_under_way_cannot_be_called():
    parallel = Parallel(n_jobs=2, backend="threading", return_as="generator")
    go = threading.Event()
    results = parallel(delayed(go.wait)(20) for _ in range(4))
    with pytest.raises(RuntimeError, match="already running"):
        parallel(delayed(tasks.square)(i) for i in range(3))
    go.set()
    assert list(results) == [True] * 4
    assert list(parallel(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


def test_a_generator_that_is_dropped_says_so_and_ends():
    parallel = Parallel(n_jobs=2, return_as="generator", batch_size=1)
    results = parallel(delayed(time.sleep)(60 if i else 0) for i in range(20))
    assert next(results) is None
    with pytest.warns(UserWarning, match="dropped before its end: .* have been cancelled"):
        results.close()
    assert list(parallel(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


def test_results_that_are_there_may_be_taken_during_the_next_call():
    parallel = Parallel(n_jobs=2, return_as="generator", batch_size=1)
    earlier = parallel(delayed(tasks.square)(i) for i in range(4))
    stream = parallel._stream
    first = next(earlier)
    waiting.until(lambda: stream.counts().ended == 4)
    results = parallel(delayed(tasks.square)(i) for i in range(3))
    assert [first, next(earlier), next(earlier)] == [0, 1, 4]
    earlier.close()
    assert list(results) == [0, 1, 4]


def test_a_block_ends_its_generator():
    begin = time.monotonic()
    parallel = Parallel(n_jobs=2, return_as="generator", batch_size=1)
    parallel.__enter__()
    results = parallel(delayed(time.sleep)(60 if i else 0) for i in range(20))
    assert next(results) is None
    with pytest.warns(UserWarning, match="dropped before its end"):
        parallel.__exit__(None, None, None)
    assert time.monotonic() - begin < 30
    assert list(results) == []


# ------------------------------------------------------------ errors


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_errors_come_as_themselves_and_the_next_call_works(backend, return_as):
    with Parallel(n_jobs=2, backend=backend, return_as=return_as) as parallel:
        with pytest.raises(KeyError) as caught:
            list(parallel(delayed(tasks.fail)(i) for i in range(10)))
        assert any("fail(3)" in note for note in caught.value.__notes__)
        assert sorted(parallel(delayed(tasks.fail)(i) for i in range(3))) == [0, 1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_call_after_one_that_failed_has_results_of_its_own(backend):
    """joblib's has those of calls that were read before the failure, first: most times, whatever the backend."""
    for _ in range(10):
        parallel = Parallel(n_jobs=2, backend=backend)
        with pytest.raises(KeyError):
            parallel(delayed(tasks.fail)(i) for i in range(10))
        assert parallel(delayed(tasks.fail)(i) for i in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_iterable_that_fails(backend):
    def calls():
        yield delayed(tasks.square)(1)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        Parallel(n_jobs=2, backend=backend)(calls())


@pytest.mark.parametrize(("task", "error"), [(tasks.interrupt, KeyboardInterrupt), (tasks.leave, SystemExit)])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_what_ends_a_program_ends_it_from_a_task(backend, task, error):
    with pytest.raises(error):
        Parallel(n_jobs=2, backend=backend)([delayed(task)(), delayed(task)()])
    assert Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_timeouts(return_as):
    for kind in (multiprocessing.TimeoutError, TimeoutError, manyhands.TaskTimeout):
        with pytest.raises(kind, match=r"timeout=0\.2"):
            list(Parallel(n_jobs=2, timeout=0.2, return_as=return_as)(delayed(time.sleep)(x) for x in (0, 60)))
    with pytest.warns(UserWarning, match="'SequentialBackend' does not support timeout. You have set 'timeout=1'"):
        Parallel(n_jobs=1, timeout=1)(delayed(tasks.square)(i) for i in range(3))


def test_a_worker_that_ends():
    with pytest.raises(manyhands.WorkerDied, match="exit code 7"):
        Parallel(n_jobs=2)(delayed(os._exit)(7) for _ in range(2))
    assert Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"n_jobs": 0}, "n_jobs == 0 in Parallel has no meaning"),
        ({"n_jobs": "many"}, "n_jobs could not be converted to int"),
        ({"backend": "magic"}, "Invalid backend: magic, expected one of .*'loky'"),
        ({"return_as": "set"}, "return_as='set' is not allowed"),
        ({"batch_size": 0}, "batch_size must be 'auto' or a positive integer, got: 0"),
        ({"prefer": "speed"}, "prefer=speed is not a valid backend hint"),
        ({"require": "luck"}, "require=luck is not a valid backend constraint"),
        ({"max_nbytes": "x"}, "max_nbytes='x' is not allowed; it is a number of bytes"),
        ({"prefer": "processes", "require": "sharedmem"}, "contradict"),
        ({"backend": "loky", "require": "sharedmem"}, "does not support shared memory"),
        ({"pre_dispatch": "print(1)"}, "pre_dispatch='print\\(1\\)' cannot be evaluated"),
    ],
)
def test_bad_arguments(parameters, text):
    with pytest.raises(ValueError, match=text):
        Parallel(**{"n_jobs": 2, **parameters})([])
    with pytest.raises(TypeError, match="has no parameter 'colour'"):
        Parallel(n_jobs=2, backend="multiprocessing", colour="red")([])


def test_what_joblib_takes_is_taken(monkeypatch, caplog):
    monkeypatch.setattr(_notices, "_told", set())
    caplog.set_level("INFO", "manyhands")
    calls = [delayed(tasks.square)(i) for i in range(3)]
    assert Parallel(n_jobs=2, colour="red")(calls) == [0, 1, 4]
    with parallel_config("loky", colour="red"):
        assert Parallel(n_jobs=2)(calls) == [0, 1, 4]
    assert [record.message for record in caplog.records if "'colour'" in record.message and "ignored" in record.message] != []
    with pytest.raises(ValueError, match=r"pre_dispatch=2\.7 is not allowed"):
        manyhands.Parallel(n_jobs=2, pre_dispatch=2.7)(calls)


# ------------------------------------------------------------ blocks, hints, levels


def test_what_blocks_say():
    with parallel_config(backend="threading", n_jobs=3, verbose=5):
        assert (Parallel().n_jobs, Parallel().verbose, effective_n_jobs(None)) == (3, 5, 3)
        with parallel_config(n_jobs=2):
            parallel = Parallel()
            assert (parallel.n_jobs, parallel.verbose, type(parallel._backend).__name__) == (2, 5, "ThreadingBackend")
        assert Parallel(n_jobs=4, verbose=0).n_jobs == 4
        seen = []
        thread = threading.Thread(target=lambda: seen.append(Parallel().n_jobs))  # blocks are a thread's own
        thread.start()
        thread.join()
        assert seen == [1]
    assert Parallel().n_jobs == 1
    with parallel_backend("threading") as (backend, n_jobs):
        assert (type(backend).__name__, n_jobs) == ("ThreadingBackend", -1)
        assert effective_n_jobs(None) == manyhands.cpu_count()
    with pytest.raises(ValueError, match="only supported when backend is not None"), parallel_config(inner_max_num_threads=1):
        pass
    with pytest.raises(AssertionError, match="does not accept inner_max_num_threads"):
        parallel_config("threading", inner_max_num_threads=1)


def test_hints_and_constraints(capsys):
    kind = lambda **given: type(Parallel(n_jobs=2, **given)._backend).__name__  # noqa: E731 - three words of the same
    assert (kind(), kind(prefer="threads"), kind(require="sharedmem")) == ("LokyBackend", "ThreadingBackend", "ThreadingBackend")
    with parallel_config("loky", n_jobs=2):
        assert kind(prefer="threads") == "LokyBackend"
        assert Parallel(require="sharedmem", verbose=10).n_jobs == 1
        assert "Using ThreadingBackend as joblib backend instead of LokyBackend" in capsys.readouterr().out
    seen = []
    Parallel(n_jobs=2, require="sharedmem")(delayed(seen.append)(i) for i in range(9))
    assert sorted(seen) == list(range(9))


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_calls_within_calls_stay_in_their_worker(backend):
    for kind, level, n_jobs, own, pids in Parallel(n_jobs=2, backend=backend)(delayed(tasks.nested)(x) for x in range(4)):
        assert (kind, level, n_jobs, pids) == ("ThreadingBackend", 1, None, {own})


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_each_level_has_its_backend(backend):
    with parallel_config(backend, n_jobs=2):
        assert tasks.levels(3) == [
            (f"{backend.title()}Backend", 0),
            ("ThreadingBackend", 1),
            ("SequentialBackend", 2),
            ("SequentialBackend", 2),
        ]


def refused(backend):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        count = Parallel(n_jobs=2, backend=backend)(delayed(tasks.pid)() for _ in range(2)) == [os.getpid()] * 2
    return count, [str(warning.message) for warning in told]


def test_processes_do_not_multiply():
    for alone, told in Parallel(n_jobs=2)(delayed(refused)("multiprocessing") for _ in range(2)):
        assert alone
        assert "backed parallel loops cannot be nested" in told[0]
    [(alone, told)] = Parallel(n_jobs=2, backend="threading")([delayed(refused)("loky")])
    assert alone
    assert "cannot be nested below threads" in told[0]
    for alone, told in Parallel(n_jobs=manyhands.cpu_count() + 1)(delayed(refused)("loky") for _ in range(2)):
        assert (alone, told) == (True, [])


# ------------------------------------------------------------ workers


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_nothing_is_left_of_a_call_for_the_garbage_collector(backend):
    parallel = Parallel(n_jobs=2, backend=backend)
    parallel(delayed(tasks.square)(i) for i in range(4))
    gone = weakref.ref(parallel)
    gc.disable()
    try:
        del parallel
        assert gone() is None
    finally:
        gc.enable()


def test_results_are_taken_within_the_context_of_the_backend():
    said = []

    class Mine(names.ThreadingBackend):
        @contextlib.contextmanager
        def retrieval_context(self):
            said.append("in")
            with super().retrieval_context():
                yield
            said.append("out")

    assert Parallel(n_jobs=2, backend=Mine())(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]
    assert said == ["in", "out"]


def test_an_initializer_runs_once_in_each_worker(tmp_path):
    parameters = {"n_jobs": 2, "initializer": tasks.begin, "initargs": (str(tmp_path),)}
    for backend in ("loky", "multiprocessing"):
        for _ in range(2):
            pids = Parallel(backend=backend, **parameters)(delayed(tasks.pid)() for _ in range(6))
            for pid in set(pids):
                assert (tmp_path / str(pid)).read_text() == "x"


def test_threads_of_numeric_libraries():
    with parallel_config("loky", inner_max_num_threads=3):
        assert set(Parallel(n_jobs=2)(delayed(tasks.threads)() for _ in range(4))) == {"3"}
    assert "3" not in Parallel(n_jobs=2)(delayed(tasks.threads)() for _ in range(4))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_context_of_multiprocessing(method):
    parallel = Parallel(n_jobs=2, backend=multiprocessing.get_context(method))
    assert parallel(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]


def test_a_start_method_by_the_environment(monkeypatch):
    monkeypatch.setenv("JOBLIB_START_METHOD", "spawn")
    parallel = Parallel(n_jobs=2, backend="multiprocessing")
    assert parallel(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]
    monkeypatch.setenv("JOBLIB_START_METHOD", "magic")
    with pytest.raises(ValueError, match=r"cannot find context for 'magic'; .*JOBLIB_START_METHOD"):
        parallel([])


def test_a_global_that_is_set_later(monkeypatch):
    for value in ("first", "second"):
        monkeypatch.setattr(tasks, "MADE_LATER", value)
        assert Parallel(n_jobs=2)(delayed(tasks.inner_that_uses_a_global())() for _ in range(2)) == [value] * 2


def test_wrapped_objects():
    for keep in (True, False):
        wrapped = ours.wrap_non_picklable_objects(lambda x: 2 * x, keep_wrapper=keep)
        assert pickle.loads(pickle.dumps(wrapped))(4) == 8

    @ours.wrap_non_picklable_objects
    class Local:
        def __init__(self, value):
            self.value = value

    assert pickle.loads(pickle.dumps(Local(3))).value == 3


def test_cpu_count(monkeypatch):
    assert ours.cpu_count() == manyhands.cpu_count()
    assert 1 <= ours.cpu_count(only_physical_cores=True) <= ours.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert ours.cpu_count() == 1
    assert names.mp is multiprocessing


# ------------------------------------------------------------ logging


def test_loggers(tmp_path, capsys, caplog):
    logger = ours.Logger(name="here")
    logger.warn("careful")
    assert "careful" in caplog.text
    assert logger.format([1]) == "[1]"
    for number in range(3):
        ours.PrintTime(logdir=tmp_path)(f"lap {number}")
    assert "lap 2: 0.0s, 0.0min" in (tmp_path / "joblib.log").read_text()
    assert "lap 1" in (tmp_path / "joblib.log.1").read_text()
    assert "lap 0" in (tmp_path / "joblib.log.2").read_text()
    assert "lap 2" in capsys.readouterr().err
    with pytest.raises(ValueError, match="both"):
        ours.PrintTime(logfile="a", logdir="b")
