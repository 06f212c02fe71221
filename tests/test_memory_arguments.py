"""How a cached function takes its arguments, and what is noted of them."""

from __future__ import annotations

import pathlib
import threading

import numpy as np
import pytest

import manyhands.compat.joblib
from manyhands import Memory, NotHashable


@pytest.fixture
def memory(tmp_path):
    memory = Memory(tmp_path / "cache")
    yield memory
    memory.close()


# ------------------------------------------------------------ what is said of a function


def test_a_single_name_stands_for_a_list_of_one(memory, tmp_path, monkeypatch):
    rates = tmp_path / "rates.csv"
    rates.write_text("1")
    calls = []

    @memory.cache(ignore="noise", files=rates, env="MODEL", deps=len)
    def price(x, noise):
        calls.append(x)
        return x

    price(1, "a")
    price(1, "b")
    monkeypatch.setenv("M", "1")
    price(1, "c")
    assert calls == [1]
    monkeypatch.setenv("MODEL", "1")
    price(1, "d")
    rates.write_text("22")
    price(1, "e")
    assert calls == [1, 1, 1]
    assert memory.cache(lambda x: x, files=str(rates))(1) == 1


@pytest.mark.parametrize(("name", "value"), [("ignore", 5), ("ignore", [5]), ("files", 5), ("env", [b"x"]), ("env", {"a": 1}), ("deps", 5)])
def test_what_is_no_name_is_refused_by_name(memory, name, value):
    with pytest.raises(ValueError, match=f"^{name}="):
        memory.cache(lambda x: x, **{name: value})


def test_stars_are_what_is_left_over(memory):
    calls = []

    def function(x, *rest, key=1, **options):
        calls.append((x, rest, key, options))

    first, second = memory.cache(function, ignore=["*"]), memory.cache(function, ignore=["*", "**"])
    for rest in ((), (2,), (3, 4)):
        first(1, *rest)
    assert len(calls) == 1
    first(1, other=1)
    assert len(calls) == 2
    calls.clear()
    for options in ({"a": 1}, {"b": 2}):
        second(5, 6, **options)
    assert len(calls) == 1
    with pytest.raises(ValueError, match=r"argument '\*' is not defined"):
        memory.cache(lambda x: x, ignore=["*"])


# ------------------------------------------------------------ calls that cannot be


def test_a_parameter_may_be_called_self(memory):
    function = memory.cache(lambda self, x: (self, x))
    assert function(self=1, x=2) == (1, 2)
    assert function.check_call_in_cache(self=1, x=2)
    assert function.call(self=1, x=2)[0] == (1, 2)
    assert function.why(self=1, x=2) == "it is stored"
    assert Memory(None).cache(lambda self: self)(self=1) == 1


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 2}), ((1,), {"x": 2})])
def test_a_call_that_cannot_be_is_told_as_python_tells_it(memory, args, kwargs):
    def area(x, y=2):
        return x * y

    with pytest.raises(TypeError) as told:
        area(*args, **kwargs)
    with pytest.raises(TypeError) as ours:
        memory.cache(area)(*args, **kwargs)
    assert str(ours.value) == str(told.value)


def test_what_cannot_be_hashed_tells_of_ignore(memory):
    with pytest.raises(NotHashable, match=r"^lock \(a _thread.lock\).*ignore=\['lock'\]"):
        memory.cache(lambda x, lock: x)(1, threading.Lock())


# ------------------------------------------------------------ once, and without asking


class Counted:
    """Counts how often it is looked at."""

    def __init__(self):
        self.states = self.shown = 0

    def __getstate__(self):
        self.states += 1
        return {"a": 1}

    def __repr__(self):
        self.shown += 1
        return "Counted()"


@pytest.mark.parametrize("others", [(), ("text", [1, 2])])
def test_arguments_are_digested_once_for_a_call_that_is_computed(memory, others):
    function = memory.cache(lambda value, *others: 1)
    for count in (1, 2, 3):
        value = Counted()
        function(value, *others, count)
        assert value.states == 1
        assert value.shown == 0


def test_nothing_of_the_users_is_asked_for_what_is_noted(memory):
    class Stubborn:
        def __repr__(self):
            raise SystemExit

        @property
        def shape(self):
            raise SystemExit

    named = {"number": 1, "path": pathlib.Path("/a"), "array": np.ones((2, 3)), "items": [Stubborn(), 2], "data": b"x" * 1000}
    shelved = memory.cache(lambda number, path, array, items, data: 1).call_and_shelve(**named)
    assert shelved.metadata["input_args"] == {
        "number": "1",
        "path": "PosixPath('/a')",
        "array": "ndarray(shape=(2, 3), dtype=float64)",
        "items": f"[<{Stubborn.__qualname__}>, 2]",
        "data": f"{b'x' * 40!r}...{b'x' * 20!r}",
    }


def test_the_parts_of_a_computed_call_are_those_that_why_compares(memory):
    function = memory.cache(lambda array, table, text: 1)
    array, table = np.arange(5), {"a": [1, {2: 3}]}
    function(array, table, "x")
    assert function.why(array, {"a": [1, {2: 4}]}, "x") == "it would be computed: argument table changed"
    assert function.why(np.arange(6), table, "y") == "it would be computed: argument array changed; argument text changed"


# ------------------------------------------------------------ Memory itself as an argument


class Model:
    def __init__(self, memory, rate):
        self.memory = memory
        self.rate = rate


def test_where_results_are_kept_makes_no_difference(memory, tmp_path):
    calls = []

    def predict(model):
        calls.append(model)
        return model.rate

    cached = memory.cache(predict)
    for other in (memory, Memory(None), Memory(tmp_path / "other", compress=True, verbose=1), manyhands.compat.joblib.Memory(None)):
        assert cached(Model(other, 3)) == 3
    assert len(calls) == 1
    assert cached(Model(memory, 4)) == 4


def test_a_cached_function_as_an_argument_counts_with_its_code_and_what_it_declares(memory, tmp_path):
    def double(x):
        return 2 * x

    def triple(x):
        return 3 * x

    rates = tmp_path / "rates"
    rates.write_text("1")
    applied = memory.cache(lambda function, x: function(x))
    other = Memory(tmp_path / "other", verbose=0)
    assert applied(memory.cache(double), 5) == 10
    assert applied.check_call_in_cache(other.cache(double, verbose=0), 5)
    assert not applied.check_call_in_cache(memory.cache(triple), 5)
    assert not applied.check_call_in_cache(memory.cache(double, version=2), 5)
    declared = memory.cache(double, files=rates)
    applied(declared, 5)
    assert applied.check_call_in_cache(declared, 5)
    rates.write_text("22")
    assert not applied.check_call_in_cache(declared, 5)
    other.close()


def test_a_cached_method_as_an_argument_counts_with_its_object(memory):
    class Line:
        def __init__(self, slope):
            self.slope = slope

        @memory.cache
        def at(self, x):
            return self.slope * x

    applied = memory.cache(lambda function, x: function(x))
    assert [applied(Line(slope).at, 3) for slope in (2, 5, 2)] == [6, 15, 6]


def test_a_shelved_result_as_an_argument_counts_with_its_call(memory):
    add = memory.cache(lambda x: [x])
    first = memory.cache(lambda result: result.get()[0])
    assert [first(add.call_and_shelve(x)) for x in (1, 2)] == [1, 2]
    assert first.check_call_in_cache(add.call_and_shelve(1))
