"""Against the very generator that is restated: Python's own."""

import random

import numpy as np
import pytest

from bert_jax.data.mersenne_twister import random_below, random_between, random_float, shuffle, state_of

SEEDS = [0, 1, 12345, 2**32, 10**30, *range(100, 120)]
LIMITS = [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 30522, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1]


def same_state(state, rng):
    return tuple(state.tolist()) == rng.getstate()[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_floats(seed):
    rng = random.Random(seed)
    state = state_of(rng)
    assert [random_float(state) for _ in range(1000)] == [rng.random() for _ in range(1000)]
    assert same_state(state, rng)


@pytest.mark.parametrize("limit", LIMITS)
def test_numbers_below(limit):
    rng = random.Random(limit)
    state = state_of(rng)
    assert [random_below(state, limit) for _ in range(1000)] == [rng.randrange(limit) for _ in range(1000)]
    assert same_state(state, rng)


def test_numbers_between():
    rng = random.Random(7)
    state = state_of(rng)
    for least, most in [(0, 0), (2, 125), (5, 6), (1, 1), (100, 1000)] * 200:
        assert random_between(state, least, most) == rng.randint(least, most)
    assert same_state(state, rng)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 9, 125, 128, 129, 1000, 70_000])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_shuffles(length, dtype):
    rng = random.Random(length)
    state = state_of(rng)
    for _ in range(3):
        items, expected = np.arange(length, dtype=dtype), list(range(length))
        shuffle(state, items)
        rng.shuffle(expected)
        assert items.tolist() == expected
    assert same_state(state, rng)


def test_draws_of_all_kinds_in_turn():
    rng, choose = random.Random(3), random.Random(4)
    state = state_of(rng)
    for _ in range(20_000):
        if choose.random() < 0.5:
            assert random_float(state) == rng.random()
        else:
            limit = choose.randint(1, 200)
            assert random_below(state, limit) == rng.randrange(limit)


def test_the_generator_whose_state_is_taken_stays():
    rng = random.Random(5)
    state = state_of(rng)
    random_float(state)
    assert rng.random() == random.Random(5).random()
