"""Random graphs of objects, to a worker and back: equal, of the same types, with the same parts in common."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import types
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manyhands


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


@dataclasses.dataclass(slots=True)
class Slots:
    a: object


class Node:
    """Refers to whatever it is given, itself included."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Listed(list):
    pass


class Error(Exception):
    def __init__(self, value, *, code):
        super().__init__(value)
        self.code = code


def closure(value):
    def give():
        return value

    return give


def local_instance(value):
    class Local:
        def __init__(self):
            self.value = value

    return Local()


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Color.RED, Color.BLUE, Ellipsis, NotImplemented, int, Color, Point, len, operator.add, "__main__", b"__main__"]),
    st.just(pathlib.PurePosixPath("a/b")),
    st.builds(range, st.integers(-5, 5), st.integers(-5, 5)),
    st.builds(slice, st.integers(0, 5), st.none()),
)
hashable = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.sampled_from(list(Color)))
arrays = st.builds(
    lambda size, kind, order: np.arange(size * 2).astype(kind).reshape((2, size), order=order),
    st.sampled_from([0, 1, 5, 100, 40_000]),
    st.sampled_from(["u1", "f8", "c8", "U3"]),
    st.sampled_from("CF"),
)


def containers(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.frozensets(hashable, max_size=4),
        st.sets(hashable, max_size=4),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(hashable, inner, max_size=3).map(collections.OrderedDict),
        st.lists(inner, max_size=3).map(Listed),
        st.builds(Point, inner, inner),
        st.builds(Slots, inner),
        st.builds(lambda a, b: Node(a=a, b=b), inner, inner),
        st.builds(lambda a: types.SimpleNamespace(a=a), inner),
        st.builds(lambda a: functools.partial(Point, a, y=a), inner),
        st.builds(lambda a: Error(a, code=a), inner),
        inner.map(closure),
        inner.map(local_instance),
        # One object in two places, and one that holds itself.
        inner.map(lambda one: [one, one, {"again": one}]),
        inner.map(cyclic),
    )


def cyclic(value):
    made = Node(value=value)
    made.me = [made, {"me": made}]
    return made


graphs = st.recursive(st.one_of(atoms, arrays), containers, max_leaves=12)


def parts_of(value):
    """What an object consists of, in order; None for what is compared as a whole."""
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.FunctionType):
        return [value.__qualname__, value()]
    if isinstance(value, Slots):
        return [value.a]
    own = list(vars(value).items()) if hasattr(value, "__dict__") and not isinstance(value, type) else []
    own = [part for name, held in own for part in (name, held)]
    if isinstance(value, dict):
        return [part for item in value.items() for part in item] + own
    if isinstance(value, list | tuple | collections.deque):
        return [*value, *own]
    if isinstance(value, BaseException):
        return [*value.args, *own]
    return own if own and not isinstance(value, enum.Enum | pathlib.PurePath) else None


def same_array(left, right):
    order = left.flags.c_contiguous == right.flags.c_contiguous and left.flags.f_contiguous == right.flags.f_contiguous
    return order and (left.dtype, left.shape) == (right.dtype, right.shape) and np.array_equal(left, right)


def same(one, other):
    """Whether two graphs are alike: types, values, and which parts are one object."""
    waiting, partner, kept = [(one, other)], {}, []
    while waiting:
        left, right = waiting.pop()
        if type(left) is not type(right):
            return False
        if id(left) in partner and not isinstance(left, ATOMS):
            if partner[id(left)] is not right:
                return False
            continue
        partner[id(left)] = right
        kept += [left, right]  # so that an id stays its own
        if isinstance(left, np.ndarray):
            if not same_array(left, right):
                return False
            continue
        mine, yours = parts_of(left), parts_of(right)
        if mine is None or yours is None:
            if left is not right and left != right:
                return False
        elif len(mine) != len(yours):
            return False
        else:
            waiting += zip(mine, yours, strict=True)
    return True


# Which of two equal ones it is says nothing: the interpreter and the pickler share them as they like.
ATOMS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, range, slice, datetime.date, datetime.timedelta, uuid.UUID)
ATOMS += (decimal.Decimal, fractions.Fraction, pathlib.PurePath, type, types.BuiltinFunctionType, enum.Enum, types.FunctionType)


def identity(value):
    return value


SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def executor():
    with manyhands.Executor(1) as executor:
        executor.submit(identity, 1).result()
        yield executor


@SETTINGS
@given(graphs)
def test_a_graph_comes_back_as_it_was(value):
    [got] = manyhands.map(identity, [value], workers=1)
    assert same(value, got)


@SETTINGS
@given(graphs)
def test_a_function_brings_what_it_holds(value):
    [got] = manyhands.map(lambda _: value, [None], workers=1)
    assert same(value, got)


@settings(max_examples=50, deadline=None)
@given(st.lists(graphs, min_size=2, max_size=5))
def test_many_in_one_message(values):
    for chunk in (1, len(values)):
        assert all(map(same, values, manyhands.map(identity, values, workers=1, chunk=chunk)))


def test_the_comparison_finds_differences():
    one = Node(a=[1])
    assert not same(one, Node(a=[2]))
    assert not same(one, Node(a=(1,)))
    assert not same([one, one], [one, Node(a=[1])])
    assert not same(Point(1), Point(1.0))
    assert same(cyclic(5), cyclic(5))
    assert not same(cyclic(5), cyclic(6))
    assert not same(decimal.Decimal("1.0"), fractions.Fraction(1))
    assert not same(datetime.datetime(2020, 1, 1), uuid.UUID(int=5))
