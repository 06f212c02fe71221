"""``register_joblib``: joblib runs on manyhands, through its own contract for backends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
import warnings

import joblib
import pytest
from joblib import Parallel, delayed

import manyhands


@pytest.fixture(autouse=True)
def backend():
    manyhands.register_joblib()
    with joblib.parallel_config(backend="manyhands"):
        yield


def square(x):
    return x * x


def pid(_):
    return os.getpid()


def test_calls_run_in_the_workers_that_all_share():
    assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(100)) == [x * x for x in range(100)]
    pids = set(Parallel(n_jobs=2)(delayed(pid)(x) for x in range(20)))
    assert os.getpid() not in pids
    assert pids <= set(manyhands.map(pid, range(100), workers=2, chunk=1)) | pids
    assert Parallel(n_jobs=2, verbose=0)(delayed(lambda x: x + 1)(x) for x in range(3)) == [1, 2, 3]


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators(return_as):
    assert sorted(Parallel(n_jobs=2, return_as=return_as)(delayed(square)(x) for x in range(30))) == [x * x for x in range(30)]


def test_one_job_runs_here():
    assert Parallel(n_jobs=1)(delayed(pid)(x) for x in range(2)) == [os.getpid()] * 2
    assert Parallel()(delayed(pid)(x) for x in range(2)) == [os.getpid()] * 2
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)(delayed(pid)(x) for x in range(2))
    assert joblib.effective_n_jobs(-1) == manyhands.cpu_count()
    assert joblib.effective_n_jobs(3) == 3


def fail(x):
    if x == 3:
        raise KeyError(x)
    return x


def test_errors_come_as_themselves_and_the_next_call_works():
    with pytest.raises(KeyError):
        Parallel(n_jobs=2)(delayed(fail)(x) for x in range(10))
    # Another one: joblib 1.6 may give results of the failed call before those of the next.
    assert Parallel(n_jobs=2)(delayed(fail)(x) for x in range(3)) == [0, 1, 2]


def test_a_worker_that_ends():
    with pytest.raises(manyhands.WorkerDied, match="exit code 7"):
        Parallel(n_jobs=2, batch_size=1)(delayed(os._exit)(7) for _ in range(2))
    assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(3)) == [0, 1, 4]


def test_what_is_under_way_ends_with_its_call(tmp_path):
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(n_jobs=2, timeout=0.2)(delayed(time.sleep)(x) for x in (0, 60))
    begin = time.monotonic()
    assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(3)) == [0, 1, 4]
    assert time.monotonic() - begin < 30


def test_a_block_that_is_used_again_and_callbacks():
    class Told(Parallel):
        told = 0

        def print_progress(self):
            Told.told += 1

    with Told(n_jobs=2) as parallel:
        for _ in range(3):
            assert parallel(delayed(square)(x) for x in range(10)) == [x * x for x in range(10)]
    assert Told.told > 3


def test_a_block_within_which_others_are_called():
    with Parallel(n_jobs=2) as parallel:
        assert parallel(delayed(square)(x) for x in range(10)) == [x * x for x in range(10)]
        assert Parallel(n_jobs=3)(delayed(square)(x) for x in range(10)) == [x * x for x in range(10)]
        assert parallel(delayed(square)(x) for x in range(10)) == [x * x for x in range(10)]


def nested(x):
    pids = Parallel(n_jobs=2)(delayed(pid)(y) for y in range(4))
    return os.getpid(), set(pids), Parallel(n_jobs=2)(delayed(square)(y) for y in range(x))


def test_calls_within_calls_stay_in_their_worker():
    for own, pids, values in Parallel(n_jobs=2)(delayed(nested)(x) for x in range(4)):
        assert pids == {own}
        assert values == [y * y for y in range(len(values))]


def threads(_):
    return os.environ["OMP_NUM_THREADS"]


def test_threads_of_numeric_libraries():
    with joblib.parallel_config(backend="manyhands", inner_max_num_threads=3):
        assert set(Parallel(n_jobs=2)(delayed(threads)(x) for x in range(4))) == {"3"}
    # The workers are not that call's alone.
    assert "3" not in Parallel(n_jobs=2)(delayed(threads)(x) for x in range(4))


def test_options():
    with joblib.parallel_config(backend="manyhands", retries=2, idle_worker_timeout=30):
        assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(3)) == [0, 1, 4]
    with joblib.parallel_config(backend="manyhands", colour="red"), pytest.raises(TypeError, match="no option 'colour'"):
        Parallel(n_jobs=2)(delayed(square)(x) for x in range(3))


def test_as_the_default(monkeypatch):
    monkeypatch.setattr(joblib.parallel, "DEFAULT_BACKEND", joblib.parallel.DEFAULT_BACKEND)
    with joblib.parallel_config(backend="loky"):  # what the fixture has named does not count
        manyhands.register_joblib(make_default=True)
    assert joblib.parallel.DEFAULT_BACKEND == "manyhands"


def test_an_array_that_is_changed_between_calls():
    np = pytest.importorskip("numpy")
    array = np.zeros(300_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Parallel(n_jobs=2) as parallel:
            assert parallel(delayed(np.sum)(array) for _ in range(2)) == [0, 0]
            array[:] = 1
            assert parallel(delayed(np.sum)(array) for _ in range(2)) == [300_000] * 2


def listening(messages):
    handler = logging.Handler()
    handler.emit = lambda record: messages.append((record.name, record.levelname, record.getMessage()))
    logging.getLogger("manyhands").addHandler(handler)
    logging.getLogger("manyhands").setLevel("INFO")
    for _ in range(2):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in (-1, 2)) == [1, 2]
    return messages


def test_a_nested_call_that_runs_alone_says_so():
    with joblib.parallel_config(backend="manyhands"):
        [first, second] = joblib.Parallel(n_jobs=max(2, manyhands.cpu_count()))(joblib.delayed(listening)([]) for _ in range(2))
    told = first or second  # one worker may have run both
    assert [entry[:2] for entry in told] == [("manyhands", "INFO")]
    assert "within a task" in told[0][2]


def end(x, code=3):
    os._exit(code)


def test_errors_tell_of_the_calls_rather_than_of_what_runs_them():
    with pytest.raises(manyhands.WorkerDied, match=r"while it ran task \d: end\(1, code=4\)\. "):
        Parallel(n_jobs=2)(delayed(end)(1, code=4) for _ in range(2))
    with pytest.raises(manyhands.WorkerDied, match=r"task 0: square\(0\), or (the call|one of the \d calls) behind it\. "):
        Parallel(n_jobs=2, batch_size=4, pre_dispatch="all")(delayed(end if x == 1 else square)(x) for x in range(12))
    with pytest.raises(manyhands.WorkerDied, match=r"task 0: <lambda>\(\)\. "):
        Parallel(n_jobs=2)(delayed(lambda: os._exit(1))() for _ in range(1))
    with pytest.raises(KeyError) as found:
        Parallel(n_jobs=2, batch_size=1)(delayed(fail)(3) for _ in range(2))
    assert any(": fail(3) in worker" in note for note in found.value.__notes__)


def test_an_argument_that_cannot_be_sent_is_named_as_in_the_call():
    generator = (x for x in range(3))
    with pytest.raises(manyhands.NotSerializable, match=r"^argument 'x' \[1\] \(a generator\)") as found:
        Parallel(n_jobs=2)(delayed(square)([0, generator]) for _ in range(2))
    assert "run()" not in "".join(found.value.__notes__)
    with pytest.raises(manyhands.NotSerializable, match=r"^argument 'code' \(a generator\)"):
        Parallel(n_jobs=2)(delayed(end)(1, code=generator) for _ in range(2))
    with pytest.raises(manyhands.NotSerializable, match=r"<lambda> → variable 'generator'"):
        Parallel(n_jobs=2)(delayed(lambda: generator)() for _ in range(2))
