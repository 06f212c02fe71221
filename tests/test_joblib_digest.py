"""The digest that joblib tells a call by, made without joblib: equal to joblib's, or refused."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import math
import pathlib

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.func_inspect import filter_args

from manyhands.memory._joblib_digest import Unknown, arguments_digest


def function(a, b=2, *rest, c=3, log=None, **more): ...


def ours(*args, ignore=(), maps=False, of=function, **kwargs):
    return arguments_digest(of, ignore, args, kwargs, maps=maps).hex()


def theirs(*args, ignore=(), maps=False, **kwargs):
    return joblib.hash(filter_args(function, list(ignore), args, kwargs), coerce_mmap=maps)


VALUES = {
    "numbers": [0, -1, 2**70, True, 1.5, -0.0, math.inf, 1j, None, ...],
    "texts": ["", "é", "a" * 300, b"", b"x" * 300, bytearray(b"y"), "same", "same"],
    "containers": [(), (1,), (1, 2, 3, 4), [], {}, {"b": 1, "a": {"d": [], "c": ()}}, [[1], [1]]],
    "sets": [set(), {3, 1, 2}, {"b", "a"}, {1, "a", None}, frozenset({1})],
    "keys that have no order": {1: "x", "a": "y", None: "z", (1, 2): []},
    "itself": (shared := [1, 2], shared, (shared, shared)),
    "many": {index: str(index) for index in range(3000)},
    "standard": [
        decimal.Decimal("1.5"),
        datetime.datetime(2020, 1, 2),
        datetime.timedelta(3),
        pathlib.PurePosixPath("/x"),
        range(3),
        slice(1, 2),
    ],
    "ordered": collections.OrderedDict(b=1, a=2),
    "callables": [len, math.sin, int, collections.OrderedDict, "x".upper, [].append, datetime.date.today, np.sum, np.sin],
    "partial": functools.partial(math.pow, 2, 3),
    "arrays": [
        np.arange(3),
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.ones((3, 2))),
        np.arange(20)[::3],
        np.array(5),
        np.zeros((0, 3)),
    ],
    "more arrays": [
        np.array(["ab", "c"]),
        np.array(["2020"], "M8[D]"),
        np.array([True]),
        np.zeros(2, [("x", "f4"), ("y", "i8")]),
        np.ones(2, ">i4"),
    ],
    "arrays of objects": np.array([1, "a", None], object),
    "scalars": [np.float64(1.5), np.int8(3), np.bool_(True), np.str_("x")],
    "a dtype": {"dtype": np.dtype("f4")},
    "tables": [pd.DataFrame({"a": [1, 2], "b": ["x", None]}), pd.Series([1.0, 2.0], name="s"), pd.Index([1, 2]), pd.Timestamp("2020")],
    "generators": [np.random.RandomState(3)],
}


@pytest.mark.parametrize("name", VALUES)
def test_it_is_joblibs(name):
    value = VALUES[name]
    assert ours(value) == theirs(value)
    if isinstance(value, list):
        for part in value:
            assert ours(part, extra=[part]) == theirs(part, extra=[part])


def test_arguments_however_they_are_given():
    calls = [((1,), {}), ((1, 2), {}), ((), {"b": 5, "a": 1}), ((1, 2, 3, 4), {"c": 0}), ((1,), {"z": 1, "y": 2})]
    for args, kwargs in calls:
        assert ours(*args, **kwargs) == theirs(*args, **kwargs)
    assert ours(1, log=print, ignore=["log"]) == theirs(1, log=None, ignore=["log"])
    assert len({ours(*args, **kwargs) for args, kwargs in calls}) == 4  # the first two are one


def test_maps_of_files(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(5))
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    for maps in (False, True):
        assert ours(mapped, maps=maps) == theirs(mapped, maps=maps)
    assert ours(mapped, maps=True) == ours(np.arange(5))


class Own:
    pass


def by_place(a=1, /): ...


@pytest.mark.parametrize(
    "value",
    [
        Own(),
        Own,
        function,
        [{"deep": (Own(),)}],
        functools.partial(function, 1),
        lambda: None,
        np.ma.array([1, 2], mask=[0, 1]),  # joblib gives all masks one digest
        [np.dtype("f4"), 1],  # and this that of [1, dtype]
        (1, np.dtype("f4")),
        iter([]) and (x for x in ()),
    ],
    ids=repr,
)
def test_what_joblib_does_not_tell_apart_is_refused(value):
    with pytest.raises(Unknown):
        ours(value)


def test_parameters_by_place_are_refused():
    with pytest.raises(Unknown, match="by place"):
        ours(2, of=by_place)
