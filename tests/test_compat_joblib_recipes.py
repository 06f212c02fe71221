"""What programs make of joblib: backends of their own, files, manyhands in joblib's place."""

from __future__ import annotations

import multiprocessing
import os
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import joblib_bars as bars
import joblib_tasks as tasks
import numpy as np
import pytest
import scripts
import waiting

from manyhands import compat
from manyhands.compat import joblib as ours
from manyhands.compat.joblib import Parallel, delayed, parallel_config, register_parallel_backend
from manyhands.compat.joblib import parallel as names

BACKENDS = ["loky", "multiprocessing", "threading", "sequential"]


# ------------------------------------------------------------ backends of others


def make_backend(base):
    class Futures(base):
        """As third-party backends are made."""

        supports_retrieve_callback = True
        supports_sharedmem = True
        uses_threads = True

        def effective_n_jobs(self, n_jobs):
            return 2 if n_jobs in (None, -1) else n_jobs

        def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **kwargs):
            self.parallel = parallel
            self.events = ["configure"]
            self.executor = ThreadPoolExecutor(self.effective_n_jobs(n_jobs))
            return self.effective_n_jobs(n_jobs)

        def start_call(self):
            self.events.append("start_call")

        def stop_call(self):
            self.events.append("stop_call")

        def submit(self, func, callback=None):
            assert len(func) == len(func.items)
            future = self.executor.submit(func)
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, out):
            return out.result()

        def abort_everything(self, ensure_ready=True):
            self.events.append("abort")
            self.executor.shutdown(cancel_futures=True)
            if ensure_ready:
                self.executor = ThreadPoolExecutor(2)

        def terminate(self):
            self.executor.shutdown()
            self.events.append("terminate")

    return Futures


@pytest.fixture(params=["ours", "theirs"])
def futures(request):
    return make_backend(ours.ParallelBackendBase if request.param == "ours" else joblib.ParallelBackendBase)


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
@pytest.mark.parametrize("batch_size", ["auto", 1, 7])
def test_backends_of_others(futures, return_as, batch_size):
    backend = futures()
    parallel = Parallel(n_jobs=2, backend=backend, return_as=return_as, batch_size=batch_size)
    for _ in range(2):
        assert sorted(parallel(delayed(tasks.square)(i) for i in range(40))) == [i * i for i in range(40)]
        assert backend.events == ["configure", "start_call", "stop_call", "terminate"]
    assert parallel.n_completed_tasks == 40
    with pytest.raises(KeyError):
        list(parallel(delayed(tasks.fail)(i) for i in range(40)))
    assert "abort" in backend.events
    with parallel as same:
        for _ in range(2):
            assert sorted(same(delayed(tasks.square)(i) for i in range(4))) == [0, 1, 4, 9]


def test_backends_of_others_by_name_in_a_block(futures, monkeypatch):
    monkeypatch.setattr(names, "BACKENDS", names.BACKENDS)
    register_parallel_backend("futures", futures)
    try:
        with parallel_config("futures", n_jobs=2):
            parallel = Parallel()
            assert parallel(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]
            assert type(parallel._backend) is futures
    finally:
        del names.BACKENDS["futures"]


def test_a_backend_of_others_is_told_how_long_batches_take():
    seen = []

    class Measured(make_backend(ours.ParallelBackendBase)):
        def compute_batch_size(self):
            return 3

        def batch_completed(self, batch_size, duration):
            seen.append((batch_size, duration))

    with bars.tqdm_joblib(bars.Bar()) as bar:
        Parallel(n_jobs=2, backend=Measured())(delayed(tasks.square)(i) for i in range(20))
    assert sum(size for size, _ in seen) == bar.n == 20
    assert all(duration >= 0 for _, duration in seen)


def test_a_backend_of_others_and_its_timeout(futures):
    go = threading.Event()
    parallel = Parallel(n_jobs=2, backend=futures(), timeout=0.1)
    release = threading.Timer(0.3, go.set)
    release.start()
    with pytest.raises(multiprocessing.TimeoutError, match=r"timeout=0\.1"):
        parallel(delayed(go.wait)(20) for _ in range(2))
    release.join()


def test_a_backend_of_the_old_kind():
    class Job:
        def __init__(self, future):
            self.future = future

        def get(self, timeout=None):
            return self.future.result(timeout)

    class Old(ours.ParallelBackendBase):
        def effective_n_jobs(self, n_jobs):
            return n_jobs

        def configure(self, n_jobs=1, parallel=None, **kwargs):
            self.executor = ThreadPoolExecutor(n_jobs)
            return n_jobs

        def apply_async(self, func, callback=None):
            future = self.executor.submit(func)
            future.add_done_callback(lambda done: None if done.exception() else callback(done.result()))
            return Job(future)

        def terminate(self):
            self.executor.shutdown()

    with pytest.warns(DeprecationWarning, match="Old.apply_async is deprecated"):
        assert Parallel(n_jobs=2, backend=Old())(delayed(tasks.square)(i) for i in range(40)) == [i * i for i in range(40)]
    with pytest.warns(DeprecationWarning, match="apply_async"), pytest.raises(KeyError):
        Parallel(n_jobs=2, backend=Old())(delayed(tasks.fail)(i) for i in range(40))
    for return_as in ("generator", "generator_unordered"):
        with pytest.warns(DeprecationWarning, match="apply_async"):
            assert sorted(Parallel(n_jobs=2, backend=Old(), return_as=return_as)(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


@pytest.mark.parametrize("base", ["LokyBackend", "ThreadingBackend", "MultiprocessingBackend"])
def test_our_own_backends_can_be_derived_from(base):
    submitted = queue.SimpleQueue()

    class Derived(getattr(names, base)):
        def submit(self, func, callback=None):
            submitted.put(len(func))
            return super().submit(func, callback)

    for return_as in ("list", "generator_unordered"):
        results = Parallel(n_jobs=2, backend=Derived(), return_as=return_as)(delayed(tasks.square)(i) for i in range(40))
        assert sorted(results) == [i * i for i in range(40)]
    with pytest.raises(KeyError):
        Parallel(n_jobs=2, backend=Derived())(delayed(tasks.fail)(i) for i in range(10))
    assert submitted.qsize() > 2


def test_a_backend_of_joblib_itself():
    from joblib._parallel_backends import ThreadingBackend

    parallel = Parallel(n_jobs=2, backend=ThreadingBackend())
    assert parallel(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]
    assert type(parallel._backend) is names.ThreadingBackend


# ------------------------------------------------------------ files


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_arrays_need_no_files(backend):
    array = np.zeros(300_000)
    [(kind, *_, values)] = Parallel(n_jobs=2, backend=backend)([delayed(tasks.described)(array)])
    assert (kind, sum(values)) == ("ndarray", 0)


@pytest.mark.parametrize(
    ("given", "mode", "writable"),
    [({}, "c", True), ({"mmap_mode": "r"}, "r", False), ({"mmap_mode": "r+"}, "r+", True), ({"mmap_mode": "w+"}, "r+", True)],
)
def test_arrays_by_way_of_files(tmp_path, given, mode, writable):
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    for one in (array, array.T, array[:, ::2], array.astype(">i4")):
        [found] = Parallel(n_jobs=2, temp_folder=str(tmp_path), max_nbytes=10, **given)([delayed(tasks.described)(one)])
        assert found == ("memmap", mode, writable, one.tolist())
    assert os.listdir(tmp_path) == []


def test_what_stays_as_it_is(tmp_path):
    small, objects = np.zeros(3), np.array([{}, []] * 9, dtype=object)
    for array, given in (
        (small, {"max_nbytes": 100}),
        (objects, {"max_nbytes": 1}),
        (small, {"max_nbytes": None}),
        (small, {"mmap_mode": None}),
    ):
        [(kind, *_)] = Parallel(n_jobs=2, temp_folder=str(tmp_path), **given)([delayed(tasks.described)(array)])
        assert kind == "ndarray"
    for backend in ("threading", "sequential"):
        [found] = Parallel(n_jobs=2, backend=backend, temp_folder=str(tmp_path), max_nbytes=1)([delayed(id)(small)])
        assert found == id(small)


def test_tasks_write_into_a_common_file(tmp_path):
    array = np.zeros(8)
    with Parallel(n_jobs=2, temp_folder=str(tmp_path), mmap_mode="r+", max_nbytes=1) as parallel:
        results = parallel(delayed(tasks.write)(array, i, i) for i in range(8))
        assert all(type(result) is np.ndarray for result in results)
        [path] = set(parallel(delayed(tasks.file_of)(array) for _ in range(2)))
        assert np.fromfile(path).tolist() == list(range(8))
    assert os.listdir(tmp_path) == []


def test_an_array_that_is_changed_between_two_calls_of_a_block(tmp_path):
    array = np.zeros(100)
    with Parallel(n_jobs=2, temp_folder=str(tmp_path), max_nbytes=1) as parallel:
        paths = parallel(delayed(tasks.file_of)(array) for _ in range(3))
        assert len(set(paths)) == 1
        array[:] = 1
        assert parallel(delayed(np.sum)(array) for _ in range(2)) == [100, 100]
        [folder] = tmp_path.iterdir()
        before = set(folder.iterdir())
        other = np.full(100, 2.0)
        assert parallel(delayed(np.sum)(one) for one in (array, other)) == [100, 200]
        assert len(set(folder.iterdir()) - before) == 1
        assert len(list(folder.iterdir())) == 2  # what it had been is not needed any more
        del other
        parallel([delayed(np.sum)(array)])
        assert len(list(folder.iterdir())) == 1


def test_where_the_files_are(tmp_path, monkeypatch):
    def folders(**given):
        files = Parallel(n_jobs=2, max_nbytes=1, **given)(delayed(tasks.file_of)(np.zeros(9)) for _ in range(2))
        return {Path(file).parent.parent for file in files}

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert folders(temp_folder="~/files") == {tmp_path / "home" / "files"}
    assert folders(temp_folder="here") == {tmp_path / "here"}
    assert folders(temp_folder=tmp_path / "there") == {tmp_path / "there"}
    [default] = folders()
    room = os.statvfs("/dev/shm")
    assert default == Path("/dev/shm" if room.f_bsize * room.f_bavail > 2e9 else tempfile.gettempdir())
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path / "set"))
    assert folders() == {tmp_path / "set"}
    assert folders(temp_folder="here") == {tmp_path / "here"}


@pytest.mark.parametrize("base", ["LokyBackend", "MultiprocessingBackend"])
def test_files_for_who_wants_batches(tmp_path, base):
    class Derived(getattr(names, base)):
        def submit(self, func, callback=None):
            return super().submit(func, callback)

    array = np.zeros(100)
    for return_as in ("list", "generator"):
        parallel = Parallel(n_jobs=2, backend=Derived(), temp_folder=str(tmp_path), max_nbytes=1, return_as=return_as)
        assert len(set(parallel(delayed(tasks.file_of)(array) for _ in range(9)))) == 1
        assert os.listdir(tmp_path) == []


def test_files_go_also_when_the_program_is_killed(tmp_path):
    code = f"""
import os, numpy as np
from manyhands.compat.joblib import Parallel, delayed
with Parallel(n_jobs=2, temp_folder={str(tmp_path)!r}, max_nbytes=1) as parallel:
    parallel(delayed(np.sum)(np.zeros(9)) for _ in range(2))
    assert os.listdir({str(tmp_path)!r})
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=50, check=False).returncode == -9
    waiting.until(lambda: not os.listdir(tmp_path))


# ------------------------------------------------------------ in joblib's place


def test_in_the_place_of_joblib():
    theirs, their_module = joblib.Parallel, joblib.parallel
    compat.install("joblib")
    try:
        assert joblib.Parallel is Parallel
        assert joblib.parallel is names
        from joblib.parallel import BatchCompletionCallBack
        from joblib.parallel import Parallel as imported

        assert (imported, BatchCompletionCallBack) == (Parallel, names.BatchCompletionCallBack)
        assert joblib.Memory.__module__ == "manyhands.compat.joblib.memory"
        assert joblib.dump is joblib.numpy_pickle.dump
        from joblib.externals.loky import get_reusable_executor

        [pid] = joblib.Parallel(n_jobs=2)([joblib.delayed(tasks.pid)()])
        get_reusable_executor().shutdown(wait=True)
        waiting.until(lambda: waiting.gone(pid))
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(tasks.square)(i) for i in range(3)) == [0, 1, 4]
    finally:
        compat.uninstall("joblib")
    assert (joblib.Parallel, joblib.parallel, sys.modules["joblib.parallel"]) == (theirs, their_module, their_module)


def test_in_workers_as_well():
    ran = scripts.run("""
        import manyhands.compat
        manyhands.compat.install("joblib")
        import joblib, os

        def within():
            import joblib
            pids = joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(3))
            return joblib.Parallel.__module__, {os.getpid()} == set(pids)

        for backend in ("loky", "threading"):
            print(joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(within)() for _ in range(2)))
        """)
    assert ran.stdout == "[('manyhands.compat.joblib.parallel', True), ('manyhands.compat.joblib.parallel', True)]\n" * 2, ran.stderr
