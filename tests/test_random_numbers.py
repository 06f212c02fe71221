"""``rng=``: the same random numbers, however the work is spread; and those that tasks draw without it."""

from __future__ import annotations

import asyncio
import os
import random

import numpy as np
import pytest

import manyhands
from manyhands import Parallel, delayed

SEED = 20_26


def draw(x, rng):
    return x, rng.random(3).tolist()


def add(x, y, *, rng):
    return x + y + rng.integers(1000)


EXPECTED = [(x, np.random.default_rng(seed).random(3).tolist()) for x, seed in enumerate(np.random.SeedSequence(SEED).spawn(20))]


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"workers": 3, "chunk": 1},
        {"chunk": 7},
        {"backend": "threads"},
        {"backend": "sequential"},
        {"errors": "return"},
    ],
    ids=str,
)
def test_they_do_not_depend_on_how_the_work_is_spread(options):
    assert manyhands.map(draw, range(20), rng=SEED, **options) == EXPECTED
    assert list(manyhands.imap(draw, (x for x in range(20)), rng=SEED, **options)) == EXPECTED
    assert sorted(manyhands.map(draw, range(20), rng=SEED, ordered=False, **options)) == EXPECTED


def test_nor_on_repetitions(tmp_path):
    def shaky(x, rng):
        values = rng.random(3).tolist()
        try:
            (tmp_path / str(x)).touch(exist_ok=False)
        except FileExistsError:
            return x, values
        if x % 2:
            os._exit(1)
        raise OSError

    assert manyhands.map(shaky, range(20), rng=SEED, retries=3) == EXPECTED


def test_several_inputs_and_asynchronously():
    seeds = np.random.SeedSequence(5).spawn(2)
    expected = [x + y + np.random.default_rng(seed).integers(1000) for x, y, seed in zip((1, 2), (3, 4), seeds, strict=True)]
    assert manyhands.map(add, [1, 2], [3, 4], rng=5) == expected

    async def collect():
        return [value async for value in manyhands.aimap(add, [1, 2], [3, 4], rng=5)]

    assert asyncio.run(collect()) == expected


def test_seeds():
    of_a_list = manyhands.map(draw, range(2), rng=[1, 2, 3])
    assert of_a_list == manyhands.map(draw, range(2), rng=np.random.SeedSequence([1, 2, 3]))
    child = np.random.SeedSequence(SEED).spawn(2)[1]
    expected = [(x, np.random.default_rng(seed).random(3).tolist()) for x, seed in enumerate(child.spawn(2))]
    assert manyhands.map(draw, range(2), rng=child) == expected
    assert manyhands.map(draw, range(1), rng=1) != manyhands.map(draw, range(1), rng=2)
    for bad in (-1, "seed", 1.5):
        with pytest.raises(ValueError, match="rng is a seed"):
            manyhands.map(draw, range(2), rng=bad)


def first_numbers(generators):
    return [(x, rng.random(3).tolist()) for x, rng in enumerate(generators)]


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.Philox])
def test_a_generator_spawns_others(bits):
    """One child for each call, whose children are those of the tasks; of its own kind, and the same in the next run of the program."""

    def draw_of_kind(x, rng):
        assert type(rng.bit_generator) is bits
        return draw(x, rng)

    rng, twin = (np.random.Generator(bits(SEED)) for _ in range(2))
    found = [manyhands.map(draw_of_kind, range(4), rng=rng), list(manyhands.imap(draw_of_kind, range(4), rng=rng))]
    assert found == [first_numbers(child.spawn(4)) for child in twin.spawn(2)]
    assert rng.random() == twin.random()  # what it draws itself is as it was


def test_seeds_that_mix_more():
    expected = first_numbers(map(np.random.default_rng, np.random.SeedSequence(SEED, pool_size=8).spawn(3)))
    assert manyhands.map(draw, range(3), rng=np.random.SeedSequence(SEED, pool_size=8)) == expected


def test_a_generator_that_cannot_spawn():
    legacy = np.random.Generator(np.random.RandomState(1)._bit_generator)
    with pytest.raises(ValueError, match="Generator that can spawn"):
        manyhands.map(draw, range(2), rng=legacy)


def test_it_belongs_to_a_call():
    with pytest.raises(TypeError, match=r"not for a block.*rng=rng"), manyhands.options(rng=1):
        pass


def test_a_failure_names_the_function():
    def fail(x, rng):
        raise KeyError(x)

    with pytest.raises(KeyError) as found:
        manyhands.map(fail, [5], rng=1)
    assert "fail" in "".join(found.value.__notes__)


def distinct(values):
    return len(set(values))


def test_functions_of_modules_draw_from_the_workers_own_generator():
    """They are methods of one generator; a copy of that would give all tasks the same number."""
    assert distinct(manyhands.map(random.uniform, [0] * 8, [1] * 8, workers=2, chunk=1)) == 8
    assert distinct(manyhands.map(np.random.normal, [0] * 8, workers=2, chunk=2)) == 8
    assert distinct(Parallel(2)(delayed(random.random)() for _ in range(8))) == 8
    with manyhands.Executor(2) as executor:
        assert distinct(executor.submit(np.random.rand).result() for _ in range(8)) == 8


def test_nor_does_a_function_bring_one_that_it_names():
    draw, generator = random.random, np.random.mtrand._rand

    def both(_):
        return draw(), generator.rand()

    values = manyhands.map(both, range(8), workers=2, chunk=1)
    assert distinct(first for first, _ in values) == distinct(second for _, second in values) == 8


def test_an_initializer_seeds_the_workers_own():
    with manyhands.Pool(1, random.seed, (SEED,)) as pool:
        assert pool.apply(random.random) == random.Random(SEED).random()
    with manyhands.Pool(1, np.random.mtrand._rand.seed, (SEED,)) as pool:
        assert pool.apply(np.random.rand) == np.random.RandomState(SEED).rand()


@pytest.mark.parametrize("make", [random.Random, np.random.RandomState])
def test_a_generator_of_ones_own_is_an_argument_like_others(make):
    numbers = [make(SEED).uniform(0, 1)] * 4
    assert manyhands.map(make(SEED).uniform, [0] * 4, [1] * 4, workers=2, chunk=2) == numbers
    assert manyhands.map(lambda generator: generator.uniform(0, 1), [make(SEED)] * 4, workers=2, chunk=1) == numbers
