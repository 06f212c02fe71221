"""What a user may set, where a value comes from, and what a bad one is told."""

from __future__ import annotations

import math
import multiprocessing
from fractions import Fraction

import numpy as np
import pytest
import tasks
from hypothesis import given
from hypothesis import strategies as st

import manyhands
from manyhands._core.options import UNSET, Options, parse_size, resolve
from manyhands._core.policy import Policy

NAMES = list(Options._fields)

GOOD = {
    "workers": [None, 1, 64],
    "chunk": ["auto", 1, 1000],
    "timeout": [None, 0.001, 5, 1e6],
    "retries": [0, 3],
    "retry_on": [(OSError, ValueError), (KeyboardInterrupt,)],
    "backoff": [0, 0.5, 10],
    "errors": ["raise", "return", "skip"],
    "progress": [True, False],
    "ordered": [True, False],
    "buffer": ["auto", 1, 10**6],
    "priority": [-5, 0, 5],
    "on_stale": ["send", "raise"],
    "tag_output": [True, False],
    "watch": [True, False],
    "record_failures": [None, "/var/failures"],
    "backend": ["processes", "threads", "sequential", "dask"],
    "start_method": ["zygote", "spawn", "fork"],
    "memory_limit": [None, 1, 2**31],
    "max_tasks_per_child": [None, 1, 100],
    "idle_timeout": [0.5, 60],
    "preload": [(), ("numpy", "pandas.core")],
}

BAD = {
    "workers": [0, -1, 2.0, "4", True, 2**70, np.float64(2), np.True_],
    "chunk": [0, -1, 1.5, "big", None, True, 2**70],
    "timeout": [0, -1, -0.5, math.nan, "5", True, np.float32(0), np.True_, -(10**400), b"1"],
    "retries": [-1, 1.5, None, "2", False, 10**10, np.int64(-1)],
    "retry_on": [None, 5, "ValueError", (), [int], (ValueError, 3), ValueError("x")],
    "backoff": [-1, -math.inf, math.nan, None, "1", True],
    "errors": ["ignore", None, True, 0],
    "progress": [1, 0, None, "yes"],
    "ordered": [1, None, "no"],
    "buffer": [0, -3, None, "all", 2.5, 2**70],
    "on_stale": ["skip", None, True],
    "tag_output": ["yes", 1, None],
    "watch": ["yes", 1, None, "top"],
    "record_failures": ["", 5, True, b"failures", ["failures"]],
    "priority": [None, 1.5, "high", True, 2**70, -(2**70)],
    "backend": [None, 5, object()],
    "start_method": ["forkserver", None, 1],
    "memory_limit": [0, -1, 1.5, "", "much", "-1G", "0", "nan", True, 2**70, "9" * 400],
    "max_tasks_per_child": [0, -1, 1.5, "3", True, 2**70],
    "idle_timeout": [0, -1, None, math.nan, "1", True],
    "preload": ["numpy", None, (1,), 5, ("",), ("numpy.",), ("..numpy",)],
}


def test_every_option_is_tried():
    assert set(GOOD) == set(BAD) == set(NAMES)


def test_nothing_given_is_the_default():
    assert resolve({}, {}, {}) == Options()


@pytest.mark.parametrize("name", NAMES)
def test_good_values_are_taken_as_they_are(name):
    for value in GOOD[name]:
        assert getattr(resolve({name: value}, {}, {}), name) == value
        assert getattr(resolve({}, {name: value}, {}), name) == value


@pytest.mark.parametrize("name", NAMES)
def test_bad_values_are_refused_by_name_with_what_is_allowed(name):
    for value in BAD[name]:
        for sources in (({name: value}, {}, {}), ({}, {name: value}, {})):
            with pytest.raises(ValueError, match=" is not allowed; ") as caught:
                resolve(*sources)
            text = str(caught.value)
            assert text.startswith(f"{name}={value!r} is not allowed; {name} is ")
            assert len(text.partition(f"; {name} is ")[2]) > 5


def test_call_then_block_then_environment_then_default():
    environment = {"MANYHANDS_WORKERS": "3", "MANYHANDS_RETRIES": "3", "MANYHANDS_TIMEOUT": "3"}
    block = {"workers": 2, "retries": 2}
    options = resolve({"workers": 1}, block, environment)
    assert (options.workers, options.retries, options.timeout, options.backoff) == (1, 2, 3.0, 0.0)


def test_unset_is_as_if_it_had_not_been_given():
    assert resolve({"workers": UNSET}, {"workers": 2}, {}).workers == 2
    assert resolve({"workers": UNSET}, {"workers": UNSET}, {"MANYHANDS_WORKERS": "3"}).workers == 3
    assert repr(UNSET) == "UNSET"


def test_none_is_a_value():
    """An explicit None says "no limit", whatever stands further out."""
    assert resolve({"timeout": None}, {"timeout": 5}, {"MANYHANDS_TIMEOUT": "7"}).timeout is None


@pytest.mark.parametrize("where", ["call", "block"])
def test_an_unknown_option_is_named_beside_those_there_are(where):
    given_here = {"worker": 2}
    with pytest.raises(TypeError, match="'worker' is not an option") as caught:
        resolve(*((given_here, {}, {}) if where == "call" else ({}, given_here, {})))
    assert all(name in str(caught.value) for name in NAMES)


def test_options_cannot_be_changed():
    with pytest.raises(AttributeError):
        Options().workers = 5


@pytest.mark.parametrize("value", [math.inf, 1e300, 1e12, 10**400, np.float64(np.inf), Fraction(10**400)])
def test_times_beyond_all_use(value):
    options = resolve({"timeout": value, "backoff": value, "idle_timeout": value}, {}, {})
    assert options.timeout is None
    assert options.backoff == options.idle_timeout == 20 * 86400


def test_a_time_above_0_does_not_become_0():
    options = resolve({"timeout": 1e-10, "backoff": 5e-324, "idle_timeout": 1e-300}, {}, {})
    assert (options.timeout, options.backoff, options.idle_timeout) == (1e-6, 1e-6, 1e-6)
    assert resolve({"backoff": 0.0}, {}, {}).backoff == 0


@pytest.mark.parametrize("name", ["workers", "chunk", "retries", "buffer", "max_tasks_per_child", "priority"])
def test_counts_have_an_upper_bound_that_is_told(name):
    assert getattr(resolve({name: 10**9}, {}, {}), name) == 10**9
    with pytest.raises(ValueError, match=r"; at most 1,000,000,000$"):
        resolve({name: 10**9 + 1}, {}, {})


def test_a_number_too_long_to_be_shown_is_refused_all_the_same():
    with pytest.raises(ValueError, match=r"^chunk=<int> is not allowed; chunk is "):
        resolve({"chunk": 10**5000}, {}, {})


WHOLE = ["workers", "chunk", "retries", "buffer", "priority", "max_tasks_per_child", "memory_limit"]


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2), np.array(2)])
def test_whole_numbers_of_numpy_become_pythons(value):
    for name in [*WHOLE, "timeout", "backoff", "idle_timeout"] if isinstance(value, np.integer) else WHOLE:
        taken = getattr(resolve({name: value}, {}, {}), name)
        assert taken == 2
        assert type(taken) in {int, float}


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_other_numbers_become_floats(value):
    for name in ("timeout", "backoff", "idle_timeout"):
        taken = getattr(resolve({name: value}, {}, {}), name)
        assert (taken, type(taken)) == (0.5, float)


@pytest.mark.parametrize(
    ("backoff", "attempt", "seconds"),
    [(0.5, 1, 0.5), (0.5, 3, 2), (0, 2000, 0), (1e-6, 2000, 86400), (1e6, 1, 86400), (1e300, 2000, 86400), (math.inf, 1, 86400)],
)
def test_a_repetition_waits_a_day_at_the_most(backoff, attempt, seconds):
    assert Policy(retries=2000, backoff=backoff).delay(attempt) == seconds * 10**9


def test_one_exception_or_a_list_of_them_becomes_a_tuple():
    assert resolve({"retry_on": OSError}, {}, {}).retry_on == (OSError,)
    assert resolve({"retry_on": [OSError, ValueError]}, {}, {}).retry_on == (OSError, ValueError)


def test_an_executor_is_a_backend():
    class Other:
        def submit(self, fn): ...

    other = Other()
    assert resolve({"backend": other}, {}, {}).backend is other


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("workers", "4", 4),
        ("timeout", "2.5", 2.5),
        ("timeout", "inf", None),
        ("retries", "2", 2),
        ("backend", "threads", "threads"),
        ("start_method", "spawn", "spawn"),
        ("memory_limit", "1.5G", 3 * 2**29),
        ("max_tasks_per_child", "10", 10),
        ("idle_timeout", "0.5", 0.5),
        ("preload", "numpy,pandas", ("numpy", "pandas")),
        ("preload", "", ()),
        ("progress", "1", True),
        ("progress", "0", False),
    ],
)
def test_the_environment_is_read(name, text, value):
    assert getattr(resolve({}, {}, {f"MANYHANDS_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workers", "many"),
        ("workers", ""),
        ("timeout", "1 s"),
        ("retries", "2.5"),
        ("memory_limit", "lots"),
        ("progress", "yes"),
        ("idle_timeout", "x"),
    ],
)
def test_an_unreadable_environment_is_named_with_its_value(name, text):
    variable = f"MANYHANDS_{name.upper()}"
    with pytest.raises(ValueError, match=variable) as caught:
        resolve({}, {}, {variable: text})
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("name", "text"), [("workers", "0"), ("timeout", "-1"), ("start_method", "forkserver"), ("memory_limit", "0")])
def test_a_bad_value_in_the_environment_is_refused_with_what_is_allowed(name, text):
    with pytest.raises(ValueError, match=f"{name}=.* is not allowed; {name} is "):
        resolve({}, {}, {f"MANYHANDS_{name.upper()}": text})


def test_a_bad_environment_does_not_matter_to_who_says_otherwise():
    assert resolve({"workers": 2}, {}, {"MANYHANDS_WORKERS": "0"}).workers == 2


def test_other_variables_are_left_alone():
    assert resolve({}, {}, {"MANYHANDS_WORKER": "123", "MANYHANDS_CPUS": "x", "PATH": "/bin"}) == Options()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000000", 10**6),
        ("1K", 2**10),
        ("512M", 2**29),
        ("2GB", 2**31),
        ("1.5 GiB", 3 * 2**29),
        ("1t", 2**40),
        (" 2 kb ", 2**11),
        ("7B", 7),
        ("0", 0),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "GB", "x", "1X", "1GG", "1 2", "nan", "--1", "9" * 400, "9" * 5000 + ".5T"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_size(text)


@given(st.integers(0, 2**50), st.sampled_from(["", "K", "M", "G", "T"]), st.sampled_from(["", "B", "iB", "b"]), st.booleans())
def test_whole_sizes_are_exact(number, unit, suffix, space):
    if not unit and suffix == "iB":
        suffix = "B"
    factor = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[unit]
    assert parse_size(f"{number}{' ' * space}{unit}{suffix}") == number * factor


def test_variables_that_have_no_effect_are_told():
    import scripts

    code = "import manyhands; print(manyhands.map(abs, [-1], workers=1)); manyhands.map(abs, [-1], workers=1)"
    done = scripts.run(code, MANYHANDS_WROKERS="3", MANYHANDS_RETRY_ON="x", MANYHANDS_RETRIES="1")
    assert done.stdout == "[1]\n"
    assert done.stderr.count("environment variable MANYHANDS_WROKERS has no effect; did you mean MANYHANDS_WORKERS?") == 1
    assert done.stderr.count("environment variable MANYHANDS_RETRY_ON has no effect") == 1
    assert "MANYHANDS_RETRIES has" not in done.stderr


def test_modules_to_preload_that_do_not_exist_are_told_once():
    import scripts

    code = """
        import manyhands
        with manyhands.options(preload=("no_such_module.part", "json")):
            print(manyhands.map(abs, [-1], workers=1), manyhands.map(abs, [-2], workers=1))
        with manyhands.Executor(1, preload=["no_such_either"]) as executor:
            print(executor.submit(abs, -3).result())
    """
    done = scripts.run(code)
    assert done.stdout == "[1] [2]\n3\n"
    assert done.stderr.count("preload names") == 2
    assert "<string>:4: UserWarning: preload names 'no_such_module.part', but there is no module 'no_such_module'; workers" in done.stderr
    assert "<string>:5: UserWarning: preload names 'no_such_either'" in done.stderr
    assert "no_such_third" in scripts.run("import manyhands; manyhands.Executor(1)", MANYHANDS_PRELOAD="json,no_such_third").stderr


# ---------------------------------------------------------------- what an Executor takes


def _limit_of_memory(_):
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_an_executor_takes_the_options_of_a_block():
    limits = {"memory_limit": "3GB", "max_tasks_per_child": 2, "idle_timeout": 7, "preload": ("json",), "start_method": "spawn"}
    with manyhands.options(workers=3, **limits), manyhands.Executor() as executor:
        assert "3 workers" in repr(executor)
        taken = executor._options
        assert (taken.idle_timeout, taken.preload, taken.start_method) == (7, ("json",), "spawn")
    with manyhands.options(workers=1, memory_limit="3GB", max_tasks_per_child=2), manyhands.Executor() as executor:
        assert executor.submit(_limit_of_memory, 0).result() < 2**32
        assert len({executor.submit(tasks.pid).result() for _ in range(5)}) == 3
    with manyhands.options(workers=3, max_tasks_per_child=1), manyhands.Executor(1, max_tasks_per_child=None) as executor:
        assert "1 workers" in repr(executor)
        assert len({executor.submit(tasks.pid).result() for _ in range(3)}) == 1


def test_an_executor_takes_the_options_of_the_environment(monkeypatch):
    monkeypatch.setenv("MANYHANDS_MEMORY_LIMIT", "3GB")
    monkeypatch.setenv("MANYHANDS_MAX_TASKS_PER_CHILD", "1")
    with manyhands.Executor(1) as executor:
        assert executor.submit(_limit_of_memory, 0).result() < 2**32
        assert len({executor.submit(tasks.pid).result() for _ in range(3)}) == 3
    with manyhands.Executor(1, memory_limit=None, max_tasks_per_child=None) as executor:
        assert executor.submit(_limit_of_memory, 0).result() != 3 * 2**30
        assert len({executor.submit(tasks.pid).result() for _ in range(3)}) == 1


def test_an_executor_takes_the_numbers_of_numpy():
    with manyhands.Executor(np.int64(2), idle_timeout=np.float32(60), max_tasks_per_child=np.int8(9)) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        executor.resize(np.int16(3))
        assert "3 workers" in repr(executor)
        for wrong in (True, 0, 2.5, None, 2**70, np.True_):
            with pytest.raises(ValueError, match=r"^max_workers=.* is not allowed; max_workers is a number of workers from 1 on"):
                executor.resize(wrong)
    for wrong in (True, 0, 2.5, "2", 2**70):
        with pytest.raises(ValueError, match=r"^max_workers=.* is not allowed"):
            manyhands.Executor(wrong)


@pytest.mark.parametrize(
    ("context", "method"),
    [
        ("fork", "fork"),
        ("spawn", "spawn"),
        ("forkserver", "zygote"),
        (multiprocessing.get_context("spawn"), "spawn"),
        (multiprocessing.get_context("forkserver"), "zygote"),
        (None, "zygote"),
    ],
)
def test_contexts_of_multiprocessing(context, method):
    with manyhands.Executor(1, context) as executor:
        assert executor._options.start_method == method
    with manyhands.Executor(1, context, start_method="zygote") as executor:
        assert executor._options.start_method == "zygote"


@pytest.mark.parametrize("context", ["spwan", "", 5, object(), ["fork"]])
def test_what_is_no_context_is_refused(context):
    for more in ({}, {"start_method": "zygote"}):
        with pytest.raises(ValueError, match=r"^mp_context=.* is not allowed; mp_context is .*'fork', 'spawn', 'forkserver', or None"):
            manyhands.Executor(1, mp_context=context, **more)


@pytest.mark.parametrize("used", [True, False])
def test_an_executor_can_be_ended_more_than_once(used):
    executor = manyhands.Executor(1)
    if used:
        assert executor.submit(tasks.square, 3).result() == 9
    executor.shutdown()
    executor.shutdown(cancel_futures=True)
    executor.kill_workers()
    executor.terminate_workers()
    executor.shutdown(wait=False, cancel_futures=True)
    for end in ("kill_workers", "terminate_workers"):
        again = manyhands.Executor(1)
        getattr(again, end)()
        getattr(again, end)()
        again.shutdown(cancel_futures=True)
    with pytest.raises(manyhands.PoolClosed, match="after shutdown"):
        executor.resize(2)
    assert "1 workers, closed" in repr(executor)


@pytest.mark.parametrize(("name", "text"), [("WORKERS", "0"), ("RETRIES", "-1"), ("IDLE_TIMEOUT", "0"), ("START_METHOD", "magic")])
def test_a_variable_with_a_value_that_is_not_allowed_is_named(name, text):
    with pytest.raises(ValueError, match=f"environment variable MANYHANDS_{name}='{text}': {name.lower()}="):
        resolve({}, {}, {f"MANYHANDS_{name}": text})
