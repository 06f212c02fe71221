"""Cached methods: the object that they are called on is an argument."""

from __future__ import annotations

import asyncio
import functools
import sys

import numpy as np
import pytest

import manyhands
from manyhands import Memory, NotStored


@pytest.fixture
def memory(tmp_path):
    memory = Memory(tmp_path)
    yield memory
    memory.close()


class Line:
    def __init__(self, slope):
        self.slope = slope

    def at(self, x):
        return self.slope * x

    def __call__(self, x):
        return self.slope * x

    async def later(self, x):
        return self.slope * x

    def steps(self, x):
        yield self.slope * x


@pytest.mark.parametrize("way", ["cache", "eval", "map", "partial", "call"])
def test_a_method_counts_with_its_object(memory, way):
    calls = {
        "cache": lambda line: memory.cache(line.at)(3),
        "eval": lambda line: memory.eval(line.at, 3),
        "map": lambda line: manyhands.map(line.at, [3], cache=memory)[0],
        "partial": lambda line: memory.cache(functools.partial(line.at, 3))(),
        "call": lambda line: memory.cache(line.__call__)(3),
    }
    assert [calls[way](Line(slope)) for slope in (2, 5, 2)] == [6, 15, 6]


def test_a_method_sees_what_its_object_becomes(memory):
    line = Line(2)
    at = memory.cache(line.at)
    assert at(3) == 6
    line.slope = 5
    assert at(3) == 15
    assert at.check_call_in_cache(3)
    assert Memory(memory.location).cache(Line(5).at).check_call_in_cache(3)


@pytest.mark.parametrize("way", ["cache", "eval", "map", "partial"])
def test_a_method_that_is_cached_already_keeps_its_object(memory, way):
    class Cached(Line):
        at = memory.cache(Line.at)

    calls = {
        "cache": lambda line: memory.cache(line.at)(3),
        "eval": lambda line: memory.eval(line.at, 3),
        "map": lambda line: manyhands.map(line.at, [3], cache=memory)[0],
        "partial": lambda line: memory.cache(functools.partial(line.at, 3))(),
    }
    assert [calls[way](Cached(slope)) for slope in (2, 5)] == [6, 15]


def test_methods_in_c_count_with_their_object(memory):
    array = np.arange(4)
    total = memory.cache(array.sum)
    assert [total(), memory.cache(np.arange(5).sum)()] == [6, 10]
    array[0] = 100
    assert total() == 106
    assert [memory.cache({1: 2}.get)(1), memory.cache({1: 3}.get)(1), memory.cache((5).__add__)(1)] == [2, 3, 6]


def test_methods_that_are_coroutine_or_generator_functions(memory):
    assert [asyncio.run(memory.cache(Line(slope).later)(3)) for slope in (2, 5)] == [6, 15]
    assert [list(memory.cache(Line(slope).steps)(3)) for slope in (2, 5)] == [[6], [15]]


def test_the_object_can_be_ignored(memory):
    assert [memory.cache(Line(slope).at, ignore=["self"])(3) for slope in (2, 5)] == [6, 6]


def test_a_cached_method_has_the_name_and_the_function_of_the_method(memory):
    at = memory.cache(Line(2).at)
    assert (at.__name__, at.__qualname__, at.func(3)) == ("at", "Line.at", 6)
    assert at.why(3).startswith("it would be computed")
    at(3)
    assert at.why(3) == "it is stored"
    assert at.call_and_shelve(3).get() == 6


def test_what_was_cached_without_a_folder_can_be_cached_with_one(memory):
    assert memory.cache(Memory(None).cache(Line(2).at))(3) == 6
    assert memory.cache(Line(2).at).check_call_in_cache(3)


def test_a_recursion_may_be_as_deep_as_a_third_of_the_limit(memory):
    @memory.cache
    def depth(level):
        return 0 if level == 0 else 1 + depth(level - 1)

    levels = sys.getrecursionlimit() * 27 // 100
    assert depth(levels) == levels


# ------------------------------------------------------------ kinds of functions


class Later:
    async def __call__(self, x):
        return 2 * x


class Steps:
    def __call__(self, x):
        yield x


def test_objects_that_are_called_like_coroutine_and_generator_functions(memory):
    later, steps = memory.cache(Later()), memory.cache(Steps())
    assert [asyncio.run(later(3)), asyncio.run(later(3))] == [6, 6]
    assert later.check_call_in_cache(3)
    assert [list(steps(3)), list(steps(3))] == [[3], [3]]
    assert steps.check_call_in_cache(3)
    assert asyncio.run(Memory(None).cache(Later()).call(3)) == (6, {})


def test_a_plain_function_that_returns_a_coroutine_says_what_to_do(memory):
    async def later(x):
        return 2 * x

    @functools.wraps(later)
    def wrapper(x):
        return later(x)

    with pytest.raises(NotStored, match="make both coroutine functions") as raised:
        memory.cache(wrapper)(3)
    assert asyncio.run(raised.value.result) == 6
