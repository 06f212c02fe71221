"""What a user may set, where a value comes from, and what a bad one is told."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands._core.options import UNSET, Options, parse_size, resolve

NAMES = [field.name for field in dataclasses.fields(Options)]

GOOD = {
    "workers": [None, 1, 64],
    "chunk": ["auto", 1, 1000],
    "timeout": [None, 0.001, 5, 1e9],
    "retries": [0, 3],
    "retry_on": [(OSError, ValueError), (KeyboardInterrupt,)],
    "backoff": [0, 0.5, 10],
    "errors": ["raise", "return", "skip"],
    "progress": [True, False],
    "ordered": [True, False],
    "buffer": ["auto", 1, 10**6],
    "priority": [-5, 0, 5],
    "backend": ["processes", "threads", "sequential", "dask"],
    "start_method": ["zygote", "spawn", "fork"],
    "memory_limit": [None, 1, 2**31],
    "max_tasks_per_child": [None, 1, 100],
    "idle_timeout": [0.5, 60],
    "preload": [(), ("numpy", "pandas.core")],
}

BAD = {
    "workers": [0, -1, 2.0, "4", True],
    "chunk": [0, -1, 1.5, "big", None, True],
    "timeout": [0, -1, -0.5, math.nan, "5", True],
    "retries": [-1, 1.5, None, "2", False],
    "retry_on": [None, 5, "ValueError", (), [int], (ValueError, 3), ValueError("x")],
    "backoff": [-1, math.nan, None, "1", True],
    "errors": ["ignore", None, True, 0],
    "progress": [1, 0, None, "yes"],
    "ordered": [1, None, "no"],
    "buffer": [0, -3, None, "all", 2.5],
    "priority": [None, 1.5, "high", True],
    "backend": [None, 5, object()],
    "start_method": ["forkserver", None, 1],
    "memory_limit": [0, -1, 1.5, "", "much", "-1G", "0", "nan", True],
    "max_tasks_per_child": [0, -1, 1.5, "3", True],
    "idle_timeout": [0, -1, None, math.nan, "1", True],
    "preload": ["numpy", None, (1,), 5],
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
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().workers = 5


def test_an_endless_timeout_is_none():
    assert resolve({"timeout": math.inf}, {}, {}).timeout is None


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


@pytest.mark.parametrize("text", ["", "G", "GB", "x", "1X", "1GG", "1 2", "nan", "--1"])
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
