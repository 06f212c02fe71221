"""Shared objects where Python and its library look at the class of an object: dataclasses, ``match``, and what rebuilds containers."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, defaultdict, deque
from types import SimpleNamespace

import pytest

import manyhands
from manyhands import batch, share


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    tags: list = dataclasses.field(default_factory=list)
    inner: Point | None = None


@pytest.fixture(params=["here", "there"])
def at(request):
    if request.param == "here":
        yield lambda fn, *args: fn(*args)
    else:
        with manyhands.Executor(max_workers=1) as executor:
            yield lambda fn, *args: executor.submit(fn, *args).result()


def as_dataclass(p):
    changed = dataclasses.replace(p, x=5)
    return (
        dataclasses.is_dataclass(p),
        [field.name for field in dataclasses.fields(p)],
        dataclasses.asdict(p),
        dataclasses.astuple(p),
        (type(changed) is Point, changed.x, changed.y),
    )


def test_dataclasses(at):
    point = Point(1, 2, [3], Point(4))
    assert at(as_dataclass, share(point)) == as_dataclass(point)
    assert type(dataclasses.asdict(share(point))["tags"]) is list
    assert not dataclasses.is_dataclass(share([]))


def matched(thing):  # noqa: C901 - each case is one
    match thing:
        case Point(1, y=y):
            return "a point", y
        case Point():
            return "another point"
        case {"missing": _}:
            return "what is not there"
        case {"a": a, **rest}:
            return "a mapping", a, rest
        case {}:
            return "another mapping"
        case [first, *rest]:
            return "a sequence", first, rest
        case []:
            return "an empty sequence"
        case str(text):
            return "a text", text
        case int() | float():
            return "a number"
        case SimpleNamespace(a=a):
            return "an object", a
        case _:
            return "nothing"


THINGS = {
    "a point": Point(1, 2),
    "another point": Point(2),
    "a mapping": {"a": 1, "b": 2},
    "an ordered mapping": OrderedDict(a=1),
    "another mapping": {"b": 1},
    "a list": [1, 2, 3],
    "a tuple": (1, 2),
    "a queue": deque([1]),
    "an empty list": [],
    "a text": "text",
    "a number": 5,
    "an object": SimpleNamespace(a=1),
    "a set": {1},
}


@pytest.mark.parametrize("name", THINGS)
def test_match(at, name):
    thing = THINGS[name]
    assert at(matched, share(thing)) == matched(thing)


def test_what_get_has_for_a_key_that_is_not_there(at):
    def use(table):
        default = object()
        return table.get("missing", default) is default, table.get("a", default), table.get("missing"), table.get("missing", 0)

    assert at(use, share({"a": 1})) == (True, 1, None, 0)


def test_views_of_an_ordered_mapping(at):
    def use(table):
        return list(table.keys()), list(table.items()), dict(table), list(table)

    assert at(use, share(OrderedDict(a=1, b=2))) == (["a", "b"], [("a", 1), ("b", 2)], {"a": 1, "b": 2}, ["a", "b"])


def test_the_class_of_a_proxy_makes_what_the_object_is(at):
    def use(items, table):
        return type(items)((1, 2)), type(table)(a=1)

    assert at(use, share([3]), share({})) == ([1, 2], {"a": 1})


def change_what_is_in(table):
    for items in table.values():
        items.append("by values")
    for key, items in table.items():
        items.append(key)
    with batch(table) as calls:
        seen = calls.values()
    for items in seen.result():
        items.append("in a batch")


@pytest.mark.parametrize("make", [dict, OrderedDict, lambda **has: defaultdict(list, has)])
def test_what_is_reached_by_views_is_the_mappings_own(at, make):
    table = make(a=[])
    at(change_what_is_in, share(table))
    assert table == {"a": ["by values", "a", "in a batch"]}


def test_a_view_in_another_process_is_that_of_a_moment():
    table = share.new(dict, a=1, b=[2])
    assert [table.pop(key) for key, _ in table.items()] == [1, [2]]
    assert table == {}


class Registry(UserDict):
    def get(self, key, make):
        return self[key] if key in self else make(key)


def test_a_mapping_with_a_get_of_its_own(at):
    assert at(lambda table: (table.get("a", str.upper), table.get("b", str.upper)), share(Registry(a=1))) == (1, "B")
