"""Large data: there without a copy, writable, and never what it was before or what another task made of it."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal

import numpy as np
import psutil
import pytest
import scripts
import waiting

import manyhands
from manyhands import Parallel, delayed

LARGE = 300_000  # numbers: 2.4 MB


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def segments():
    """Anonymous files that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [name for name in found if "memfd:manyhands" in name]


def same(x):
    return x


def structured(size):
    made = np.zeros(size, dtype=[("a", "i4"), ("b", "f8"), ("c", "S5")])
    made["a"] = np.arange(size)
    return made


class Sub(np.ndarray):
    pass


def read_only(array):
    array.flags.writeable = False
    return array


ARRAYS = {
    **{
        f"of {size}": [np.arange(size).astype(dtype) for dtype in ("u1", "i2", ">i4", "f4", "f8", "c16", "bool", "M8[s]", "U7")]
        for size in (0, 1, 10_000, LARGE)
    },
    "C order": np.arange(LARGE * 2.0).reshape(2, 3, -1),
    "F order": np.asfortranarray(np.arange(LARGE * 2.0).reshape(600, -1)),
    "transposed": np.arange(LARGE * 2.0).reshape(600, -1).T,
    "strided": np.arange(LARGE * 2.0)[::2],
    "backwards": np.arange(LARGE * 1.0)[::-1],
    "a part": np.arange(LARGE * 2.0)[LARGE // 2 : LARGE],
    "broadcast": np.broadcast_to(np.arange(1000.0), (500, 1000)),
    "no dimensions": np.array(5.5),
    "structured": structured(LARGE),
    "objects": np.array([{"a": i} for i in range(1000)], dtype=object),
    "subclass": np.arange(LARGE).view(Sub),
    "masked": np.ma.masked_array(np.arange(LARGE), np.arange(LARGE) % 2),
    "read-only": read_only(np.arange(LARGE)),
    "not aligned": np.frombuffer(bytes(LARGE * 8 + 1), "u1")[1:].view("f8"),
}


def test_arrays_there_and_back():
    for name, made in ARRAYS.items():
        arrays = made if isinstance(made, list) else [made]
        alone = manyhands.map(same, arrays)
        within = [held[0] for held in manyhands.map(same, [[array, {"again": array}] for array in arrays])]
        for array, got in [*zip(arrays, alone, strict=True), *zip(arrays, within, strict=True)]:
            assert (type(got), got.dtype, got.shape) == (type(array), array.dtype, array.shape), name
            assert got.flags.writeable == (array.flags.writeable or name in {"broadcast"} or array.nbytes == 0), name
            assert np.array_equal(got, array), name
            order = got.flags.f_contiguous and not got.flags.c_contiguous
            assert order == (array.flags.f_contiguous and not array.flags.c_contiguous), name


def test_a_mapped_file(tmp_path):
    array = np.memmap(tmp_path / "data", dtype="f8", mode="w+", shape=LARGE)
    array[:] = np.arange(LARGE)
    assert np.array_equal(manyhands.map(same, [array])[0], array)


def frame_of(**columns):
    import pandas as pd  # not above: each worker that is sent a function of this module would import it

    return pd.DataFrame(columns)


def test_frames():
    import pandas as pd

    frame = pd.DataFrame({"a": np.arange(LARGE), "b": np.arange(LARGE) / 2, "c": ["x", "y", "z"] * (LARGE // 3)})
    frame["d"] = pd.Categorical(frame["c"])
    pd.testing.assert_frame_equal(manyhands.map(same, [frame])[0], frame)
    got = manyhands.map(lambda given: given.assign(a=given["a"] + 1), [frame])[0]
    assert got["a"].sum() == frame["a"].sum() + LARGE


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(data), lambda data: [data, data[:10]]])
def test_bytes(kind):
    data = kind(os.urandom(1_000_000))
    assert manyhands.map(same, [(data,)])[0] == (data,)
    assert manyhands.map(same, [data])[0] == data


def add_one(array):
    array += 1
    return array


def test_each_task_has_a_copy_of_its_own_and_the_original_stays():
    array = np.zeros(LARGE)
    results = manyhands.map(add_one, [array] * 6)
    assert [float(result.max()) for result in results] == [1.0] * 6
    assert not array.any()
    results[0][:] = 7
    assert results[1].max() == 1.0
    assert [float(result.max()) for result in manyhands.map(add_one, [array] * 3)] == [1.0] * 3


def largest(array, _=None):
    return float(array.max())


@pytest.mark.parametrize("size", [LARGE, 10])
def test_a_changed_array_is_never_what_it_was(size):
    array = np.zeros(size)
    for value in (1, 2, 2, 3):
        array[:] = value
        assert manyhands.map(largest, [array] * 3) == [value] * 3
    array[size // 2] = 10  # one element
    assert manyhands.map(largest, [array] * 3) == [10] * 3
    with Parallel(n_jobs=2) as parallel:
        for value in (20, 30):
            array[-1] = value
            assert parallel(delayed(largest)(array) for _ in range(3)) == [value] * 3


@pytest.mark.parametrize("size", [LARGE, 10])
def test_a_generator_that_changes_one_array(size):
    """joblib, ProcessPoolExecutor and Pool give tasks what the array is when it happens to be pickled."""
    array = np.zeros(size)

    def inputs():
        for value in range(8):
            array[value] = value
            yield array

    assert list(manyhands.imap(largest, inputs())) == list(range(8))
    array[:] = 0
    assert Parallel(n_jobs=2)(delayed(largest)(given) for given in inputs()) == list(range(8))
    array[:] = 0
    with manyhands.Executor(2) as executor:
        futures = [executor.submit(largest, given) for given in inputs()]
        assert [future.result() for future in futures] == list(range(8))


def test_another_array_at_the_same_address():
    for value in range(20):
        array = np.full(LARGE, value, dtype=float)
        assert manyhands.map(largest, [array, array]) == [value, value]
        del array


def test_results_stay_as_long_as_anybody_sees_them():
    with manyhands.Executor(1) as executor:
        kept = []
        for value in range(10):
            whole = executor.submit(np.full, LARGE, float(value)).result()
            kept.append(whole[10:20])
            del whole
            gc.collect()
        assert [float(view.sum()) for view in kept] == [10.0 * value for value in range(10)]


def test_a_fork_keeps_a_result():
    with manyhands.Executor(1) as executor:
        result = executor.submit(np.full, LARGE, 5.0).result()
        ready, go = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(0 if result.min() == result.max() == 5.0 else 1)
        os.read(ready[0], 1)
        del result
        for value in range(5):
            executor.submit(np.full, LARGE, float(value)).result()
        os.write(go[1], b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for fd in (*ready, *go):
            os.close(fd)


def test_arguments_that_a_task_keeps_stay_what_they_were():
    def keep(array):
        import builtins

        kept = builtins.__dict__.setdefault("kept_by_a_test", [])
        kept.append(array)
        return [float(one.max()) for one in kept]

    with manyhands.Executor(1) as executor:
        for value in range(5):
            last = executor.submit(keep, np.full(LARGE, float(value))).result()
    assert last == [0.0, 1.0, 2.0, 3.0, 4.0]


class Holder:
    """Keeps the very buffer that pickle hands to it."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce_ex__(self, protocol):
        import pickle

        return Holder, (pickle.PickleBuffer(self.buffer),)


@pytest.mark.parametrize(
    "make",
    [
        lambda value: np.full(LARGE, float(value))[10:],
        lambda value: np.asfortranarray(np.full((LARGE // 2, 2), float(value))),
        lambda value: frame_of(a=np.full(LARGE, float(value)), b=1.0),
        lambda value: Holder(np.full(LARGE, float(value)).tobytes()),
        lambda value: memoryview(np.full(LARGE, float(value)).tobytes()),
        lambda value: {"a": np.full(LARGE, float(value)), "b": np.full(LARGE, float(value))},
    ],
)
def test_whatever_shows_an_argument_keeps_it(make):
    def keep(given):
        import builtins

        kept = builtins.__dict__.setdefault("kept_by_a_test", [])
        kept.append(given)
        return [value_of(one) for one in kept]

    with manyhands.Executor(1) as executor:
        for value in range(5):
            last = executor.submit(keep, make(value)).result()
    assert last == [0.0, 1.0, 2.0, 3.0, 4.0]


def value_of(given):
    if isinstance(given, Holder):
        given = given.buffer
    if isinstance(given, memoryview | bytes | bytearray):
        return float(np.frombuffer(given, "f8")[-1])
    if isinstance(given, dict):
        assert given["a"][-1] == given["b"][-1]
    return float(np.asarray(given["a"] if isinstance(given, dict) or hasattr(given, "columns") else given).reshape(-1)[-1])


def test_many_results_take_no_descriptors():
    before = descriptors()
    results = manyhands.map(np.zeros, [LARGE // 4] * 200)
    assert descriptors() < before + 40
    assert len(results) == 200


def test_nothing_is_left_when_the_workers_are_gone():
    manyhands.shutdown()
    gc.collect()
    assert segments() == []
    with manyhands.Executor(2) as executor:
        results = list(executor.map(add_one, [np.zeros(LARGE) for _ in range(10)]))
    assert segments() == []
    assert all(result.max() == 1 for result in results)


def test_an_executor_that_has_ended_holds_no_memory():
    large = b"x" * 1_000_000
    executor = manyhands.Executor(1, initializer=len, initargs=(large,))
    assert executor.submit(lambda: len(large)).result() == 1_000_000
    assert segments()
    executor.shutdown()
    gc.collect()
    assert segments() == []


@pytest.mark.parametrize("who", ["worker", "parent"])
def test_nothing_is_left_after_kill(who):
    code = """
        import os, sys, time, numpy as np, manyhands
        def hold(array):
            print(os.getpid(), flush=True)
            if sys.argv[1] == "worker" and array[0] == 0:
                os.kill(os.getpid(), 9)
            if sys.argv[1] == "parent":
                time.sleep(60)
            return float(array.max())
        array = np.zeros(1_000_000)
        print(manyhands.map(hold, [array, array + 1], errors="return", workers=2)[1])
        manyhands.shutdown()
        import test_large_data
        print(test_large_data.segments())
    """
    before = shared_memory()
    if who == "worker":
        done = scripts.run(code, who)
        assert done.stdout.splitlines()[-2:] == ["1.0", "[]"], done.stderr
    else:
        with scripts.started(code, who) as process:
            assert process.stdout.readline()
            workers = scripts.descendants(process, 2)
            process.send_signal(signal.SIGKILL)
            process.wait()
            waiting.until(lambda: not any(psutil.pid_exists(pid) for pid in workers))
    waiting.until(lambda: shared_memory() < before + 4_000_000)
    assert not [name for name in os.listdir("/dev/shm") if "manyhands" in name]


def shared_memory():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Shmem:"))


def test_a_low_limit_of_descriptors():
    code = """
        import resource, numpy as np, manyhands
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        arrays = [np.full(300_000, float(i)) for i in range(60)]
        print(manyhands.map(lambda array: float(array.max()), arrays, workers=2) == list(range(60)))
        results = manyhands.map(lambda i: np.full(300_000, float(i)), range(60), workers=2)
        print([float(result.max()) for result in results] == list(range(60)))
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["True", "True"], done.stderr


def test_a_limit_of_memory_is_the_tasks_alone():
    with manyhands.Executor(1) as executor:
        executor.submit(same, 1).result()
    results = manyhands.map(largest, [np.zeros(1_000), np.zeros(1_000)], workers=1)
    assert results == [0.0, 0.0]
    with manyhands.Executor(1, memory_limit=400_000_000) as executor:
        bad = executor.submit(add_one, np.zeros(60_000_000))
        good = executor.submit(add_one, np.zeros(LARGE))
        assert isinstance(bad.exception(), MemoryError)
        assert good.result().max() == 1


def test_files_may_not_be_large():
    """RLIMIT_FSIZE counts for anonymous files, too: then it goes over the socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = """
        import resource, numpy as np, manyhands
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        print(float(manyhands.map(lambda array: array + 1, [np.zeros(300_000)])[0].max()))
    """
    done = scripts.run(code)
    assert done.stdout.strip() == "1.0", done.stderr
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_FSIZE)


def test_a_retry_gets_the_arguments_as_they_were(tmp_path):
    marker = tmp_path / "tried"

    def spoil(array):
        array += 1
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(array.max())

    with manyhands.Executor(1) as executor:
        assert executor.with_options(retries=1).submit(spoil, np.zeros(LARGE)).result() == 1.0


def test_threads_send_large_arrays_together():
    import threading

    arrays = [np.full(LARGE, float(i)) for i in range(4)]
    wrong = []

    def work(number):
        for _ in range(10):
            if manyhands.map(largest, [arrays[number]] * 3) != [float(number)] * 3:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_a_function_holds_is_there_for_each_task_as_it_was_sent():
    array = np.zeros(LARGE)

    def spoil(i):
        array[i] += 1
        return float(array.sum())

    for _ in range(2):
        assert manyhands.map(spoil, range(6), chunk=1) == [1.0] * 6
    array[0] = 5
    assert manyhands.map(spoil, range(1, 3)) == [6.0] * 2
    table, text = {"a": list(range(100_000))}, b"x" * 1_000_000
    assert manyhands.map(lambda i: (len(table["a"]), text[i]), range(4)) == [(100_000, ord("x"))] * 4


def test_functions_that_hold_much_do_not_pile_up():
    def hold(value):
        array = np.full(LARGE * 4, float(value))
        return lambda _: (float(array.max()), len(segments()))

    with manyhands.Executor(1) as executor:
        seen = [executor.submit(hold(i), 0).result() for i in range(50)]
    assert [value for value, _ in seen] == list(range(50))
    assert max(count for _, count in seen) < 20  # they are 10 MB each, and 64 MB are kept
    gc.collect()
    assert len(segments()) < 20


@pytest.mark.parametrize("limit", ["RLIMIT_NOFILE, (24, 24)", "RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY)"])
def test_functions_that_hold_much_under_limits(limit):
    code = f"""
        import resource, numpy as np, manyhands
        resource.setrlimit(resource.{limit})
        held = [np.full(300_000, float(i)) for i in range(12)]
        print(manyhands.map(lambda i: float(held[i].max()), range(12), workers=2) == list(range(12)))
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["True"], done.stderr


def test_long_text_among_short():
    texts = ["a" * 400_000, "b", b"c" * 1_000_000, 3, "ä" * 300_000]
    assert manyhands.map(same, texts) == texts
    assert manyhands.map(lambda x, y: (x, y), texts, texts) == [(text, text) for text in texts]
    assert Parallel(n_jobs=2)(delayed(same)(text) for text in texts) == texts


class Counted:
    """Says how often it was pickled."""

    def __init__(self, size):
        self.times = []
        self.table = list(range(size))

    def __reduce__(self):
        self.times.append(1)
        return rebuilt, (self.table,)


def rebuilt(table):
    made = object.__new__(Counted)
    made.table = table
    return made


def spoil(x, counted, y=0):
    counted.table.append(x)
    return len(counted.table) + y


@pytest.mark.parametrize("size", [10, 200_000])
def test_an_object_that_tasks_have_in_common_is_each_tasks_own(size):
    counted = Counted(size)
    assert manyhands.map(spoil, range(20), [counted] * 20) == [size + 1] * 20
    if size > 10:
        assert len(counted.times) <= 3  # not for each task
    assert manyhands.map(lambda given: spoil(0, given), [counted] * 20) == [size + 1] * 20
    assert Parallel(n_jobs=2)(delayed(spoil)(x, counted) for x in range(20)) == [size + 1] * 20
    assert Parallel(n_jobs=2)(delayed(spoil)(x, counted, y=1) for x in range(20)) == [size + 2] * 20
    assert manyhands.map(spoil, range(20), (counted for _ in range(20))) == [size + 1] * 20


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_object_that_changes_between_tasks(size):
    table = {"values": list(range(size)), "array": np.zeros(LARGE)}

    def steps():
        for step in range(6):
            table["values"][5] = step
            if step > 2:
                table["array"][7] = step
            yield table

    def look(_, given):
        return given["values"][5], float(given["array"][7])

    expected = [(0, 0.0), (1, 0.0), (2, 0.0), (3, 3.0), (4, 4.0), (5, 5.0)]
    assert manyhands.map(look, range(6), steps()) == expected
    table["array"][7] = 0
    assert Parallel(n_jobs=2)(delayed(look)(step, given) for step, given in enumerate(steps())) == expected
    table["array"][7] = 0
    seen = []
    results = manyhands.imap(look, range(6), [table] * 6, workers=1, buffer=1, chunk=1)
    for step, result in enumerate(results, 1):
        seen.append(result)
        table["values"][5] = table["array"][7] = step
    assert seen[0] == (5, 0.0)
    assert seen[-1][0] == seen[-1][1] >= 3


def test_an_array_that_pickling_refills():
    """One array in which each object puts what it sends, as who avoids allocations does."""
    scratch = np.zeros(LARGE)

    class Refilling:
        def __init__(self, value):
            self.value = value

        def __reduce__(self):
            scratch[:] = self.value
            return float, (scratch[:1],)

        def __getstate__(self):
            scratch[:] = self.value
            return {"scratch": scratch}

    class Stateful(Refilling):
        __reduce__ = object.__reduce__

    assert manyhands.map(lambda given: float(given.scratch[-1]), [Stateful(i) for i in range(6)]) == list(range(6))


def test_results_of_imap_change_what_comes_after_them():
    for size in (10, LARGE):
        array = np.zeros(size)
        seen = []
        for value in manyhands.imap(largest, [array] * 8, workers=1, buffer=1, chunk=1):
            seen.append(value)
            array += 1
        assert seen[-1] >= 5, size


@pytest.mark.parametrize("size", [10, LARGE])
def test_two_views_of_one_array_are_two_arrays(size):
    array = np.zeros(size)

    def change(one, other):
        one[0] = 1
        return float(other[0])

    assert manyhands.map(change, [array], [array[:]]) == [0.0]
    assert manyhands.map(lambda pair: change(*pair), [(array, array)]) == [1.0]  # one object is one object


def test_a_function_that_holds_hundreds_of_arrays():
    code = """
        import resource, numpy as np, manyhands
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        data = [np.full(10_000, i, "f8") for i in range(600)] + [np.full(40_000, i, "f8") for i in range(600, 800)]
        def f(i):
            return float(data[i][0])
        print(manyhands.map(f, range(0, 800, 100)))
    """
    done = scripts.run(code)
    assert done.stdout.strip() == str([float(i) for i in range(0, 800, 100)]), done.stderr


@pytest.mark.parametrize("size", [0, 5, LARGE])
def test_tensors(size):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(size, dtype=torch.float64)
    for given in (tensor, tensor[::2], tensor.to(torch.bfloat16), tensor.clone().requires_grad_(True), torch.nn.Parameter(tensor)):
        (got,) = manyhands.map(same, [given])
        assert torch.equal(got, given)
        assert (got.dtype, got.stride(), got.requires_grad, type(got)) == (given.dtype, given.stride(), given.requires_grad, type(given))
    (pair,) = manyhands.map(same, [(tensor, tensor[1:])])
    pair[0][1:] += 1
    assert torch.equal(pair[0][1:], pair[1])  # one storage
    assert manyhands.map(lambda given: float(given.add_(1).sum()), [tensor] * 4) == [float(tensor.sum()) + size] * 4
    tensor += 1
    assert manyhands.map(lambda given: float(given.sum()), [tensor] * 2) == [float(tensor.sum())] * 2
    layer = torch.nn.Linear(300, 400)
    (learnt,) = manyhands.map(same, [layer])
    assert torch.equal(learnt.weight, layer.weight)


def test_a_tensor_that_changes_between_tasks():
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(LARGE)

    def steps():
        for step in range(6):
            tensor[-1] = step
            yield tensor

    assert manyhands.map(lambda given: float(given[-1]), steps()) == list(range(6))


def test_tables():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": np.arange(LARGE), "s": [str(i) for i in range(LARGE)]})
    assert manyhands.map(same, [table])[0].equals(table)
    assert manyhands.map(lambda given: given["a"][5].as_py(), [table] * 3) == [5] * 3
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table)
    assert manyhands.map(same, [frame])[0].equals(frame)


def test_long_bytes_keep_who_they_are():
    data = bytearray(b"x" * 1_000_000)

    def grow(one, other):
        one.append(1)
        return len(other), one is other, type(one)

    assert manyhands.map(grow, [data], [data]) == [(1_000_001, True, bytearray)]
    assert manyhands.map(grow, [data], [bytearray(data)]) == [(1_000_000, False, bytearray)]
    assert len(data) == 1_000_000
    for kind in (bytes, bytearray):
        (got,) = manyhands.map(same, [kind(data)])
        assert (type(got), got) == (kind, kind(data))


@pytest.mark.parametrize("where", [0, 1, 12_345, LARGE // 2, LARGE - 1])
def test_one_element_that_changes_is_seen(where):
    array = np.zeros(LARGE)
    at = manyhands.shared_array(1, int)
    at[0] = where

    def look(given):
        return float(given[at[0]])

    def steps():
        for step in (0, 0, 0, 1, 1, 2, 2, 2, 3):
            array[where] = step
            yield array

    assert manyhands.map(look, steps()) == [0, 0, 0, 1, 1, 2, 2, 2, 3]


def test_a_bytearray_in_two_arguments_is_one():
    for size in (1000, 70_000, 1_000_000):
        data = bytearray(size)
        assert manyhands.map(lambda row: row[0] is row[1][0], [(data, [data])]) == [True]


def test_pickling_that_changes_an_array_already_sent():
    array = np.zeros(LARGE)

    class Changes:
        def __getstate__(self):
            array[0] += 1
            return {}

    rows = [(array, 1), Changes(), (array, 2), Changes(), (array, 3)]
    assert manyhands.map(lambda row: float(row[0][0]) if type(row) is tuple else None, rows) == [0.0, None, 1.0, None, 2.0]


def test_threads_whose_arrays_push_one_another_out():
    import threading

    large, small = np.zeros(20_000_000), [np.zeros(4_000_000) for _ in range(4)]
    wrong = []

    def send(arrays, executor):
        for _ in range(8):
            for array in arrays:
                error = executor.submit(largest, array).exception()
                if error is not None:
                    wrong.append(error)

    with manyhands.Executor(2) as executor:
        threads = [threading.Thread(target=send, args=(arrays, executor)) for arrays in ([large], small)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


class Raw:
    """Keeps the memory that it came with."""

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return raw, (pickle.PickleBuffer(self.data),)


def raw(view):
    return Raw(view)


def test_a_task_that_keeps_the_memory_and_fails():
    import sys

    def keep(given):
        sys.kept = given.data
        raise ValueError("kept")

    def look(_):
        return sys.kept[5]

    with manyhands.Executor(1) as executor:
        assert isinstance(executor.submit(keep, Raw(bytearray(b"x" * 1_000_000))).exception(), ValueError)
        executor.submit(largest, np.zeros(LARGE)).result()
        assert executor.submit(look, 0).result() == ord("x")


def test_large_data_while_another_thread_loads_numpy():
    """What stands in sys.modules may be half loaded."""
    code = """
        import sys, types, manyhands
        sys.modules["numpy"] = types.ModuleType("numpy")  # as it is while another thread has begun to load it
        data = b"x" * 1_000_000
        print(manyhands.map(len, [data] * 3), [len(got) for got in manyhands.map(lambda given: given, [data] * 2)])
    """
    done = scripts.run(code)
    assert (done.stdout, done.stderr) == ("[1000000, 1000000, 1000000] [1000000, 1000000]\n", "")
