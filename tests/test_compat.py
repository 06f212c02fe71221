"""The names of other libraries, and manyhands in their place."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.pool
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool

import loky
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands import compat
from manyhands.compat import concurrent_futures as futures_of_ours
from manyhands.compat import loky as loky_of_ours
from manyhands.compat import multiprocessing as multiprocessing_of_ours


@pytest.fixture(params=["concurrent.futures", "multiprocessing", "loky"])
def installed(request):
    compat.install(request.param)
    yield request.param
    compat.uninstall(request.param)


def test_in_the_place_of(installed):
    theirs = {
        "concurrent.futures": lambda: concurrent.futures.ProcessPoolExecutor,
        "multiprocessing": lambda: multiprocessing.Pool,
        "loky": lambda: loky.get_reusable_executor,
    }[installed]
    assert theirs().__module__.startswith("manyhands.")
    compat.install(installed)  # once more changes nothing
    compat.uninstall(installed)
    assert not theirs().__module__.startswith("manyhands.")
    compat.install(installed)


def said(code):
    done = scripts.run(code)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


def test_what_was_imported_from_joblib_before_works_on():
    code = """
        import joblib
        from joblib import Parallel, delayed, parallel_config
        from manyhands import compat
        def negative(x):
            return -x
        compat.install("joblib")
        print(joblib.Parallel.__module__.startswith("manyhands"))
        for kind in (Parallel, joblib.Parallel):
            for noted in (delayed, joblib.delayed):
                print(kind(2)(noted(negative)(i) for i in range(3)))
        with parallel_config("threading", n_jobs=2):
            print(Parallel()(delayed(negative)(i) for i in range(3)))
        compat.uninstall("joblib")
        print(joblib.Parallel is Parallel, Parallel.__module__)
        print(Parallel(2)(delayed(negative)(i) for i in range(3)))
    """
    assert said(code) == ["True", *["[0, -1, -2]"] * 5, "True joblib.parallel", "[0, -1, -2]"]


def test_what_was_imported_from_multiprocessing_before_works_on():
    code = """
        import multiprocessing.pool
        from multiprocessing.pool import Pool, ThreadPool
        from manyhands import compat
        for change in (compat.install, compat.uninstall):
            change("multiprocessing")
            for kind in (Pool, ThreadPool):
                with kind(2) as pool:
                    print(pool.map(abs, [-1, -2]), multiprocessing.pool.ThreadPool is ThreadPool)
                    pool.close()
                    pool.join()
    """
    assert said(code) == ["[1, 2] False"] * 2 + ["[1, 2] True"] * 2


def test_what_was_imported_from_loky_before_raises_what_it_raised():
    code = """
        import os
        from loky import get_reusable_executor
        from loky.process_executor import TerminatedWorkerError
        from manyhands import compat
        for change in (compat.install, compat.uninstall):
            change("loky")
            try:
                get_reusable_executor(1).submit(os._exit, 1).result()
            except TerminatedWorkerError as error:
                print(type(error) is TerminatedWorkerError)
            get_reusable_executor(1, kill_workers=True, reuse=False).shutdown(kill_workers=True)
    """
    assert said(code) == ["True", "True"]


@pytest.mark.parametrize("library", ["loky", "joblib"])
def test_the_errors_of_loky_catch_the_death_of_a_worker(library):
    code = """
        import os, joblib, loky, loky.process_executor
        from joblib.externals import loky as inner
        from manyhands import compat
        compat.install("LIBRARY")
        place = loky if "LIBRARY" == "loky" else inner
        for error in (place.BrokenProcessPool, place.process_executor.BrokenProcessPool, place.process_executor.TerminatedWorkerError):
            try:
                if "LIBRARY" == "loky":
                    loky.get_reusable_executor(1).submit(os._exit, 1).result()
                else:
                    joblib.Parallel(2)(joblib.delayed(os._exit)(1) for _ in range(2))
            except error as caught:
                print(type(caught).__name__)
        compat.uninstall("LIBRARY")
        print(place.process_executor.TerminatedWorkerError.__name__)
    """
    assert said(code.replace("LIBRARY", library)) == ["WorkerDied"] * 3 + ["TerminatedWorkerError"]


def test_its_names_are_loaded_when_they_are_used():
    assert {"install", "uninstall"} <= set(dir(compat))
    with pytest.raises(AttributeError, match="instal'"):
        compat.instal  # noqa: B018


DYING = {
    "compat.loky": """
        from manyhands.compat.loky import get_reusable_executor
        call = lambda: get_reusable_executor(1).submit(os._exit, 1).result()
    """,
    "compat.joblib": """
        from manyhands.compat.joblib import Parallel, delayed
        call = lambda: Parallel(2)(delayed(os._exit)(1) for _ in range(2))
    """,
    "register_joblib": """
        manyhands.register_joblib()
        call = lambda: joblib.Parallel(2, backend="manyhands")(joblib.delayed(os._exit)(1) for _ in range(2))
    """,
    "install": """
        manyhands.compat.install("joblib")
        call = lambda: joblib.Parallel(2)(joblib.delayed(os._exit)(1) for _ in range(2))
    """,
}


@pytest.mark.parametrize("face", DYING)
def test_the_death_of_a_worker_is_caught_as_lokys_error(face):
    imports = """
        import os, pickle, joblib, loky, manyhands, manyhands.compat
        from loky.process_executor import BrokenProcessPool, TerminatedWorkerError
        from joblib.externals.loky.process_executor import TerminatedWorkerError as Inner
    """
    catching = """
        for kind in (TerminatedWorkerError, BrokenProcessPool, Inner, manyhands.WorkerDied):
            try:
                call()
            except kind as error:
                again = pickle.loads(pickle.dumps(error))
                print(type(again) is type(error), str(again) == str(error), type(error).__module__, type(error).__name__)
    """
    assert said(imports + DYING[face] + catching) == ["True True manyhands.errors WorkerDied"] * 4


def test_that_error_travels_between_processes_with_loky_and_without():
    code = """
        import sys, manyhands
        from joblib.externals.loky.process_executor import TerminatedWorkerError
        def there_and_back(error):
            return error, type(error) is manyhands.WorkerDied, "joblib" in sys.modules
        error = manyhands.WorkerDied("it has ended", pid=3, exit_code=1)
        ((again, is_plain, has_joblib),) = manyhands.map(there_and_back, [error])
        print(isinstance(again, TerminatedWorkerError), again.exit_code, is_plain != has_joblib)
    """
    assert said(code) == ["True 1 True"]


def test_a_library_that_is_not_known():
    with pytest.raises(ValueError, match="is one of"):
        compat.install("numpy")


def test_the_names_of_concurrent_futures():
    for name in concurrent.futures.__all__:
        if name != "InterpreterPoolExecutor":
            assert hasattr(futures_of_ours, name), name
    with futures_of_ours.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]
        assert isinstance(executor, concurrent.futures.Executor)
        [(pid, worker)] = list(executor._processes.items())[:1]
        assert worker.is_alive()
        worker.terminate()
        worker.join(20)
        assert not worker.is_alive()
        assert "ended" in repr(worker)
        assert pid == worker.pid
        assert executor.submit(pow, 2, 5).result() == 32


def test_the_names_of_multiprocessing():
    assert issubclass(multiprocessing_of_ours.Pool, manyhands.Pool)
    assert multiprocessing_of_ours.ThreadPool is manyhands.ThreadPool
    assert multiprocessing_of_ours.get_context is multiprocessing.get_context
    names = {}
    exec("from manyhands.compat.multiprocessing import *", names)
    assert set(multiprocessing.__all__) < set(names)
    assert names["Pool"] is multiprocessing_of_ours.Pool
    assert names["Process"] is multiprocessing.Process
    with pytest.raises(AttributeError):
        multiprocessing_of_ours.nothing  # noqa: B018


# ------------------------------------------------------------ copies of the program

AS_A_COPY = """
    import multiprocessing, sys
    from concurrent import futures
    multiprocessing.set_start_method("fork")
    {imports}
    sys.path.insert(0, {folder!r})
    import gatherer
    gatherer.gathered.append("before")
    counter, lock, queue = multiprocessing.Value("i", 0), multiprocessing.Lock(), multiprocessing.SimpleQueue()
    def work(i):
        with lock:
            counter.value += i
        queue.put(i)
        return i
    with {pool} as pool:
        gatherer.gathered.append("after")
        print(list(pool.map(gatherer.look, range(2))))
        print(list(pool.map(work, range(4))), counter.value, sorted(queue.get() for _ in range(4)))
"""
# What is gathered when the pool is there is not seen by Pool, whose workers are; by an executor it is, as long as nothing was submitted.
POOLS = {
    "multiprocessing": ("multiprocessing.Pool(2)", ["before"]),
    "concurrent.futures": ("futures.ProcessPoolExecutor(2)", ["before", "after"]),
}


def as_a_copy(folder, imports, pool):
    (folder / "gatherer.py").write_text("gathered = []\ndef look(_):\n    return list(gathered)\n")
    return said(AS_A_COPY.format(imports=imports, pool=pool, folder=str(folder)))


@pytest.mark.parametrize("library", POOLS)
def test_where_multiprocessing_forks_workers_have_what_the_program_has(library, tmp_path):
    pool, seen = POOLS[library]
    lines = as_a_copy(tmp_path, f"from manyhands import compat; compat.install({library!r})", pool)
    assert lines == [f"[{seen}, {seen}]", "[0, 1, 2, 3] 6 [0, 1, 2, 3]"]


def test_a_fork_that_the_executor_was_asked_for_has_it_as_well(tmp_path):
    seen, worked = as_a_copy(tmp_path, "import manyhands", "manyhands.Executor(2, start_method='fork')")
    assert (seen, worked) == ("[['before', 'after'], ['before', 'after']]", "[0, 1, 2, 3] 6 [0, 1, 2, 3]")


@pytest.mark.parametrize("library", POOLS)
@pytest.mark.parametrize("chosen", ["manyhands.options(start_method='zygote')", "contextlib.nullcontext()"])
def test_where_another_start_method_is_chosen_they_are_clean_processes(library, chosen):
    code = f"""
        import contextlib, multiprocessing, os
        from concurrent import futures
        import manyhands
        from manyhands import compat
        compat.install({library!r})
        if {chosen.startswith("contextlib")}:
            multiprocessing.set_start_method("forkserver")
        os.mark_of_the_program = True
        def marked(_):
            return hasattr(os, "mark_of_the_program")
        with {chosen}, {POOLS[library][0]} as pool:
            print(list(pool.map(marked, range(2))))
    """
    assert said(code) == ["[False, False]"]


def test_forked_workers_are_started_together():
    with manyhands.Executor(3, start_method="fork") as executor:
        executor.submit(abs, -1).result()
        waiting.until(lambda: len(executor.worker_pids()) == 3)


def test_workers_that_are_started_before_there_is_work():
    with manyhands.Executor(2) as executor:
        executor.start_workers()
        waiting.until(lambda: len(executor.worker_pids()) == 2)
        pids = executor.worker_pids()
        assert set(executor.map(tasks.pid, range(8))) <= set(pids)
    with pytest.raises(manyhands.PoolClosed):
        executor.start_workers()


# ------------------------------------------------------------ strict


def test_a_strict_executor_stays_broken():
    with manyhands.Executor(2, strict=True) as executor:
        running, waiting = executor.submit(time.sleep, 60), [executor.submit(pow, n, 2) for n in range(100)]
        killed = executor.submit(os.kill, executor.await_worker(running, time.monotonic() + 20), signal.SIGKILL)
        for future in (running, killed, *waiting):
            error = future.exception(20)
            assert error is None or isinstance(error, BrokenProcessPool)
        assert isinstance(running.exception(), BrokenProcessPool)
        with pytest.raises(BrokenProcessPool, match="is strict"):
            executor.submit(pow, 2, 2)
        with pytest.raises(BrokenProcessPool):
            executor.map(pow, [1], [2])


def test_a_strict_executor_is_broken_by_a_map():
    with manyhands.Executor(1, strict=True) as executor:
        with pytest.raises(BrokenProcessPool):
            list(executor.map(os._exit, [3] * 4, chunksize=2))
        with pytest.raises(BrokenProcessPool):
            executor.submit(pow, 2, 2)


def test_one_that_is_not_strict_goes_on():
    with manyhands.Executor(1) as executor:
        assert isinstance(executor.submit(os._exit, 3).exception(), BrokenProcessPool)
        assert executor.submit(pow, 2, 2).result() == 4


# ------------------------------------------------------------ loky


@pytest.fixture
def reusable():
    yield loky_of_ours.get_reusable_executor
    loky_of_ours.get_reusable_executor(max_workers=1, reuse=False).shutdown()


def test_the_executor_is_used_again(reusable):
    first = reusable(max_workers=2)
    assert first.submit(pow, 2, 3).result() == 8
    assert reusable(max_workers=1) is first
    assert reusable() is first
    assert reusable(max_workers=2, timeout=5) is not first
    with pytest.raises(manyhands.PoolClosed):
        first.submit(pow, 2, 3)
    second = reusable(max_workers=2, timeout=5)
    assert reusable(max_workers=2, timeout=7, reuse=True) is second
    second.shutdown()
    assert reusable(max_workers=2, timeout=5).submit(pow, 2, 3).result() == 8
    assert isinstance(reusable().submit(os._exit, 2).exception(), loky_of_ours.BrokenProcessPool)
    assert reusable().submit(pow, 2, 3).result() == 8


def set_up(value):
    os.environ["SET_UP"] = value + os.environ.get("GIVEN", "")


def test_its_workers_are_set_up(reusable):
    executor = reusable(max_workers=1, initializer=set_up, initargs=("x",), env={"GIVEN": "y"}, kill_workers=True)
    assert executor.submit(os.getenv, "SET_UP").result() == "xy"
    with pytest.raises(NotImplementedError, match="register_reducer"):
        reusable(job_reducers={int: None})
    with pytest.raises(ValueError, match="max_workers"):
        reusable(max_workers=0)


def test_an_executor_with_the_parameters_of_loky():
    executor = loky_of_ours.ProcessPoolExecutor(2, None, None, 10, "loky", set_up, ("x",), {"GIVEN": "y"})
    assert executor.submit(os.getenv, "SET_UP").result() == "xy"
    running = executor.submit(time.sleep, 60)
    waiting.until(running.running)
    executor.shutdown(kill_workers=True)
    assert isinstance(running.exception(), loky_of_ours.BrokenProcessPool)
    with loky_of_ours.ProcessPoolExecutor(max_workers=1) as executor:
        assert executor.submit(pow, 2, 2).result() == 4
    with pytest.raises(NotImplementedError, match="register_reducer"):
        loky_of_ours.ProcessPoolExecutor(result_reducers={int: None})


@pytest.mark.parametrize("name", loky.__all__)
def test_every_name_of_loky_is_there(name):
    assert name in loky_of_ours.__all__
    assert getattr(loky_of_ours, name) is not None


def test_results_of_a_map_are_kept_by_nobody_else():
    import gc
    import weakref

    class Made:
        pass

    with manyhands.Executor(1) as executor:
        for made in executor.map(lambda _: Made(), range(3)):
            reference = weakref.ref(made)
            del made
            gc.collect()
            assert reference() is None


def fail_to_set_up():
    raise ValueError("not today")


def test_an_initializer_that_raises_breaks_what_bears_the_name_of_the_standard_library():
    executor = futures_of_ours.ProcessPoolExecutor(1, initializer=fail_to_set_up)
    with pytest.raises(BrokenProcessPool, match="not today"):
        executor.submit(abs, 1).result()
    with pytest.raises(BrokenProcessPool, match=r"not today.*nothing else can be run"):
        executor.submit(abs, 1)
    executor.shutdown()
    with manyhands.Executor(1, initializer=fail_to_set_up) as executor:
        for _ in range(2):
            with pytest.raises(manyhands.WorkerDied, match="not today") as caught:
                executor.submit(abs, 1).result()
            assert caught.value.in_setup


def test_processors_as_loky_counts_them():
    code = """
        import loky, manyhands
        from manyhands import compat
        before = loky.cpu_count(only_physical_cores=True)
        compat.install("loky")
        print(loky.cpu_count() == manyhands.cpu_count(), loky.cpu_count(only_physical_cores=True) == before, loky.cpu_count(True) == before)
    """
    assert said(code) == ["True True True"]
