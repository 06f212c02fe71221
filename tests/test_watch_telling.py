"""What a watched program tells of its calls, tasks, workers, failures, caches and shared objects."""

from __future__ import annotations

import json

import observed
import pytest


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def start_method(request):
    return request.param


def test_calls_and_tasks_are_told(tmp_path):
    code = """
    import time, manyhands

    def work(n):
        time.sleep(0.02)
        return n

    def quick(n):
        return n

    manyhands.map(work, range(20), workers=2)
    manyhands.map(quick, range(3000), workers=2, chunk=1)
    """
    told = observed.ended(tmp_path, code)
    assert (told["state"], told["done"], told["failed"], told["total"]) == ("done", 3020, 0, 3020)
    slow, fast = told["calls"]
    assert (slow["function"], slow["done"], slow["workers"], slow["backend"], slow["is_over"]) == ("work", 20, 2, "processes", True)
    assert (fast["function"], fast["done"], fast["total"]) == ("quick", 3000, 3000)
    lanes = [lane for lane in told["lanes"] if lane["role"] == "worker"]
    assert sum(lane["tasks"] for lane in lanes) == 3020
    assert all(lane["tasks"] for lane in lanes)
    assert not any(lane["died"] or lane["how"] for lane in lanes)


def test_pools_of_multiprocessing_are_told(tmp_path, start_method):
    code = f"""
    import multiprocessing, time

    def work(n):
        time.sleep(0.005)
        if n == 7:
            raise ValueError(f"not {{n}}")
        return n

    def quick(n):
        return n

    if __name__ == "__main__":
        with multiprocessing.get_context("{start_method}").Pool(2) as pool:
            print(sum(pool.map(quick, range(1000), chunksize=50)))
            results = [pool.apply_async(work, (n,)) for n in range(20)]
            for result in results:
                result.wait()
            pool.close()
            pool.join()
    """
    told = observed.ended(tmp_path, code, plain=True)
    assert (told["done"], told["failed"], told["total"]) == (1020, 1, 1020)
    workers = [lane for lane in told["lanes"] if lane["role"] == "process"]
    assert sum(lane["tasks"] for lane in workers) == 1020
    assert len(workers) == 2
    assert not any(lane["died"] for lane in workers)
    assert all("PoolWorker" in lane["name"] for lane in workers)
    (error,) = told["errors"]
    assert (error["kind"], error["message"], error["function"], error["count"]) == ("ValueError", "not 7", "work", 1)
    assert "in work" in error["traceback"]


def test_executors_of_the_standard_library_are_told(tmp_path, start_method):
    code = f"""
    import multiprocessing, time
    from concurrent.futures import ProcessPoolExecutor

    def work(n):
        time.sleep(0.005)
        if n == 7:
            raise ValueError(f"not {{n}}")
        return n

    def quick(n):
        return n

    if __name__ == "__main__":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{start_method}")) as executor:
            print(sum(executor.map(quick, range(1000), chunksize=50)))
            futures = [executor.submit(work, n) for n in range(20)]
    """
    told = observed.ended(tmp_path, code, plain=True)
    assert (told["done"], told["failed"], told["total"]) == (1020, 1, 1020)
    assert sum(lane["tasks"] for lane in told["lanes"] if lane["role"] == "process") == 1020
    (error,) = told["errors"]
    assert (error["kind"], error["function"], error["count"]) == ("ValueError", "work", 1)
    assert "in work" in error["traceback"]


def test_tasks_of_the_standard_librarys_pools_are_numbered_as_they_were_submitted(tmp_path):
    code = """
    import functools, multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait

    def work(how, n):
        if n in (3, 14):
            raise ValueError(how)

    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in [pool.apply_async(work, ("applied", n)) for n in range(20)]:
            result.wait()
        for how, size in (("mapped", 1), ("mapped in parts", 7)):
            pool.map_async(functools.partial(work, how), range(20), chunksize=size).wait()
        pool.close()
        pool.join()
    for kind in (ProcessPoolExecutor, ThreadPoolExecutor):
        with kind(2) as executor:
            wait([executor.submit(work, kind.__name__, n) for n in range(20)])
    """
    told = observed.ended(tmp_path, code, plain=True)
    numbers = {error["message"]: sorted(error["tasks"]) for error in told["errors"]}
    each = {key: [3, 14] for key in ("applied", "mapped", "ProcessPoolExecutor", "ThreadPoolExecutor")}
    expected = each | {"mapped in parts": [0, 14]}  # a part ends with its first error, and is told by its first number
    assert numbers == {key: expected[key] for key in numbers}
    assert len(numbers) >= len(expected) - 1  # what a process has to tell in its last moments may be missed on a busy machine


def test_threads_of_the_standard_library_are_told(tmp_path):
    code = """
    import time
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    def work(n):
        time.sleep(0.01)

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(work, range(10)))
    with ThreadPool(2) as pool:
        pool.map(work, range(10), chunksize=1)
    """
    told = observed.ended(tmp_path, code, plain=True)
    assert (told["done"], told["total"]) == (20, 20)
    threads = [lane for lane in told["lanes"] if lane["role"] == "thread"]
    assert sum(lane["tasks"] for lane in threads) == 20


def test_caches_are_told(tmp_path):
    code = """
    import time, manyhands

    memory = manyhands.Memory("store")

    @memory.cache
    def slow(n):
        time.sleep(0.05)
        return n

    def task(n):
        return slow(n % 2)

    manyhands.map(task, range(6), workers=2, chunk=1)
    slow(0)
    """
    told = observed.ended(tmp_path, code)
    (cache,) = told["cache"]
    assert cache["function"].endswith("slow")
    assert (cache["hits"], cache["misses"]) == (5, 2)
    assert cache["saved"] == pytest.approx(5 * 0.05, rel=0.5)
    assert cache["taken"] >= 2 * 0.05
    assert told["cached"] == 5


def test_shared_objects_are_told(tmp_path):
    code = """
    import time, manyhands

    class Counter:
        def __init__(self):
            self.n = 0

        def add(self):
            self.n += 1

    shared = manyhands.share(Counter())
    with manyhands.Executor(1) as executor:
        executor.submit(abs, 1).result()
        with manyhands.lock(shared):
            future = executor.submit(lambda: shared.add())
            while not future.running():
                time.sleep(0.01)
            time.sleep(0.3)
    print(shared.n)
    """
    told = observed.ended(tmp_path, code)
    (shared,) = told["shared"]
    assert shared["object"].startswith("Counter")
    assert shared["calls"] >= 2
    assert shared["waits"] == 1
    assert 0.05 < shared["waited"] < 5


def lanes(told, role):
    return [lane for lane in told["lanes"] if lane["role"] == role]


def test_what_executors_are_given_is_a_call(tmp_path):
    code = """
    import time, manyhands

    with manyhands.Executor(2) as executor:
        futures = [executor.submit(pow, 2, n) for n in range(500)]
        futures += [executor.submit(time.sleep, 0.02) for n in range(4)]
    """
    told = observed.ended(tmp_path, code)
    (call,) = told["calls"]
    assert (call["done"], call["failed"], call["workers"], call["backend"]) == (504, 0, 2, "processes")
    assert told["total"] == 504
    assert sum(lane["tasks"] for lane in lanes(told, "worker")) == 504
    assert {lane["function"] for lane in lanes(told, "worker") if lane["tasks"]} <= {"pow", "sleep"}


def test_threads_that_run_tasks_have_lanes_which_later_calls_use_as_well(tmp_path):
    code = """
    import time, manyhands

    for _ in range(3):
        manyhands.map(time.sleep, [0.05] * 4, workers=2, backend="threads")
    manyhands.map(time.sleep, [0.05] * 2, backend="sequential")
    """
    told = observed.ended(tmp_path, code)
    assert [call["backend"] for call in told["calls"]] == ["threads"] * 3 + ["sequential"]
    assert told["done"] == 14
    threads = lanes(told, "thread")
    assert (len(threads), sum(lane["tasks"] for lane in threads)) == (2, 12)
    (program,) = lanes(told, "program")
    assert program["tasks"] == 2


def test_where_very_many_tasks_end_they_are_told_together_and_none_is_lost(tmp_path):
    code = """
    import time, manyhands

    manyhands.map(time.sleep, [0.002] * 3000, workers=16, chunk=1)
    """
    told = observed.ended(tmp_path, code)
    assert told["done"] == 3000
    assert sum(lane["tasks"] for lane in lanes(told, "worker")) == 3000
    assert told["slowest"]


def test_a_call_of_parallel_is_named_by_its_tasks(tmp_path):
    code = """
    import math
    from manyhands import Parallel, delayed

    Parallel(n_jobs=2)(delayed(math.sqrt)(n) for n in range(50))
    """
    (call,) = observed.ended(tmp_path, code)["calls"]
    assert (call["function"], call["done"]) == ("sqrt", 50)


def test_errors_that_differ_in_numbers_are_one(tmp_path):
    code = """
    import manyhands

    def work(n):
        if n % 3 == 0:
            raise ValueError(f"item {n} at {n:#x} is bad")
        if n == 4:
            raise KeyError("another")
        return n

    manyhands.map(work, range(12), workers=2, errors="return")
    """
    told = observed.ended(tmp_path, code)
    assert told["failed"] == 5
    most, other = told["errors"]
    assert (most["kind"], most["count"], most["function"], sorted(most["tasks"])) == ("ValueError", 4, "work", [0, 3, 6, 9])
    assert most["message"].startswith("item ")
    assert most["traceback"].count("Traceback") == 1
    assert "raise ValueError" in most["traceback"]
    assert (other["kind"], other["count"], other["tasks"]) == ("KeyError", 1, [4])


def test_attempts_that_are_repeated_are_no_failed_tasks(tmp_path):
    code = """
    import os, manyhands

    def work(n):
        if n == 3 and not os.path.exists("there"):
            open("there", "w").close()
            raise ValueError("not yet")

    manyhands.map(work, range(6), workers=2, retries=2)
    """
    told = observed.ended(tmp_path, code)
    assert (told["done"], told["failed"], told["total"]) == (6, 0, 6)
    (error,) = told["errors"]
    assert (error["count"], error["attempts"], error["tasks"]) == (0, 1, [3])


@pytest.mark.parametrize("arguments", [True, False])
def test_arguments_are_shown_when_they_may_be(tmp_path, arguments):
    code = """
    import os, time, manyhands

    class Secret:
        def __repr__(self):
            os._exit(7)  # no code of the user's runs for this

    def work(text, secret, number=0):
        time.sleep(60)

    with manyhands.Executor(1) as executor:
        executor.submit(work, "hello", Secret(), number=[1, 2]).result()
    """

    async def follow(program):
        def task(told):
            return next((lane["task"] for lane in told["lanes"] if lane["task"]), None)

        return await program.until(task), program.now()

    task, told = observed.watching(tmp_path, code, follow, arguments=arguments)
    assert (task["function"], task["number"], task["attempt"]) == ("work", 0, 1)
    assert task["arguments"] == ("'hello', Secret(), number=[1, 2]" if arguments else "")
    assert task["for"] > 0.05
    (worker,) = lanes(told, "worker")
    assert worker["state"] == "busy"


def test_shapes_of_arrays_are_shown(tmp_path):
    pytest.importorskip("numpy")
    code = """
    import time, numpy, manyhands

    manyhands.map(lambda table: time.sleep(60), [numpy.ones((3000, 200))], workers=1)
    """

    async def follow(program):
        return await program.until(lambda told: next((lane["task"] for lane in told["lanes"] if lane["task"]), None))

    assert observed.watching(tmp_path, code, follow, arguments=True)["arguments"] == "array(3000, 200) float64"


def test_a_worker_that_dies_says_how_and_its_arguments_are_not_shown(tmp_path):
    code = """
    import os, manyhands

    def work(text):
        os.abort()

    manyhands.map(work, ["hidden"], workers=1, errors="return")
    """
    told = observed.ended(tmp_path, code)
    (worker,) = lanes(told, "worker")
    assert (worker["died"], worker["state"]) == (True, "gone")
    assert worker["how"].startswith("killed by SIGABRT: ")
    (error,) = told["errors"]
    assert error["kind"] == "WorkerDied"
    assert "task 0: work" in error["message"]
    assert "hidden" not in error["message"]


@pytest.mark.parametrize("arguments", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        "manyhands.map(end, SECRET, workers=1)",  # the program ends by it
        "manyhands.map(outer, [end], workers=1, errors='return')",
        "manyhands.map(outer, [fail], ['threads'], workers=1, errors='return')",
    ],
)
def test_what_errors_of_manyhands_say_of_arguments_is_not_shown(tmp_path, call, arguments):
    code = f"""
    import os, sys, manyhands
    SECRET = [("hid" + "den)\\n", 2)]
    sys.excepthook = print

    def end(text):
        os._exit(3)

    def fail(text):
        raise ValueError("no")

    def outer(function, backend="processes"):
        manyhands.map(function, SECRET, workers=1, backend=backend)

    {call}
    """
    told = json.dumps(observed.ended(tmp_path, code, arguments=arguments))
    assert ("hidden" in told) == arguments
    assert ("fail(...)" in told or "end(...)" in told) != arguments


def test_a_worker_whose_task_is_cancelled_has_not_died(tmp_path):
    code = """
    import time, manyhands

    with manyhands.Executor(1) as executor:
        future = executor.submit(time.sleep, 60)
        while not future.running():
            time.sleep(0.01)
        future.cancel(running=True)
        executor.submit(abs, 1).result()
    """
    told = observed.ended(tmp_path, code)
    worker = lanes(told, "worker")[0]
    assert (worker["died"], worker["how"]) == (False, "stopped: its task was cancelled")


def test_what_a_task_calls_in_turn_is_told(tmp_path):
    code = """
    import manyhands

    def inner(n):
        return n

    def outer(n):
        return sum(manyhands.map(inner, range(10), workers=2))

    manyhands.map(outer, range(2), workers=1, chunk=1)
    """
    told = observed.ended(tmp_path, code)
    assert sorted((call["function"], call["done"]) for call in told["calls"]) == [("inner", 10), ("inner", 10), ("outer", 2)]


def test_children_that_are_forked_tell_of_themselves(tmp_path):
    code = """
    import os, sys, manyhands

    def work(n):
        return n

    manyhands.map(work, range(5), workers=1)
    child = os.fork()
    if not child:
        manyhands.map(work, range(7), workers=1)
        sys.exit()
    os.waitpid(child, 0)
    """
    told = observed.ended(tmp_path, code)
    assert sorted(call["done"] for call in told["calls"]) == [5, 7]


FAILING = """
import manyhands

def work(n):
    if n % 2:
        raise ValueError(f"no {n}")
    return n

manyhands.map(work, range(40), workers=2, chunk=1, errors="return", record_failures="kept")
"""


@pytest.mark.parametrize("may_be_shown", [True, False])
def test_which_inputs_failed_is_told_and_how_to_run_them_again(tmp_path, may_be_shown):
    told = observed.ended(tmp_path, FAILING, arguments=may_be_shown)
    (error,) = told["errors"]
    assert (error["count"], len(error["given"])) == (20, 8)
    for given in error["given"]:
        assert given["call"] == (f"work({given['task']})" if may_be_shown else "")
        assert given["replay"].startswith(f"manyhands replay {tmp_path}/kept/work-{given['task']}-")


def test_which_inputs_failed_is_told_of_pools_of_multiprocessing(tmp_path):
    code = """
    import multiprocessing

    def work(n):
        return 1 // n

    if __name__ == "__main__":
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.apply_async(work, (0,)).wait()
            pool.close()
            pool.join()
    """
    told = observed.ended(tmp_path, code, arguments=True, plain=True)
    assert told["errors"][0]["given"] == [{"task": 0, "call": "work(0)", "replay": ""}]
