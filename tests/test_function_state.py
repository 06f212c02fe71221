"""The code that runs is the code that was submitted: what tasks do to a function's state, or its owner later, no task sees."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scripts

import manyhands
from manyhands import Parallel, delayed


class Counter:
    def __init__(self):
        self.n = 0

    def step(self, _):
        self.n += 1
        return self.n

    def __call__(self, _):
        return self.step(_)


def closures():
    n, seen = 0, []

    def rebinding(_):
        nonlocal n
        n += 1
        return n

    def appending(_):
        seen.append(1)
        return len(seen)

    def by_default(_, seen=[]):  # noqa: B006 - that is the point
        seen.append(1)
        return len(seen)

    def by_attribute(_):
        by_attribute.n = getattr(by_attribute, "n", 0) + 1
        return by_attribute.n

    return [rebinding, appending, by_default, by_attribute]


def stateful():
    return [Counter().step, Counter(), functools.partial(Counter().step), *closures()]


@pytest.mark.parametrize("position", range(len(stateful())))
def test_each_task_gets_the_function_as_it_was_sent(position):
    function = stateful()[position]
    assert manyhands.map(function, range(5), workers=1) == [1] * 5
    assert manyhands.map(function, range(3), workers=1, chunk=3) == [1] * 3
    with manyhands.Executor(1) as executor:
        assert [executor.submit(function, 0).result() for _ in range(3)] == [1] * 3


@pytest.mark.parametrize("size", [10, 100_000])
def test_each_task_may_write_to_an_array_that_its_function_holds(size):
    array = np.zeros(size)

    def increase(_):
        array[0] += 1
        return float(array[0])

    assert manyhands.map(increase, range(5), workers=1) == [1.0] * 5
    array[0] = 10
    assert manyhands.map(increase, range(5), workers=1) == [11.0] * 5
    assert manyhands.map(functools.partial(np.add, array), [1], workers=1)[0][0] == 11


def test_parallel_sends_a_function_as_it_is_when_it_is_read():
    code = """
        from manyhands import Parallel, delayed
        number, numbers = 0, [0]
        def bound():
            return number
        def inner():
            return bound()
        def inside():
            return numbers[0]
        def calls(function):
            global number
            for value in range(5):
                number = numbers[0] = value
                yield delayed(function)()
        for function in (bound, inner, inside, lambda: number):
            print(Parallel(n_jobs=2)(calls(function)))
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["[0, 1, 2, 3, 4]"] * 4, done.stderr


def test_parallel_with_a_closure_that_changes():
    limit = 0

    def below():
        return limit

    def calls():
        nonlocal limit
        for value in range(5):
            limit = value
            yield delayed(below)()

    assert Parallel(n_jobs=2)(calls()) == list(range(5))
