"""How many tasks go into one message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands._core import batching
from manyhands._core.batching import READING, TARGET, FunctionCost, Pace, batches_ahead
from manyhands._core.tasks import Cost

US = 1_000


def learned(ns, *, times=40, count=1, size=0):
    """The cost of a function whose tasks have always taken ``ns``."""
    cost = FunctionCost()
    for _ in range(times):
        cost.measured(count, ns * count, size * count)
    return cost


def test_a_function_nobody_has_seen_goes_one_by_one():
    assert FunctionCost().batch_size(4, None) == 1
    assert FunctionCost().batch_size(4, 1_000_000) == 1


@pytest.mark.parametrize("ns", [10 * US, 100 * US, 1_000 * US])
def test_a_batch_takes_about_the_target(ns):
    cost = learned(ns, count=1_000)
    assert cost.batch_size(4, None) * ns == pytest.approx(TARGET, rel=0.01)


@pytest.mark.parametrize("ns", [TARGET, TARGET + 1, 100 * TARGET])
def test_long_tasks_go_one_by_one(ns):
    assert learned(ns).batch_size(4, None) == 1


def test_one_sample_does_not_make_a_huge_batch():
    cost = learned(1, times=1)
    sizes = []
    for _ in range(4):
        sizes.append(cost.batch_size(2, None))
        cost.measured(sizes[-1], sizes[-1], 0)
    assert sizes == [64, 64**2, batching._MAX_TASKS, batching._MAX_TASKS]


def test_quick_tasks_have_a_largest_batch():
    assert learned(1, count=100_000).batch_size(1, None) == batching._MAX_TASKS


def test_a_function_that_turns_slow_gets_small_batches():
    cost = learned(10 * US, count=100)
    before = cost.batch_size(2, None)
    for _ in range(10):
        cost.measured(1, 5_000 * US, 0)
    assert before == 1_000
    assert cost.batch_size(2, None) <= 3


def test_one_slow_task_among_many_changes_little():
    cost = learned(10 * US, count=1_000)
    cost.measured(1_000, 1_000 * 10 * US + 10_000 * US, 0)
    assert cost.batch_size(2, None) > 400


def test_batches_shrink_towards_the_end():
    cost = learned(100 * US, count=1_000)
    remaining, sizes = 1_000, []
    while remaining:
        sizes.append(cost.batch_size(4, remaining))
        remaining -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 100  # by the target
    assert sizes[-1] <= batching._MIN_SHARE // (100 * US)
    assert len(sizes) < 40


def test_a_share_is_not_cut_finer_than_a_message_is_worth():
    assert learned(US, count=1_000).batch_size(64, 1_000) == batching._MIN_SHARE // US


def test_never_more_than_there_are():
    assert learned(US, count=1_000).batch_size(2, 7) == 7


def test_large_results_bound_the_batch():
    cost = learned(US, count=100, size=100_000)
    assert cost.batch_size(2, None) == pytest.approx(batching._MAX_BYTES / 100_000, abs=1)


def test_large_arguments_bound_the_batch_at_once():
    cost = learned(US, count=1_000)
    assert cost.batch_size(2, None) > 1_000
    cost.encoded(1, 500_000)
    assert cost.batch_size(2, None) == 2


def test_small_results_do_not_hide_large_arguments():
    cost = learned(US, count=1_000)
    cost.encoded(10, 10 * 500_000)
    for _ in range(100):
        cost.measured(1, US, 8)
    assert cost.batch_size(2, None) == 2


def test_arguments_that_become_small_are_forgiven():
    cost = learned(US, count=1_000)
    cost.encoded(1, 1 << 20)
    for _ in range(50):
        cost.encoded(10, 80)
    assert cost.batch_size(2, None) > 1_000


@given(
    st.lists(st.tuples(st.integers(1, 10**5), st.integers(0, 10**12), st.integers(0, 10**10)), max_size=8),
    st.lists(st.tuples(st.integers(1, 10**5), st.integers(0, 10**10)), max_size=3),
    st.integers(1, 1_000),
    st.none() | st.integers(1, 10**9),
)
def test_a_batch_holds_at_least_one_task_and_never_too_many(measured, encoded, workers, remaining):
    cost = FunctionCost()
    for sample in measured:
        cost.measured(*sample)
    for sample in encoded:
        cost.encoded(*sample)
    size = cost.batch_size(workers, remaining)
    assert 1 <= size <= batching._MAX_TASKS
    assert remaining is None or size <= remaining
    assert size == 1 or size * cost.bytes <= batching._MAX_BYTES
    assert size == 1 or size * cost.ns <= TARGET
    assert cost.ns is None or cost.ns >= 1
    assert cost.bytes >= 0


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_enough_is_ahead_that_no_worker_waits(workers):
    assert batches_ahead(Cost(None), 1, workers) == 2 * workers  # one at work, one behind it
    assert batches_ahead(Cost(TARGET), 1, workers) == 3 * workers
    assert batches_ahead(Cost(1_000 * TARGET), 1, workers) == 2 * workers
    assert batches_ahead(Cost(1), 1, workers) == 65 * workers  # as much as a worker's window holds


def test_pace_grows_while_inputs_are_quick_and_falls_at_once():
    pace = Pace()
    assert pace.most == 1
    sizes = []
    for _ in range(5):
        pace.read(pace.most, pace.most * 1000)
        sizes.append(pace.most)
    assert sizes == sorted(sizes)
    assert sizes[-1] == READING // 1000
    pace.read(10, 10 * 100_000_000)
    assert pace.most == 1
    for _ in range(10):
        pace.read(1, 1000)
    assert pace.most < 10, "inputs that come in bursts are slow"
