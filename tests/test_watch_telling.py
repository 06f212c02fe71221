"""What a watched program tells of its calls, tasks, workers, failures, caches and shared objects."""

from __future__ import annotations

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
    assert told["done"] == 20
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

    class Slow:
        def __init__(self):
            self.n = 0

        def add(self):
            time.sleep(0.02)
            self.n += 1

    def task(shared):
        shared.add()

    shared = manyhands.share(Slow())
    manyhands.map(task, [shared] * 4, workers=2, chunk=1)
    print(shared.n)
    """
    told = observed.ended(tmp_path, code)
    (shared,) = told["shared"]
    assert shared["object"].startswith("Slow")
    assert shared["calls"] >= 4
    assert 1 <= shared["waits"] <= 4
    assert 0.005 < shared["waited"] < 0.5
