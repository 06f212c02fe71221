"""Arrays that all processes write to: the same memory everywhere, a lock that dies with its holder, and nothing left behind."""

from __future__ import annotations

import copy
import gc
import os
import signal
import sys
import threading

import numpy as np
import pytest
import scripts
from test_large_data import segments

import manyhands
from manyhands import Parallel, delayed


def put(array, index, value):
    array[index] = value


def same(x):
    return x


def count(array, times):
    for _ in range(times):
        with array.lock:
            array[0] += 1


def test_an_argument_is_the_very_array():
    array = manyhands.shared_array((4, 3))
    manyhands.map(put, [array] * 4, range(4), [1.5, 2.5, 3.5, 4.5])
    assert array[:, 0].tolist() == array[:, 2].tolist() == [1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_so_is_what_a_function_holds(start_method):
    array = manyhands.shared_array(5, int)

    def square(i):
        array[i] = i * i

    with manyhands.options(start_method=start_method):
        manyhands.map(square, range(5))
        manyhands.map(lambda i: put(array, i, array[i] + 1), range(5))
    assert array.tolist() == [1, 2, 5, 10, 17]


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_on_each_backend(backend):
    array = manyhands.shared_array(3)
    manyhands.map(put, [array] * 3, range(3), [7, 8, 9], backend=backend)
    Parallel(n_jobs=2, backend=backend)(delayed(put)(array, i, array[i] + 1) for i in range(3))
    assert array.tolist() == [8, 9, 10]


PARTS = {
    "a slice": lambda a: a[2:5],
    "a column": lambda a: a[:, 1],
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1, ::2],
    "another shape": lambda a: a.reshape(-1)[3:],
    "another type": lambda a: a.view("i8"),
    "nothing of it": lambda a: a[:0],
}


def test_parts_of_it_travel_as_parts_of_it():
    with manyhands.Executor(1) as executor:
        for name, take in PARTS.items():
            whole = manyhands.share_array(np.arange(40.0).reshape(10, 4))
            part = take(whole)
            got = executor.submit(same, part).result()
            assert (got.shape, got.strides, got.dtype, type(got)) == (part.shape, part.strides, part.dtype, type(part)), name
            assert np.array_equal(got, part), name
            executor.submit(lambda given: given.fill(-1), part).result()
            assert (part == -1).all(), name
            assert np.count_nonzero(np.asarray(whole).view("i8") == -1) + np.count_nonzero(whole == -1) == part.size, name


@pytest.mark.parametrize("shape", [(), 0, 1, 100_000])
def test_kinds_and_sizes(shape):
    for dtype in ("bool", "u1", ">i4", "c16", "M8[s]", "U7", [("a", "i4"), ("b", "f8", 2)]):
        array = manyhands.shared_array(shape, dtype)
        assert (array.dtype, array.size) == (np.dtype(dtype), np.zeros(shape).size)
        assert np.array_equal(np.asarray(array), np.zeros(shape, dtype))
        got = manyhands.map(same, [[array]], workers=1)[0][0]
        assert np.shares_memory(got, array) or not array.size
        copied = manyhands.share_array(np.asarray(array))
        assert np.array_equal(copied, array)
        assert not np.shares_memory(copied, array)


def test_results_and_futures_bring_the_very_array():
    array = manyhands.shared_array(4)

    def note(given):
        given[1] = 5
        return {"rest": given[1:], "own": given + 1}

    with manyhands.Executor(1) as executor:
        got = executor.submit(note, array).result()
    got["rest"][1] = 6
    got["own"][0] = 99
    assert array.tolist() == [0, 5, 6, 0]
    assert type(got["own"]) is np.ndarray


def test_one_that_a_worker_makes():
    def make(i):
        made = manyhands.shared_array(3)
        made[0] = i
        return made

    with manyhands.Executor(1) as executor:
        made = executor.submit(make, 7).result()
        executor.submit(put, made, 1, 8).result()
    assert made.tolist() == [7, 8, 0]


def test_workers_of_workers_have_it():
    array = manyhands.shared_array(4)

    def inner(given):
        manyhands.map(put, [given] * 4, range(4), [1, 2, 3, 4], timeout=30)  # with a time-out it gets processes of its own

    manyhands.map(inner, [array])
    assert array.tolist() == [1, 2, 3, 4]


def test_one_of_a_module_is_not_made_anew_in_workers(tmp_path):
    (tmp_path / "app.py").write_text(
        "import manyhands\n"
        "sums = manyhands.shared_array(3, int)\n"
        "def work(i):\n    sums[i] += i\n"
        "class Worker:\n    def work(self, i):\n        sums[i] += 10 * i\n"
        "def outer(k):\n    def inner(i):\n        sums[i] += k\n    return inner\n"
    )
    code = f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.dont_write_bytecode = True
        import app, manyhands
        def call(i):
            app.work(i)
        def direct(i):
            app.sums[i] += 1000
        for function in (app.work, app.Worker().work, app.outer(100), call, direct):
            manyhands.map(function, range(3))
            print(*app.sums)
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["0 1 2", "0 11 22", "100 111 122", "100 112 124", "1100 1112 1124"], done.stderr


def test_what_is_computed_from_it_is_an_array_of_its_own():
    array = manyhands.share_array([3, 1, 2])
    for made in (array + 1, -array, np.sort(array), array[[0, 2]], array[array > 1], array.copy(), copy.copy(array), copy.deepcopy(array)):
        assert type(made) is np.ndarray or not np.shares_memory(made, array)
        made[...] = 0
    assert array.tolist() == [3, 1, 2]
    assert type(array.sum()) is type(np.sum(np.zeros(1, int)))
    assert type(array[0]) is type(array.max())
    array += 1
    np.multiply(array, 2, out=array)
    assert array.tolist() == [8, 4, 6]
    with pytest.raises(ValueError, match="not shared itself"):
        _ = np.empty_like(array).lock


def test_the_lock_makes_changes_one_after_the_other():
    array = manyhands.shared_array(1, int)
    with manyhands.Executor(2) as executor:
        for future in [executor.submit(count, array, 500) for _ in range(4)]:
            future.result()
    threads = [threading.Thread(target=count, args=(array, 500)) for _ in range(3)]
    for thread in threads:
        thread.start()
    manyhands.map(count, [array] * 2, [500] * 2)
    for thread in threads:
        thread.join()
    assert array[0] == 9 * 500


def try_lock(array):
    taken = array.lock.acquire(blocking=False)
    if taken:
        array.lock.release()
    return taken


def test_who_holds_the_lock_keeps_others_out_and_may_take_it_again():
    array = manyhands.shared_array(1)
    with manyhands.Executor(1) as executor:
        with array.lock, array[0:1].lock, array.lock:
            assert executor.submit(try_lock, array).result() is False
            assert executor.submit(lambda lock: lock.acquire(blocking=False), array.lock).result() is False
            elsewhere = []
            thread = threading.Thread(target=lambda: elsewhere.append(try_lock(array)))
            thread.start()
            thread.join()
            assert elsewhere == [False]
        assert executor.submit(try_lock, array).result() is True
    with pytest.raises(RuntimeError, match="does not hold"):
        array.lock.release()


def test_the_lock_of_who_dies_is_free():
    array = manyhands.shared_array(1, int)

    def die(given):
        given.lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    with manyhands.Executor(1) as executor:
        assert isinstance(executor.submit(die, array).exception(), manyhands.WorkerDied)
        with array.lock:
            array[0] += 1
        executor.submit(count, array, 1).result()
    assert array[0] == 2


def test_a_fork_does_not_hold_the_lock():
    array = manyhands.shared_array(2, int)
    told, tell = os.pipe()
    with array.lock:
        child = os.fork()
        if not child:
            os.read(told, 1)
            array[1] = try_lock(array)
            os._exit(0)
        array[0] = 1
    with array.lock:
        os.write(tell, b"x")
        os.waitpid(child, 0)
    os.close(told)
    os.close(tell)
    assert array.tolist() == [1, 0]


def test_nothing_is_left():
    gc.collect()
    before = segments()
    array = manyhands.shared_array(100_000)
    with manyhands.Executor(1) as executor:
        got = executor.submit(same, array).result()
        executor.submit(put, array, 0, 1).result()
        part = got[5:]
        del array, got
        assert part.lock.acquire()
        part.lock.release()
        part[0] = 1
    del part
    gc.collect()
    assert segments() == before


def test_what_is_wrong_is_said():
    for shape, error in ((-1, ValueError), ((3, -1), ValueError), ("ab", TypeError), (2.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match="shape is"):
            manyhands.shared_array(shape)
    with pytest.raises(ValueError, match="objects live in one process"):
        manyhands.shared_array(3, object)
    with pytest.raises(MemoryError, match="no room for 80,000,000,000,0"):
        manyhands.shared_array(10**13)
    with pytest.raises(manyhands.NotSerializable, match=r"70 arrays or sockets in one task .* at most 63 shared arrays"):
        manyhands.map(same, [[manyhands.shared_array(5000) for _ in range(70)]])

    class Holds(Exception):
        pass

    def fail(array):
        raise Holds(array)

    (failed,) = manyhands.map(fail, [manyhands.shared_array(1)], errors="return")
    assert "Holds" in str(type(failed.error)) + str(failed.error)


def test_many_in_one_message():
    arrays = [manyhands.shared_array(5000) for _ in range(60)]

    def fill(given, others):
        for number, array in enumerate(given):
            array[0] = number + float(others[0].max())

    manyhands.map(fill, [arrays], [[np.ones(300_000) for _ in range(10)]])
    assert [float(array[0]) for array in arrays] == list(range(1, 61))


def test_many_parts_of_one_in_a_message():
    array = manyhands.shared_array(200)
    manyhands.map(lambda parts: [part.fill(i) for i, part in enumerate(parts)], [[array[i : i + 1] for i in range(200)]])
    assert array.tolist() == list(range(200))


def test_it_weighs_nothing(recwarn):
    array = manyhands.shared_array(2_000_000)
    assert manyhands.explain(lambda: array).size < 2000
    manyhands.map(lambda i: array[i], range(2))
    assert not recwarn.list


def test_functions_that_hold_one_do_not_pile_up():
    before = len(segments())

    def hold(array):
        return lambda i: array[i]

    with manyhands.Executor(1) as executor:
        for _ in range(60):
            executor.submit(hold(manyhands.shared_array(5)), 0).result()
        gc.collect()
        assert len(segments()) - before < 30


def write_to(array):
    array[0] = 1


def test_readonly_arrives_read_only():
    array = np.zeros(300_000)
    for given in (array, array[:10], array[::2], manyhands.share_array(array)):
        (failed,) = manyhands.map(write_to, [manyhands.readonly(given)], errors="return")
        assert "read-only" in str(failed.error)
        assert manyhands.map(write_to, [given]) == [None]
    array[0] = 2
    assert manyhands.map(lambda given: float(given[0]), [manyhands.readonly(array)]) == [2.0]
    with pytest.raises(TypeError, match=r"array is list; readonly\(\) takes"):
        manyhands.readonly([1])


def test_numpy_is_not_loaded_before_it_is_used():
    code = "import manyhands, sys; manyhands.shared_array, manyhands.readonly; print('numpy' in sys.modules); print(len(sys.modules))"
    assert scripts.run(code).stdout.splitlines()[0] == "False"
    assert "numpy" in sys.modules


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_an_initializer_is_given_it(start_method):
    """As with multiprocessing, where that is the only way."""
    array, table = manyhands.shared_array(4), np.arange(400_000.0)

    def keep(*given):
        sys.kept = given

    def use(i):
        array, table = sys.kept
        array[i] = table[i] + 1
        table[i] = 100  # each worker's own

    with manyhands.Executor(2, initializer=keep, initargs=(array, table), start_method=start_method) as executor:
        list(executor.map(use, range(4)))
        executor.kill_workers()
    assert array.tolist() == [1, 2, 3, 4]
    assert table[0] == 0
