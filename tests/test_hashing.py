"""Digests of values: equal for equal ones, and for no others."""

from __future__ import annotations

import array
import collections
import collections.abc
import copy
import csv
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import gzip
import io
import itertools
import logging
import operator
import os
import pathlib
import pickle
import random
import re
import socket
import sqlite3
import struct
import sys
import tempfile
import threading
import types
import typing
import uuid
import weakref
import zoneinfo

import pytest
import scripts
from hypothesis import given, settings
from hypothesis import strategies as st

import manyhands
from manyhands._hashing import _algorithms, _terms, digest_of
from manyhands._hashing._walk import Walk
from manyhands.errors import NotHashable


def differ(*values):
    digests = [digest_of(value) for value in values]
    return len(set(digests)) == len(digests)


def agree(*values):
    return len({digest_of(value) for value in values}) == 1


# ------------------------------------------------------------ any values


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.uuids(),
)
keys = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=2), st.binary(max_size=2), st.tuples(st.integers(0, 2)))


def grown(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.text(max_size=2), inner, max_size=4).map(collections.OrderedDict),
        st.sets(keys, max_size=4),
        st.frozensets(keys, max_size=4),
        st.lists(inner, max_size=3).map(collections.deque),
        st.lists(inner, min_size=2, max_size=2).map(lambda parts: Pair(*parts)),
    )


values = st.recursive(atoms, grown, max_leaves=12)


@dataclasses.dataclass
class Pair:
    left: object
    right: object

    def __eq__(self, other):
        raise AssertionError("nobody is to compare")

    def __hash__(self):
        raise AssertionError("nobody is to ask for a hash")


def said(value):
    """What a value is, said in another way than the one that is tested: by text, which has each type in it."""
    kind = type(value)
    if kind is float:
        return f"float {struct.pack('d', value).hex()}"
    if kind is complex:
        return f"complex {said(value.real)} {said(value.imag)}"
    if kind in (list, tuple, collections.deque):
        return f"{kind.__name__}({len(value)}: {', '.join(map(said, value))})"
    if kind in (set, frozenset):
        return f"{kind.__name__}({len(value)}: {', '.join(sorted(map(said, value)))})"
    if kind is Pair:
        return f"Pair({said(value.left)}, {said(value.right)})"
    if kind in (dict, collections.OrderedDict):
        pairs = [f"{said(key)} = {said(part)}" for key, part in value.items()]
        return f"{kind.__name__}({', '.join(pairs if kind is collections.OrderedDict else sorted(pairs))})"
    if kind is datetime.datetime:
        return f"datetime {value.replace(tzinfo=None)!r} {value.fold} {value.tzinfo!r}"
    return f"{kind.__name__} {value!r}"


def made_again(value, rng):
    """An equal value of which no part is the same object, and whatever has no order was put together in another."""
    kind = type(value)
    if kind in (list, tuple, collections.deque, collections.OrderedDict, dict, set, frozenset):
        parts = (
            [tuple(made_again(part, rng) for part in pair) for pair in value.items()]
            if isinstance(value, dict)
            else [made_again(part, rng) for part in value]
        )
        if kind in (dict, set, frozenset):
            rng.shuffle(parts)
        return kind(parts)
    if kind is Pair:
        again = Pair.__new__(Pair)
        again.right = made_again(value.right, rng)
        again.left = made_again(value.left, rng)
        return again
    return pickle.loads(pickle.dumps(value))


@settings(max_examples=150, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_a_value_made_again_has_the_same_digest(value, rng):
    assert digest_of(value) == digest_of(made_again(value, rng))


@settings(max_examples=200, deadline=None)
@given(values, values)
def test_digests_are_equal_for_equal_values_only(one, other):
    assert (digest_of(one) == digest_of(other)) == (said(one) == said(other))


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=4))
def test_what_has_the_same_parts_in_other_containers_differs(parts):
    assert differ(parts, tuple(parts), collections.deque(parts), [parts], [[part] for part in parts] + [0], Pair(parts, 0))


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_another_algorithm_tells_the_same_apart(one, other):
    assert (manyhands.hash(one, "sha256") == manyhands.hash(other, "sha256")) == (said(one) == said(other))


@settings(max_examples=100, deadline=None)
@given(values)
def test_what_is_in_a_circle_has_no_digest_by_way_of_another_path(value):
    """Both ways through a value give the same digest for what is not in a circle."""
    circle = [value]
    circle.append(circle)
    again = [copy.deepcopy(value)]
    again.append(again)
    assert agree(circle, again)
    assert agree([value, circle], [value, again])
    assert digest_of([circle, value]) != digest_of([circle, [value]])


SIMPLE = [
    1, 1.0, True, 1 + 0j, "1", b"1", bytearray(b"1"), memoryview(b"1"), None, "None", 0, 0.0, -0.0, False, "", b"", bytearray(), (), [], {},
    set(), frozenset(), ..., NotImplemented, float("inf"), float("nan"), -1, 2**31, 2**63, 2**64, -(2**64), "\u00e9", "e\u0301",
    "\udc80", b"\xc3\xa9",
    (1,), [1], {1}, frozenset({1}), {1: 1}, {1: 2}, {2: 1}, {"1": 1}, ((1,),), [(1,)], ([1],), (1, 1), ((1, 1),), (1, (1,)), ((1,), 1),
    [[]],
    [()],
    ({},), [{}], {"a": {}}, {"a": []}, collections.OrderedDict(), collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1),
    collections.defaultdict(int), collections.defaultdict(list), collections.Counter(), collections.Counter("a"), collections.deque(),
    collections.deque(maxlen=3), collections.deque([1], 3), collections.ChainMap(), types.SimpleNamespace(), types.SimpleNamespace(a=1),
    range(3), range(1, 3), range(0, 3, 2), slice(3), slice(0, 3), slice(0, 3, 2), array.array("i", [1]), array.array("I", [1]),
    array.array("i"), {}.keys(), {1: 2}.keys(), {1: 2}.values(), {1: 2}.items(), types.MappingProxyType({1: 2}), b"x" * 5000, b"x" * 5001,
    bytearray(b"x" * 5000), "x" * 5000, int, float, list[int], list[str], dict[str, int], int | str, type, object, Pair, enum.Enum,
    datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, fold=1), datetime.time(), datetime.timedelta(1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    datetime.timezone(datetime.timedelta(hours=1)), datetime.timezone(datetime.timedelta(hours=1), "A"), zoneinfo.ZoneInfo("UTC"),
    decimal.Decimal(1), decimal.Decimal("1.0"), decimal.Decimal("NaN"), fractions.Fraction(1), fractions.Fraction(1, 2), uuid.UUID(int=1),
    pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), "a", re.compile("a"), re.compile(b"a"),
    re.compile("a", re.I),
    len, print, math_sin := __import__("math").sin, os.path.join, str.upper, "a".upper, "b".upper, [].append, [1].append, [].extend,
    functools.partial(int), functools.partial(int, base=2), functools.partial(int, "1"), operator.itemgetter(1), operator.attrgetter("a"),
    ValueError(), ValueError(1), KeyError(1), io.StringIO("a"), io.BytesIO(b"a"), random.Random(1), random.Random(2), sys, os,
    logging.getLogger("a"), logging.getLogger("b"), datetime.UTC,
]  # fmt: skip


def test_whatever_differs_has_another_digest():
    found = {}
    for value in SIMPLE:
        found.setdefault(digest_of(value), []).append(value)
    same = [together for together in found.values() if len(together) > 1]
    assert same == []


@pytest.mark.parametrize("value", SIMPLE, ids=lambda value: f"{type(value).__name__} {value!r:.30}")
def test_a_digest_can_be_had_again_at_any_place(value):
    assert len(digest_of(value)) == 16
    assert agree(value, value)
    assert differ(value, [value], (value,), {"a": value}, [value, value])


def test_text_of_the_same_length_prefixes_does_not_run_together():
    assert differ(["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ("ab", "c"), {"ab": "c"}, {"a": "bc"}, [b"ab", b"c"], [b"a", b"bc"])
    assert differ([[1], 2], [[1, 2]], [1, [2]], [[], [1, 2]], [[1], [2]], [[[1]], 2])
    assert differ({1: {2: 3}}, {1: {2: 3}, 4: 5}, {1: 2, 3: 4}, {1: 4, 3: 2})


def test_a_value_that_looks_like_what_is_digested_is_another():
    inner = digest_of([1, [2]])
    header = (b"dict",)
    assert differ([[1, [2]], 3], [(inner,), 3], [inner, 3], [digest_of((inner,)), 3])
    assert differ({"a": 1}, (header, "a", 1), [header, "a", 1], (("dict",), "a", 1), ((b"dict", "a", 1),))
    assert differ((), ((),), (header,), header)


def test_a_text_that_is_interned_is_as_good_as_one_that_is_not():
    text = "".join(["some", "thing"])
    assert agree(["something", "something"], ["something", text], [text, text], [sys.intern(text), text])


def test_identity_does_not_count():
    inner = [1, [2]]
    pair = Pair(inner, None)
    assert agree([inner, inner], [inner, copy.deepcopy(inner)])
    assert agree([pair, pair], [pair, copy.copy(pair)], [copy.copy(pair), Pair([1, [2]], None)])


def test_what_is_shared_is_digested_once():
    value = [[1], "x"]
    for _ in range(100):  # 2**100 lists, if each were looked at
        value = [value, value]
    assert digest_of(value) == digest_of(copy.deepcopy(value))


def test_the_order_of_what_has_none_does_not_count():
    assert agree({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    assert agree({1: "x", "a": 2, None: 3, (1, 2): 4, 2.5: 5}, {2.5: 5, (1, 2): 4, None: 3, "a": 2, 1: "x"})
    assert agree({"a", 1, None, (1,)}, {(1,), None, 1, "a"})
    assert agree({8, 0, 16}, {16, 8, 0}, {0, 8, 16})  # which lie in other orders
    assert agree(Counting(a=1, b=2), Counting(b=2, a=1))


class Counting(dict):
    pass


class OwnSet(set):
    def __iter__(self):
        raise AssertionError


class OwnFrozen(frozenset):
    pass


def test_subclasses_of_containers_are_not_what_they_are_derived_from():
    assert differ(Counting(), {}, Counting(a=1), OwnSet(), set(), OwnSet([1]), {1}, OwnFrozen([1]), frozenset([1]))
    assert agree(OwnSet(["a", "b", 1]), OwnSet([1, "b", "a"]))
    named = collections.namedtuple("named", "a b")
    assert differ(named(1, 2), (1, 2), collections.namedtuple("named", "a c")(1, 2))


# ------------------------------------------------------------ objects


class Plain:
    def __init__(self, **attributes):
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("a", "b")


class SlottedToo(Slotted):
    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - another name for it
    BLUE = 2


class Bits(enum.Flag):
    A = 1
    B = 2


class Number(int):
    pass


class OddClass(type):
    __hash__ = None

    def __eq__(cls, other):
        raise AssertionError("nobody is to compare")


class OfOddClass(metaclass=OddClass):
    def __init__(self, a):
        self.a = a


def test_objects_differ_by_class_and_attributes():
    assert agree(Plain(a=1, b=2), Plain(b=2, a=1))
    assert agree(SlottedToo(a=1, c=2), SlottedToo(c=2, a=1))
    assert differ(Plain(), Plain(a=1), Plain(a=2), Plain(b=1), Plain(a=[1]), SlottedToo(a=1), Pair(1, 2), Pair(2, 1), object())
    assert differ(Color.RED, Color.BLUE, 1, "RED", Bits.A, Bits.B, Bits.A | Bits.B)
    assert agree(Color.RED, Color.CRIMSON)
    assert differ(Number(1), 1, Number(2), True)
    assert agree(OfOddClass(1), OfOddClass(1))
    assert differ(OfOddClass(1), OfOddClass(2), OfOddClass, [OfOddClass, 1])


class Custom:
    def __init__(self, value, cache=None):
        self.value = value
        self.cache = cache

    def __getstate__(self):
        return {"value": self.value}


class Reduced(Custom):
    def __reduce__(self):
        return Reduced, (self.value,)


def test_what_a_class_says_of_its_state_counts():
    assert agree(Custom(1, threading.Lock()), Custom(1))
    assert agree(Reduced(1, threading.Lock()), Reduced(1))
    assert differ(Custom(1), Custom(2), Reduced(1), Reduced(2))


class HoldsSet:
    def __init__(self, members):
        self.members = members

    def __reduce__(self):
        return HoldsSet, (self.members,)


def test_a_set_in_a_state_has_no_order():
    names = [f"name {number}" for number in range(50)]
    assert agree(HoldsSet(set(names)), HoldsSet({*names[25:], *names[:25]}))


class MakesParts:
    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return MakesParts, ([self.number], [[self.number]], (self.number, b"x" * 2000))


def test_parts_that_are_made_when_they_are_asked_for_are_not_taken_for_one_another():
    """Each may lie where one before it lay."""

    def with_other(place):
        return [MakesParts(-1 if number == place else number) for number in range(50)]

    assert differ(*map(with_other, range(50)))
    assert agree(with_other(20), with_other(20))


def test_a_reducer_of_the_users_counts():
    class Handle:
        def __init__(self, name):
            self.name, self.stream = name, (number for number in ())

    with pytest.raises(NotHashable):
        digest_of(Handle("a"))
    manyhands.register_reducer(Handle, lambda handle: (Handle, (handle.name,)))
    assert agree(Handle("a"), Handle("a"))
    assert differ(Handle("a"), Handle("b"))


class WithAddress:
    def __init__(self, how):
        self.key = how(self)


@pytest.mark.parametrize("how", [id, lambda obj: f"<it at {id(obj):#x}>", object.__repr__])
def test_a_state_with_its_own_address_is_refused(how):
    with pytest.raises(NotHashable, match="its own address") as caught:
        digest_of({"a": [WithAddress(how)]}, "x")
    assert caught.value.path == "x['a'][0]"


def test_a_state_with_the_address_of_a_part_is_refused():
    lists = [1], [2]
    with pytest.raises(NotHashable, match="the address of a list"):
        digest_of(Plain(part=lists[0], key=id(lists[0])))
    assert digest_of(Plain(part=lists[0], key=id(lists[1])))  # a number like any other

    class Says(Plain):
        def __reduce__(self):
            return Says, (id(self),)

    with pytest.raises(NotHashable, match="its own address"):
        digest_of(Says())


# ------------------------------------------------------------ code


def scaled(factor, values=None):
    def inner(x):
        return x * factor

    inner.values = values
    return inner


def test_functions_differ_by_code_and_by_what_they_have_enclosed():
    assert agree(scaled(2), scaled(2))
    assert differ(scaled(2), scaled(3), scaled([2]), scaled(2, 1), lambda x: x, lambda x: x + 1, lambda x, y=1: x, lambda x, y=2: x)
    assert differ(scaled(Plain(a=1)), scaled(Plain(a=2)))
    state = [1]
    function = scaled(state)
    before = digest_of(function)
    state.append(2)
    assert digest_of(function) != before
    assert digest_of(function) == digest_of(scaled([1, 2]))


def test_a_function_that_refers_to_itself():
    def make(number):
        def count(n):
            return n and count(n - number)

        return count

    assert agree(make(1), make(1))
    assert differ(make(1), make(2))


def test_methods_partials_and_what_wraps_functions():
    assert agree(Custom(1).__getstate__, Custom(1, 2).__getstate__)
    assert differ(Custom(1).__getstate__, Custom(2).__getstate__, Custom(1).__init__, Custom.__init__, functools.partial(scaled, 1))
    assert differ(
        functools.partial(scaled, 1), functools.partial(scaled, 2), functools.partial(scaled, factor=1), functools.partial(len, 1)
    )
    assert differ(functools.lru_cache(scaled(1)), functools.lru_cache(scaled(2)), scaled(1))

    def dispatching(value):
        function = functools.singledispatch(lambda x: x)
        function.register(int, lambda x: x + value)
        return function

    used = dispatching(1)
    used(3)
    assert agree(used, dispatching(1))
    assert differ(dispatching(1), dispatching(2))


def test_what_draws_random_numbers_is_not_the_numbers():
    before = digest_of(random.random)
    random.random()
    assert digest_of(random.random) == before
    assert differ(random.random, random.gauss, random.Random(1).random, random.Random(2).random)


MODULE = """
RATE = {rate}
class Model:
    def __init__(self):
        self.a = 1
    def run(self):
        return {result} * RATE
class Kind(__import__("enum").Enum):
    A = 1
    def run(self):
        return {result}
def function(x):
    return x + {result}
"""


@pytest.mark.parametrize("what", ["Model()", "Kind.A", "function", "Model", "Model().run", "[{'a': Model()}]"])
def test_code_of_the_project_counts(what, tmp_path):
    def digest(rate=1, result=1, comment=""):
        (tmp_path / "own_module.py").write_text(comment + MODULE.format(rate=rate, result=result))
        code = f"import manyhands; from own_module import *; print(manyhands.hash({what}))"
        done = scripts.run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]), PYTHONDONTWRITEBYTECODE="1")
        assert done.stderr == ""
        return done.stdout

    assert digest() == digest(comment="# with a comment\n")
    assert digest() != digest(result=2)
    if "Model" in what:
        assert digest() != digest(rate=2)


def test_code_that_changes_in_this_process_is_seen(monkeypatch):
    from manyhands._codec import _naming

    module = types.ModuleType("own_module")
    exec(MODULE.format(rate=1, result=1), vars(module))
    monkeypatch.setitem(sys.modules, "own_module", module)
    monkeypatch.setattr(_naming, "_projects", {"own_module": (module, True)})
    before = digest_of(module.Model())
    assert digest_of(module.Model()) == before
    monkeypatch.setattr(module.Model, "run", lambda self: 2)
    assert digest_of(module.Model()) != before


# ------------------------------------------------------------ depth and circles


WRAPS = {
    "list": (lambda x: [x], 100_000),
    "tuple": (lambda x: (x,), 20_000),
    "dict": (lambda x: {1: x, "b": 2}, 20_000),
    "object": (lambda x: Plain(a=x), 20_000),
}


@pytest.mark.parametrize("name", WRAPS)
def test_depth_is_no_limit(name):
    def deep(value):
        wrap, levels = WRAPS[name]
        for _ in range(levels):
            value = wrap(value)
        return value

    digests = [digest_of(deep(value)) for value in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


class Node:
    def __init__(self, value=None, parent=None):
        self.value = value
        self.parent = parent
        self.children = []
        if parent is not None:
            parent.children.append(self)


def test_circles():
    def lists(value):
        one, two = [value], ["b"]
        one.append(two)
        two.append(one)
        return one, two

    (a, b), (c, d) = lists(1), lists(1)
    assert agree(a, c, a[1][1])
    assert agree(b, d)
    assert differ(a, b, lists(2)[0], [a], [1, ["b", None]])
    own = []
    own.append(own)
    other = [[]]
    other[0].append(other)
    assert agree(own, other)  # what is in them cannot be told apart
    assert differ(own, [own, own], (own,))


def test_circles_through_objects_dicts_and_sets():
    def tree(*values):
        root = Node("root")
        for value in values:
            Node(f"{value} below", Node(value, root))
        root.members = frozenset(root.children)
        root.table = {child: child.value for child in root.children}
        return root

    assert agree(tree("a", "b"), tree("a", "b"), copy.deepcopy(tree("a", "b")))
    assert differ(tree("a", "b"), tree("b", "a"), tree("a"), tree("a", "a"))
    root, again = tree("a", "b"), tree("a", "b")
    assert agree([root, root.children[1]], [root, again.children[1]], [again, root.children[1]])
    assert differ(*root.children)


def chain(size, odd=None):
    nodes = [Plain(value=number == odd) for number in range(size)]
    for before, after in itertools.pairwise(nodes):
        before.after, after.before = after, before
    return nodes


def test_a_long_chain_of_like_parts():
    assert agree(chain(5000)[0], chain(5000)[0])
    assert differ(chain(5000)[0], chain(5001)[0], chain(5000, 2500)[0], chain(5000, 2501)[0])
    assert differ(*chain(9))
    assert agree(chain(5000)[0], chain(5000)[-1]) is False


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=6, max_size=6), st.permutations(range(6)))
def test_graphs_that_cannot_be_told_apart_have_equal_digests(edges, order):
    """Built in another order; and the digests of the parts are equal where, and only where, all that is in reach is."""

    def build(order):
        nodes = [Plain() for _ in edges]
        for number in order:
            nodes[number].value = len(edges[number]) % 2
            nodes[number].to = [nodes[other] for other in edges[number]]
        return nodes

    one, other = build(range(6)), build(order)
    digests = [digest_of(node) for node in one]
    assert digests == [digest_of(node) for node in other]
    classes = [len(edges[number]) % 2 for number in range(6)]
    for _ in range(6):
        classes = [(classes[number], tuple(classes[other] for other in edges[number])) for number in range(6)]
    for (first, first_class), (second, second_class) in itertools.combinations(zip(digests, classes, strict=True), 2):
        if first_class != second_class:
            assert first != second


def test_what_makes_new_parts_for_ever_is_refused(monkeypatch):
    from manyhands._hashing import _walk

    monkeypatch.setattr(_walk, "_MOST_LEVELS", 1000)

    class Endless:
        def __reduce__(self):
            return Endless, (Endless(),)

    with pytest.raises(NotHashable, match="1,000 levels deep"):
        digest_of(Endless())


# ------------------------------------------------------------ what cannot be hashed


class Model:
    def __init__(self, part):
        self.cfg = {"part": [1, part]}


def generator():
    yield 1


class Failing:
    def __getstate__(self):
        raise PermissionError("not this one")


class OddReduce:
    def __reduce__(self):
        return 5


NOT_HASHABLE = {
    "lock": (threading.Lock, "cannot pickle", "keep it out with __getstate__"),
    "generator": (generator, "does not give again", "pass the values"),
    "weak reference": (lambda: weakref.ref(Model), "cannot pickle", "pass what it refers to"),
    "failing": (Failing, "PermissionError: not this one", "__getstate__"),
    "odd": (OddReduce, "its __reduce__ gives an int", "__reduce__"),
    "itertools": (itertools.count, "does not give again", "pass the values"),
    "code": (lambda: generator.__code__, "cannot pickle", "pass the function"),
    "thread": (threading.Thread, "cannot pickle", "keep it out"),
    "frame": (sys._getframe, "cannot pickle", "leave it out"),
}


@pytest.mark.parametrize("name", NOT_HASHABLE)
def test_what_cannot_be_hashed_is_named(name):
    make, reason, mend = NOT_HASHABLE[name]
    with pytest.raises(NotHashable) as caught:
        digest_of(Model(make()), "x.model")
    error = caught.value
    assert error.path.startswith("x.model.cfg['part'][1]")
    assert reason in error.reason
    assert mend in error.mend
    assert error.path in str(error)
    assert "cannot be hashed" in str(error)
    assert isinstance(error, TypeError)
    assert isinstance(error, manyhands.errors.ManyhandsError)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.mend) == (str(error), error.path, error.mend)


ITERATORS = {
    "list": lambda: iter([1, 2]), "dict": lambda: iter({1: 2}), "items": lambda: iter({1: 2}.items()), "set": lambda: iter({1}),
    "text": lambda: iter("ab"), "range": lambda: iter(range(3)), "callable": lambda: iter(int, 1), "reversed": lambda: reversed([1]),
    "map": lambda: map(str, [1]), "zip": lambda: zip([1], [2], strict=True), "filter": lambda: filter(None, [1]),
    "enumerate": lambda: enumerate([1]), "deque": lambda: iter(collections.deque([1])), "reader": lambda: csv.reader(["a"]),
    "rows": lambda: csv.DictReader(["a", "1"]), "found": lambda: re.finditer("a", "aa"), "chain": lambda: itertools.chain([1]),
    "own map": lambda: type("OwnMap", (map,), {})(str, [1]),
}  # fmt: skip


@pytest.mark.parametrize("name", ITERATORS)
def test_what_is_used_up_by_reading_is_not_hashable(name):
    with pytest.raises(NotHashable, match="pass the values"):
        digest_of([ITERATORS[name]()])


FILES = {
    "temporary": tempfile.TemporaryFile, "named": tempfile.NamedTemporaryFile, "spooled": tempfile.SpooledTemporaryFile,
    "text": lambda: io.TextIOWrapper(io.BytesIO()), "gzip": lambda: gzip.GzipFile(fileobj=io.BytesIO(), mode="w"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_all_kinds_are_not_hashable(name):
    with FILES[name]() as file, pytest.raises(NotHashable, match="not read again"):
        digest_of([file])


class CountingUp(collections.abc.Iterator):
    def __init__(self, start):
        self.at = start

    def __next__(self):
        self.at += 1
        return self.at


def test_iterators_of_the_program_and_files_in_memory_count_by_what_they_hold():
    assert agree(CountingUp(1), CountingUp(1))
    assert differ(CountingUp(1), CountingUp(2), io.BytesIO(b"a"), io.BytesIO(b"b"), io.StringIO("a"))


class Meta(type):
    unit = "m"


class Settings(metaclass=Meta):
    rate = 3
    layers: typing.ClassVar = [1, {"a": (2,)}]
    handler = threading.Lock()


class Derived(Settings):
    pass


@pytest.mark.parametrize("cls", [Settings, Derived])
def test_what_a_class_has_under_any_name_counts_for_its_objects(cls, monkeypatch):
    before = digest_of(cls())
    assert digest_of(cls()) == before
    for owner, name, other in ((Settings, "rate", 4), (Settings, "rate", 3.0), (Meta, "unit", "s"), (Settings, "layers", [])):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, other)
            assert digest_of(cls()) != before, name
        assert digest_of(cls()) == before, name
    Settings.layers[1]["a"] = (3,)
    assert digest_of(cls()) != before
    Settings.layers[1]["a"] = (2,)
    assert digest_of(cls()) == before


def test_files_sockets_and_connections(tmp_path):
    with open(tmp_path / "file", "w") as file, socket.socket() as sock, sqlite3.connect(":memory:") as connection:
        for held, mend in ((file, "pass its path"), (sock, "pass the address"), (connection, "pass the path of the database")):
            with pytest.raises(NotHashable, match=mend):
                digest_of([held])
    connection.close()


def test_the_part_is_found_in_a_circle_and_in_what_a_function_has_enclosed():
    root = Node("root")
    Node(threading.Lock(), root)
    with pytest.raises(NotHashable) as caught:
        digest_of(root, "tree")
    assert caught.value.path == "tree.children[0].value"
    with pytest.raises(NotHashable) as caught:
        digest_of(scaled(generator()), "callback")
    assert caught.value.path == "callback → variable 'factor'"


def test_an_interrupt_is_not_swallowed():
    class Stops:
        def __reduce__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digest_of([Stops()])


# ------------------------------------------------------------ algorithms and large data


def test_hash_is_the_digest_as_text():
    assert manyhands.hash([1]) == digest_of([1]).hex()
    assert len(manyhands.hash(1, "md5")) == 32
    assert len(manyhands.hash(1, hash_name="sha256")) == 64
    assert manyhands.hash([1, [2]], "blake2b") != manyhands.hash([1, [3]], "blake2b")
    for name in ("crc32", "shake_128", "", "MD-5"):
        with pytest.raises(ValueError, match="xxh3_128, "):
            manyhands.hash(1, name)


@pytest.mark.parametrize(
    "size", [0, 1, _terms.MOST_BYTES, _terms.MOST_BYTES + 1, _algorithms.BLOCK, _algorithms.BLOCK + 1, 5 * _algorithms.BLOCK]
)
def test_bytes_of_any_size(size):
    data = random.Random(size).randbytes(size)
    changed = bytes([data[0] ^ 1]) + data[1:] if size else b"changed"
    assert agree(data, bytes(bytearray(data)))
    assert differ(data, bytearray(data), changed, data + b"\0", data[1:] or b"x")


@pytest.mark.parametrize("cpus", [1, 2, 3])
def test_the_number_of_threads_does_not_count(cpus, monkeypatch):
    data = random.Random(0).randbytes(40 * _algorithms.BLOCK + 17)
    expected = _algorithms.Pieces(_algorithms.XXH3)
    for start in range(0, len(data), 300_001):
        expected.add(memoryview(data)[start : start + 300_001])
    monkeypatch.setattr(_algorithms._cpus, "cpu_count", lambda: cpus)
    assert _algorithms.of_data(_algorithms.XXH3, memoryview(data)) == expected.digest()


def test_where_no_thread_can_be_started_it_is_done_in_this_one(monkeypatch):
    data = bytes(40 * _algorithms.BLOCK)
    expected = digest_of(data)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_algorithms._cpus, "cpu_count", lambda: 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert digest_of(data) == expected


def test_the_short_way_for_arguments_and_the_long_one_agree():
    for value in [
        ((1, "x", 2.5), {}),
        ((), {}),
        ((1,), {"k": 3, "a": None}),
        ((b"x",), {"a": b"y"}),
        (1, 2),
        (),
        ((1, 2), [3]),
        (tuple(range(40)), {}),
    ]:
        assert digest_of(value) == Walk(_algorithms.XXH3).digest(value, "value")


def test_nothing_is_loaded_that_the_program_does_not_use():
    done = scripts.run("""
        import sys
        import manyhands
        manyhands.hash([1, {"a": (2.5, {3}, print)}, object(), lambda x: x])
        print([name for name in ("numpy", "pandas", "pyarrow", "polars", "hashlib", "decimal", "uuid", "pathlib") if name in sys.modules])
    """)
    assert (done.stdout, done.stderr) == ("[]\n", "")
