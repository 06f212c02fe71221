"""Results of functions, kept on disk."""

from __future__ import annotations

import asyncio
import copy
import datetime
import functools
import os
import pickle
import threading
import time
import warnings

import numpy as np
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands import Memory
from manyhands.compat.joblib import Memory as JoblibMemory
from manyhands.errors import StoreRefused, StoreWarning
from manyhands.memory import NotMemorizedResult, expires_after


@pytest.fixture
def memory(tmp_path):
    memory = Memory(tmp_path)
    yield memory
    memory.close()


class Counted:
    """A function that counts its calls."""

    def __init__(self):
        self.calls = []

    def of(self, function):
        calls = self.calls

        @functools.wraps(function)
        def counted(*args, **kwargs):
            calls.append((args, kwargs))
            return function(*args, **kwargs)

        return counted


def noted(folder, name):
    return len([path for path in folder.iterdir() if path.name.startswith(f"{name}.")]) if folder.exists() else 0


# ------------------------------------------------------------ a call


def test_what_was_computed_is_loaded(memory, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()

    @memory.cache(ignore=["folder"])
    def square(x, folder):
        tasks.note(folder, "ran")
        return x * x

    assert [square(3, notes), square(3, notes), square(4, notes), square(x=3, folder=notes)] == [9, 9, 16, 9]
    assert noted(notes, "ran") == 2


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1, True), ("1", b"1"), ((1,), [1]), (0.0, -0.0), (np.float32(1), np.float64(1))])
def test_values_that_are_not_the_same_are_told_apart(memory, first, second):
    name = memory.cache(lambda x: type(x).__name__ + repr(x))
    assert name(first) != name(second)


def test_equal_values_are_the_same_call(memory):
    square = memory.cache(lambda x: x)
    array = np.arange(24.0).reshape(4, 6)
    square(array)
    square({"a": 1, "b": {1, 2, 3}})
    for same in (array.copy(order="F"), np.arange(48.0).reshape(4, 12)[:, ::2] * 0 + array):
        assert square.check_call_in_cache(same)
    assert square.check_call_in_cache({"b": {3, 2, 1}, "a": 1})
    assert not square.check_call_in_cache(array + 1)


def test_the_same_arguments_in_other_ways(memory):
    def f(a, b=2, *rest, c=3, **more):
        return a, b, rest, c, more

    cached = memory.cache(f)
    cached(1)
    assert cached.check_call_in_cache(1, 2)
    assert cached.check_call_in_cache(a=1, c=3)
    assert not cached.check_call_in_cache(1, 2, 3)
    cached(1, x=1, y=2)
    assert cached.check_call_in_cache(1, y=2, x=1)
    with pytest.raises(TypeError, match="missing"):
        cached()


def test_a_result_is_a_copy(memory):
    numbers = memory.cache(lambda n: list(range(n)))
    numbers(3).append("changed")
    numbers(3).append("changed")
    assert numbers(3) == [0, 1, 2]
    ones = memory.cache(lambda n: np.ones(n))
    for _ in range(3):
        found = ones(100_000)
        assert found[0] == 1
        found[0] = 5


def test_what_a_function_raises_is_not_kept(memory):
    calls = []

    @memory.cache
    def fail(x):
        raise ValueError(x)

    for _ in range(2):
        with pytest.raises(ValueError, match="7"):
            fail(7)
    assert not fail.check_call_in_cache(7)
    assert calls == []


def test_an_argument_that_the_function_changes(memory):
    @memory.cache
    def consume(items):
        total = sum(items)
        items.clear()
        return total

    assert consume([1, 2]) == 3
    assert consume.check_call_in_cache([1, 2])
    assert not consume.check_call_in_cache([])


def test_an_argument_that_cannot_be_told_from_others(memory):
    f = memory.cache(lambda x, thing: x)
    with pytest.raises(manyhands.NotHashable, match=r"thing\[0\]\['lock'\]"):
        f(1, thing=[{"lock": threading.Lock()}])


# ------------------------------------------------------------ what joblib confuses


def test_decorators_without_wraps(memory):
    def plain(function):
        def wrapper(*args):
            return function(*args)

        return wrapper

    add, multiply = (memory.cache(plain(function)) for function in (lambda x, y: x + y, lambda x, y: x * y))
    assert (add(3, 4), multiply(3, 4)) == (7, 12)


def test_closures_of_one_factory_and_lambdas_of_one_line(memory):
    def times(n):
        return lambda x: x * n

    two, three = memory.cache(times(2)), memory.cache(times(3))
    assert (two(5), three(5)) == (10, 15)
    one, other = memory.cache(lambda x: x + 1), memory.cache(lambda x: x + 2)
    assert (one(1), other(1)) == (2, 3)


# ------------------------------------------------------------ methods, and what gives its results later


class Shop:
    def __init__(self, rate):
        self.rate = rate
        self.calls = 0


def test_methods(memory):
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @memory.cache
        def of(self, x):
            return self.factor * x

        @memory.cache
        @classmethod
        def name(cls, x):
            return cls.__name__, x

        @memory.cache
        @staticmethod
        def doubled(x):
            return 2 * x

    two, three = Scale(2), Scale(3)
    assert (two.of(5), three.of(5), two.of(5)) == (10, 15, 10)
    assert two.of.check_call_in_cache(5)
    assert Scale(2).of.check_call_in_cache(5)
    assert not Scale(7).of.check_call_in_cache(5)
    assert two.of.call_and_shelve(5).get() == 10
    assert Scale.name(1) == ("Scale", 1)
    assert (Scale.doubled(4), two.doubled(4)) == (8, 8)


def test_a_bound_method_that_is_cached(memory):
    shop = memory.cache([3, 1, 2].index)
    assert (shop(1), shop(1)) == (1, 1)
    assert not memory.cache([1, 2].index).check_call_in_cache(1)


def test_generators(memory):
    @memory.cache
    def count(n):
        got = []
        for i in range(n):
            got.append((yield [i]))
        return "end"

    assert list(count(3)) == [[0], [1], [2]]
    assert count.check_call_in_cache(3)
    assert list(count(3)) == [[0], [1], [2]]
    half = count(2)
    next(half)
    half.close()
    assert not count.check_call_in_cache(2)
    for item in count(2):
        item.append("changed")
    assert list(count(2)) == [[0], [1]]

    def whole(generator):
        return (yield from generator)

    ended = whole(count(2))
    assert [next(ended), next(ended)] == [[0], [1]]
    with pytest.raises(StopIteration, match="end"):
        next(ended)


def test_coroutines(memory):
    ran = []

    @memory.cache(ignore=["ran"])
    async def slow(x, ran):
        ran.append(x)
        await asyncio.sleep(0)
        return x + 1

    async def main():
        together = await asyncio.gather(*(slow(1, ran) for _ in range(5)))
        shelved = await slow.call_and_shelve(1, ran)
        return together, await slow(1, ran), shelved.get(), slow.check_call_in_cache(1, ran)

    assert asyncio.run(main()) == ([2] * 5, 2, 2, True)
    assert ran == [1]


def test_asynchronous_generators(memory):
    @memory.cache
    async def count(n):
        for i in range(n):
            yield i

    async def main():
        return [[i async for i in count(3)] for _ in range(2)], count.check_call_in_cache(3)

    assert asyncio.run(main()) == ([[0, 1, 2]] * 2, True)


# ------------------------------------------------------------ processes and threads


def test_workers_compute_each_value_once(memory, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()

    @memory.cache(ignore=["folder"])
    def square(x, folder):
        tasks.note(folder, f"ran{x}")
        return x * x

    xs = [1, 2, 3] * 4
    assert manyhands.Parallel(n_jobs=2)(manyhands.delayed(square)(x, notes) for x in xs) == [x * x for x in xs]
    assert manyhands.map(square, xs, [notes] * len(xs), workers=2) == [x * x for x in xs]
    assert [square(x, notes) for x in xs] == [x * x for x in xs]
    assert [noted(notes, f"ran{x}") for x in (1, 2, 3)] == [1, 1, 1]


def test_map_with_a_cache(memory, tmp_path):
    def note(x):
        tasks.note(tmp_path, f"ran{x}")
        return -x

    for _ in range(2):
        assert manyhands.map(note, [1, 2, 1], cache=memory, workers=2) == [-1, -2, -1]
    assert [noted(tmp_path, f"ran{x}") for x in (1, 2)] == [1, 1]


def test_threads_compute_a_value_once(memory):
    ran = []
    begin = threading.Barrier(4)

    @memory.cache(ignore=["ran"])
    def slow(x, ran):
        ran.append(x)
        return x

    def ask():
        begin.wait(20)
        return slow(1, ran)

    with manyhands.ThreadPool(4) as pool:
        assert [result.get(20) for result in [pool.apply_async(ask) for _ in range(4)]] == [1] * 4
    assert ran == [1]


def test_recursion(memory):
    @memory.cache
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(20) == 6765


PROGRAM = """
    import sys
    from manyhands import Memory
    sys.dont_write_bytecode = True
    sys.path.insert(0, {folder!r})
    memory = Memory({folder!r})
    import ops
    cached = memory.cache(ops.area)
    print(cached.check_call_in_cache(3), cached.why(3), sep="; ")
    print(cached(3))
"""
OPS = "RATE = 2\ndef scale(x):\n    return x * RATE\ndef area(x):\n    return scale(x) ** 2\n"


def asked(folder, text):
    (folder / "ops.py").write_text(text)
    done = scripts.run(PROGRAM.format(folder=str(folder)))
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


def test_edits(tmp_path):
    first = asked(tmp_path, OPS)
    assert first[0].startswith("False; ")
    assert first[1] == "36"
    assert asked(tmp_path, OPS.replace("RATE = 2", "RATE = 2  # of them\n\n")) == ["True; it is stored", "36"]
    changed = asked(tmp_path, OPS.replace("x * RATE", "x * RATE + 1"))
    assert changed[0].startswith("False; ")
    assert "scale()" in changed[0]
    assert changed[1] == "49"
    rate = asked(tmp_path, OPS.replace("RATE = 2", "RATE = 3"))
    assert rate[0].startswith("False; ")
    assert "RATE" in rate[0]
    assert rate[1] == "81"
    assert asked(tmp_path, OPS) == ["True; it is stored", "36"]


def test_why_an_argument_differs(memory):
    f = memory.cache(lambda x, y: x)
    f(1, 2)
    assert "argument y" in f.why(1, 3)


# ------------------------------------------------------------ what joblib has


def test_shelved_results(memory):
    square = memory.cache(lambda x: x * x)
    shelved = square.call_and_shelve(3)
    assert (shelved.get(), pickle.loads(pickle.dumps(shelved)).get()) == (9, 9)
    assert shelved.duration >= 0
    assert shelved.metadata["input_args"] == {"x": "3"}
    shelved.clear()
    with pytest.raises(KeyError, match="not in"):
        shelved.get()


def test_a_location_that_is_a_file_is_refused_before_anything_is_computed(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for location in (file, str(file), file / "below"):
        for kind in (Memory, JoblibMemory):
            with pytest.raises(StoreRefused, match=r"a file.*give a folder"):
                kind(location)
    (tmp_path / "link").symlink_to(tmp_path)
    Memory(tmp_path / "link" / "new")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_without_a_location():
    memory = Memory(None)
    ran = []
    f = memory.cache(lambda x: ran.append(x) or x)
    assert (f(1), f(1), len(ran)) == (1, 1, 2)
    shelved = f.call_and_shelve(2)
    assert isinstance(shelved, NotMemorizedResult)
    assert shelved.get() == 2
    shelved.clear()
    with pytest.raises(KeyError):
        shelved.get()
    assert f.check_call_in_cache(1) is False
    memory.clear()


def test_results_that_are_no_longer_good(memory):
    seen = []

    def good(metadata):
        seen.append(metadata)
        return False

    f = memory.cache(lambda x: time.perf_counter_ns(), cache_validation_callback=good)
    assert f(1) != f(1)
    assert seen
    assert {"time", "duration", "input_args"} <= seen[0].keys()
    kept = memory.cache(lambda x: time.perf_counter_ns(), cache_validation_callback=expires_after(days=1))
    assert kept(1) == kept(1)
    gone = memory.cache(lambda x: time.perf_counter_ns() + 0, cache_validation_callback=expires_after(microseconds=0))
    assert gone(1) != gone(1)
    with pytest.raises(ValueError, match="callable"):
        memory.cache(cache_validation_callback=1)


def test_clearing(memory):
    f, g = memory.cache(lambda x: x), memory.cache(pow)
    f(1), g(2, 3)
    f.clear()
    assert (f.check_call_in_cache(1), g.check_call_in_cache(2, 3)) == (False, True)
    memory.clear()
    assert not g.check_call_in_cache(2, 3)
    assert memory.eval(pow, 2, 3) == 8
    assert g.check_call_in_cache(2, 3)


def test_limits(memory):
    f = memory.cache(lambda n: bytes(n))
    for n in range(1000, 1010):
        f(n)
    memory.reduce_size(items_limit=4)
    assert sum(f.check_call_in_cache(n) for n in range(1000, 1010)) == 4
    memory.reduce_size(bytes_limit="1K")
    assert sum(f.check_call_in_cache(n) for n in range(1000, 1010)) == 0
    f(1)
    memory.reduce_size(age_limit=datetime.timedelta(0))
    assert not f.check_call_in_cache(1)
    with pytest.raises(ValueError, match="age_limit"):
        memory.reduce_size(age_limit=datetime.timedelta(-1))


def test_what_is_ignored_must_be_a_parameter(memory):
    with pytest.raises(ValueError, match="'z' is not defined"):
        memory.cache(lambda x: x, ignore=["z"])


def test_what_cannot_be_stored_is_an_error_that_has_it(memory, tmp_path):
    f = memory.cache(lambda n: (i for i in range(n)))
    with pytest.raises(manyhands.NotStored, match="generator") as caught:
        f(2)
    assert list(caught.value.result) == [0, 1]
    assert not f.check_call_in_cache(2)
    mild = Memory(tmp_path, on_not_stored="warn").cache(lambda n: (i for i in range(n)))
    with pytest.warns(RuntimeWarning, match="cannot be stored"):
        assert list(mild(2)) == [0, 1]


def test_what_else_a_result_depends_on(memory, tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    table.write_text("1")
    monkeypatch.setenv("MODEL", "a")

    def f(x):
        return x

    def cached(**more):
        return memory.cache(f, **more)

    cached()(1)
    assert cached().check_call_in_cache(1)
    for more, change in (
        ({"version": 2}, None),
        ({"deps": [np]}, None),
        ({"files": [table]}, lambda: table.write_text("2")),
        ({"env": ["MODEL"]}, lambda: monkeypatch.setenv("MODEL", "b")),
    ):
        assert not cached(**more).check_call_in_cache(1)
        cached(**more)(1)
        assert cached(**more).check_call_in_cache(1)
        if change is not None:
            change()
            assert not cached(**more).check_call_in_cache(1)


def test_a_memory_travels(memory):
    f = pickle.loads(pickle.dumps(memory)).cache(tasks.square)
    f(4)
    assert memory.cache(tasks.square).check_call_in_cache(4)
    assert pickle.loads(pickle.dumps(f))(4) == 16


def test_what_is_printed(tmp_path, capsys):
    f = Memory(tmp_path, verbose=1).cache(tasks.square)
    f(3)
    f(3)
    said = capsys.readouterr().out
    assert "tasks.square(x=3)" in said
    assert said.count("Calling") == 1
    Memory(tmp_path, verbose=5).cache(tasks.square)(3)
    assert "cache loaded" in capsys.readouterr().out


def test_arguments_that_are_not_allowed(tmp_path):
    with pytest.raises(TypeError, match="location"):
        Memory(5)
    with pytest.raises(ValueError, match="mmap_mode"):
        Memory(tmp_path, mmap_mode="x")
    with pytest.raises(ValueError, match="size_limit"):
        Memory(tmp_path, size_limit="many").cache(abs)(1)
    with pytest.raises(ValueError, match="verbose"):
        Memory(tmp_path, verbose=-1)
    with pytest.raises(TypeError, match="callable"):
        Memory(tmp_path).cache(5)


def test_mapped_results(tmp_path):
    ones = Memory(tmp_path, mmap_mode="r").cache(np.ones)
    for _ in range(2):
        found = ones(100_000)
        assert not found.flags.writeable
        assert found.sum() == 100_000


def test_one_who_waits_takes_over_when_who_computes_is_killed(tmp_path):
    code = """
        import os, sys, time
        sys.path.insert(0, sys.argv[3])
        import tasks
        from manyhands import Memory
        def slow(x, first):
            tasks.note(sys.argv[2], "began")
            if first:
                time.sleep(600)
            return x
        cached = Memory(sys.argv[1]).cache(slow, ignore=["first"])
        print(cached(1, first=len(sys.argv) > 4))
    """
    place = str(tmp_path / "notes")
    (tmp_path / "notes").mkdir()
    with scripts.started(code, str(tmp_path), place, scripts.HERE, "first") as first:
        waiting.noted(place, "began")
        with scripts.started(code, str(tmp_path), place, scripts.HERE) as second:
            waiting.until(lambda: first.poll() is None and second.poll() is None)
            first.kill()
            assert second.communicate(timeout=30)[0].strip() == "1"


# ------------------------------------------------------------ what changes beside a call

SCRIPT = """
    import sys
    from manyhands import Memory
    memory = Memory(sys.argv[1])
    FEE = {fee}
    def helper(x):
        return x * {factor}
    class Model:
        def predict(self, x):
            return helper(x) + FEE
    @memory.cache
    def run(model, x):
        return model.predict(x)
    print(run(Model(), 10))
"""


def test_classes_of_a_script_count_with_all_that_they_use(tmp_path):
    for fee, factor, expected in ((1, 2, "21"), (1, 3, "31"), (5, 3, "35"), (1, 2, "21")):
        done = scripts.run(SCRIPT.format(fee=fee, factor=factor), str(tmp_path))
        assert (done.stdout.split(), done.stderr) == ([expected], "")


CONFIG = {"rate": 2}


def test_what_a_function_writes_to_counts_all_the_same(memory, monkeypatch):
    monkeypatch.setitem(CONFIG, "last", 0)

    @memory.cache
    def price(x):
        CONFIG["last"] = x
        return x * CONFIG["rate"]

    assert price(10) == 20
    monkeypatch.setitem(CONFIG, "rate", 3)
    assert price(10) == 30


def test_a_result_belongs_to_the_code_that_the_call_began_with(memory):
    began, go_on = threading.Event(), threading.Event()

    def helper(x):
        return x

    holder = {"helper": helper, "began": began, "go_on": go_on}
    exec(
        "def f(x):\n    found = helper(x)\n    began.set()\n    go_on.wait(20)\n    return found\n",
        holder,
    )
    f = memory.cache(holder["f"])
    thread = threading.Thread(target=f, args=(1,))
    thread.start()
    assert began.wait(20)
    holder["helper"] = lambda x: x + 100
    go_on.set()
    thread.join()
    assert f(1) == 101


def test_a_bound_function_travels(memory):
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @memory.cache
        def of(self, x):
            return self.factor * x

    assert copy.deepcopy(Scale(3).of)(2) == 6
    assert manyhands.Parallel(n_jobs=2)(manyhands.delayed(Scale(i).of)(2) for i in range(3)) == [0, 2, 4]


def test_a_function_that_changes_what_it_reads_is_told_of_once(tmp_path):
    memo: dict[int, int] = {}

    def f(x):
        if x not in memo:
            memo[x] = x * x
        return memo[x]

    cached = Memory(tmp_path).cache(f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it may have been set up by the first call
        assert cached(1) == 1
    with pytest.warns(StoreWarning, match=r"variable memo around function .*f\(\) .* changed.*functools\.cache") as said:
        assert cached(2) == 4
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(3) == 9
