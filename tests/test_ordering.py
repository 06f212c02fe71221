"""Results in the order of the inputs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyhands._core.ordering import Reorder


def taken(order):
    """All that can be given out now."""
    values = []
    while (run := order.take()) is not None:
        values += run
    return values


def test_a_run_waits_for_those_before_it():
    order = Reorder()
    order.put(2, ["c"])
    assert order.take() is None
    assert len(order) == 1
    order.put(0, ["a", "b"])
    assert order.take() == ["a", "b"]
    assert order.next == 2
    assert order.take() == ["c"]
    assert order.take() is None
    assert len(order) == 0


def test_an_empty_run_is_nothing():
    order = Reorder()
    order.put(0, [])
    assert order.take() is None
    assert len(order) == 0
    order.put(0, ["a"])
    assert order.take() == ["a"]


def test_none_and_empty_values_are_results():
    order = Reorder()
    order.put(0, [None, [], 0])
    assert order.take() == [None, [], 0]


def test_drain_gives_what_is_left_gaps_or_not():
    order = Reorder()
    order.put(7, ["h"])
    order.put(3, ["d", "e"])
    assert order.take() is None
    assert order.drain() == ["d", "e", "h"]
    assert order.drain() == []
    assert len(order) == 0


@st.composite
def shuffled_runs(draw):
    lengths = draw(st.lists(st.integers(1, 5), max_size=30))
    firsts = [sum(lengths[:i]) for i in range(len(lengths))]
    return draw(st.permutations([list(range(first, first + n)) for first, n in zip(firsts, lengths, strict=True)]))


@given(shuffled_runs())
def test_every_result_comes_once_and_in_order(runs):
    order = Reorder()
    seen = []
    for run in runs:
        order.put(run[0], run)
        seen += taken(order)
        assert seen == list(range(len(seen)))
        assert order.next == len(seen)
    assert len(seen) == sum(map(len, runs))
    assert len(order) == 0


@given(shuffled_runs(), st.integers(0, 30))
def test_nothing_is_kept_twice_or_lost_when_it_is_given_up(runs, count):
    order = Reorder()
    seen = []
    for run in runs[:count]:
        order.put(run[0], run)
        seen += taken(order)
    left = order.drain()
    assert left == sorted(left)
    assert sorted(seen + left) == sorted(value for run in runs[:count] for value in run)
