"""Backends of others, made as those of Ray and of Spark are, on joblib's classes and on ours."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import pickle
import time
import traceback
from typing import ClassVar

import joblib
import joblib._parallel_backends
import joblib.pool
import joblib_tasks as tasks
import pytest
from joblib._utils import _TracebackCapturingWrapper
from joblib.externals.loky.backend import resource_tracker

from manyhands import compat
from manyhands.compat.joblib import Parallel, delayed, parallel_config
from manyhands.compat.joblib import _parallel_backends as our_backends
from manyhands.compat.joblib import parallel as names

theirs = joblib.parallel
their_backends = joblib._parallel_backends
RETURNS = ["list", "generator", "generator_unordered"]

pytestmark = pytest.mark.filterwarnings("ignore:.*apply_async.* is deprecated", "ignore:unclosed running multiprocessing pool")


@pytest.fixture(scope="module", autouse=True)
def _tracker():
    """joblib starts a process of its own for its pools, once, which stays."""
    resource_tracker.ensure_running()


class PoolOfOthers(multiprocessing.pool.Pool):
    """As Ray's: it takes what Ray's backend gives it, and would not work with the queues that joblib's pool makes."""

    made: ClassVar[list] = []
    is_patient = True

    def __init__(self, processes=None, context=None, remote_args=None):
        self.made.append(remote_args)
        super().__init__(processes, context=context)

    def terminate(self):
        """The standard library's kills workers, which may hold the lock of the queue of results, and then waits for that: let tasks end."""
        if self.is_patient:
            self.close()
            self.join()
        super().terminate()


def like_ray(base):
    class LikeRay(base):
        def __init__(self, nesting_level=None, inner_max_num_threads=None, remote_args=None, **kwargs):
            self.remote_args = remote_args
            super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **kwargs)

        def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, remote_args=None, **given):
            joblib.pool.PicklingPool.__bases__ = (PoolOfOthers,)
            given["remote_args"] = remote_args or self.remote_args
            return super().configure(2 if n_jobs == -1 else n_jobs, parallel, prefer, require, **given)

        def effective_n_jobs(self, n_jobs):
            found = super().effective_n_jobs(n_jobs)
            return 2 if n_jobs == -1 else found

    return LikeRay


class LikeSpark:
    """Wraps the batches itself, and cancels what is under way by a flag."""

    pools: ClassVar[list] = []
    _pool = _n_jobs = None
    _is_running = False

    def effective_n_jobs(self, n_jobs):
        return {None: 1, -1: 2}.get(n_jobs, n_jobs)

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **given):
        self._n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        return self._n_jobs

    def start_call(self):
        self._is_running = True

    def terminate(self):
        self._is_running = False

    def abort_everything(self, ensure_ready=True):
        self._is_running = False
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_args)

    def apply_async(self, func, callback=None):
        def run():
            if not self._is_running:
                raise RuntimeError("cancelled")
            return pickle.loads(pickle.dumps(func))()

        if self._pool is None:
            self._pool = multiprocessing.pool.ThreadPool(self._n_jobs)
            self.pools.append(self._pool)
        return self._pool.apply_async(_TracebackCapturingWrapper(run), callback=callback, error_callback=callback)


def like_spark(base, mixin, sequential):
    def nested(self):
        return sequential(nesting_level=getattr(self, "nesting_level", 0) + 1), None

    return type("Spark", (LikeSpark, base, mixin), {"get_nested_backend": nested, "pools": []})


KINDS = {
    "Ray, ours": lambda: like_ray(our_backends.MultiprocessingBackend),
    "Ray, theirs": lambda: like_ray(their_backends.MultiprocessingBackend),
    "Spark, ours": lambda: like_spark(names.ParallelBackendBase, names.AutoBatchingMixin, names.SequentialBackend),
    "Spark, theirs": lambda: like_spark(theirs.ParallelBackendBase, theirs.AutoBatchingMixin, theirs.SequentialBackend),
}


@pytest.fixture(params=["beside joblib", "in its place"])
def place(request):
    if request.param == "in its place":
        compat.install("joblib")
    yield
    compat.uninstall("joblib")


@pytest.fixture(params=KINDS)
def kind(request, place, monkeypatch):
    made = KINDS[request.param]()
    made.label = request.param
    PoolOfOthers.made.clear()
    before = joblib.pool.PicklingPool.__bases__
    joblib.parallel.register_parallel_backend("others", made)
    with parallel_config("others", n_jobs=2):
        yield made
    joblib.pool.PicklingPool.__bases__ = before
    joblib.parallel.BACKENDS.pop("others")
    while pools := getattr(made, "pools", None):
        pools[-1].terminate()
        pools.pop().join()
    assert not made.label.startswith("Ray") or PoolOfOthers.made


@pytest.mark.parametrize("return_as", RETURNS)
def test_results(kind, return_as):
    parallel = Parallel(return_as=return_as)
    assert type(parallel._backend) is kind
    for _ in range(2):
        assert sorted(parallel(delayed(tasks.square)(i) for i in range(40))) == [i * i for i in range(40)]
    assert sorted(Parallel(n_jobs=-1, return_as=return_as)(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


@pytest.mark.parametrize("return_as", RETURNS)
def test_errors(kind, return_as):
    with Parallel(return_as=return_as) as parallel:
        with pytest.raises(KeyError) as caught:
            list(parallel(delayed(tasks.fail)(i) for i in range(40)))
        assert "in fail" in "".join(traceback.format_exception(caught.value))
        assert sorted(parallel(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]
        with pytest.raises(LookupError, match="no more"):
            list(parallel(_unreadable()))
        assert sorted(parallel(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


def _unreadable():
    yield from (delayed(tasks.square)(i) for i in range(20))
    raise LookupError("no more")


@pytest.mark.parametrize("return_as", RETURNS)
def test_timeouts(kind, return_as, monkeypatch):
    monkeypatch.setattr(PoolOfOthers, "is_patient", False)
    if kind.label.startswith("Spark"):
        with pytest.warns(UserWarning, match="does not support timeout"):
            assert list(Parallel(return_as=return_as, timeout=0.1)(delayed(tasks.square)(i) for i in range(2))) == [0, 1]
        return
    with pytest.raises(multiprocessing.TimeoutError):
        list(Parallel(return_as=return_as, timeout=0.1)(delayed(time.sleep)(20) for _ in range(2)))


def test_calls_within_calls(kind):
    wanted = "SequentialBackend" if kind.label.startswith("Spark") else "ThreadingBackend"
    for name, level, *_ in Parallel()(delayed(tasks.nested)(i) for i in range(2)):
        assert (name, level) == (wanted, 1)


def test_what_a_backend_is_given(kind):
    if kind.label.startswith("Ray"):
        with parallel_config("others", n_jobs=2, remote_args={"num_cpus": 1}):
            Parallel()(delayed(tasks.square)(i) for i in range(2))
        assert PoolOfOthers.made == [{"num_cpus": 1}]
    assert Parallel(n_jobs=1)(delayed(tasks.square)(i) for i in range(2)) == [0, 1]
    Parallel()(delayed(tasks.square)(i) for i in range(2))


def in_joblibs_place(_):
    return joblib.Parallel.__module__


def test_workers_of_others_have_it_in_joblibs_place_too(kind):
    if kind.label.startswith("Ray"):
        wanted = joblib.Parallel.__module__
        assert Parallel()(delayed(in_joblibs_place)(i) for i in range(2)) == [wanted] * 2
    else:
        Parallel()(delayed(tasks.square)(i) for i in range(2))


def test_a_backend_that_was_made_known_to_joblib_before():
    made = KINDS["Ray, theirs"]()
    before = joblib.pool.PicklingPool.__bases__
    theirs.register_parallel_backend("known to joblib", made)
    try:
        assert Parallel(n_jobs=2, backend="known to joblib")(delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]
        compat.install("joblib")
        with joblib.parallel_config("known to joblib", n_jobs=2):
            assert joblib.Parallel()(joblib.delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]
            assert type(joblib.Parallel()._backend) is made
        with pytest.raises(ValueError, match=r"Invalid backend: nobody, expected one of .*'known to joblib'"):
            joblib.Parallel(backend="nobody")
    finally:
        compat.uninstall("joblib")
        joblib.pool.PicklingPool.__bases__ = before
        del theirs.BACKENDS["known to joblib"]


def test_names_that_others_import(place):
    from joblib._parallel_backends import MemmappingPool
    from joblib.parallel import DEFAULT_MP_CONTEXT, TASK_DONE, _get_active_backend, _verbosity_filter

    assert (TASK_DONE, DEFAULT_MP_CONTEXT) == ("Done", None)
    assert joblib.parallel.TimeoutError is multiprocessing.TimeoutError
    assert MemmappingPool is joblib.pool.MemmappingPool
    assert _verbosity_filter(0, 5) is False
    with parallel_config("threading", n_jobs=3), joblib.parallel_config("threading", n_jobs=3):
        backend, config = _get_active_backend()
        assert (type(backend).__name__, config["n_jobs"]) == ("ThreadingBackend", 3)
    with pytest.raises(ImportError, match="SafeFunction"):
        from joblib._parallel_backends import SafeFunction  # noqa: F401
