"""Means and intervals, against their definitions."""

import math
import statistics

import numpy as np
import pytest

from bert_jax.tasks.scores import spread


def test_seeds_have_the_sample_standard_deviation():
    values = [0.71, 0.74, 0.69]
    found = spread.over_seeds(values)
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.sd == pytest.approx(statistics.stdev(values))
    assert found.each == tuple(values)


def test_one_seed_has_no_deviation():
    found = spread.over_seeds([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.sd)


def test_the_interval_of_a_mean_is_what_theory_says():
    right = np.random.default_rng(3).random(400) < 0.8
    low, high = spread.bootstrap_interval(lambda chosen: right[chosen].mean(), 400)
    error = math.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (low, high) == pytest.approx((right.mean() - 1.96 * error, right.mean() + 1.96 * error), abs=0.2 * error)


def test_a_level_is_the_share_inside_and_a_seed_gives_the_same_again():
    values = np.random.default_rng(0).normal(size=100)

    def interval(**options):
        return spread.bootstrap_interval(lambda chosen: values[chosen].mean(), 100, **options)

    assert interval() == interval()
    assert interval() != interval(seed=1)
    narrow, wide = interval(level=0.5), interval(level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    random = np.random.default_rng(0)
    drawn = [values[random.integers(0, 100, 100)].mean() for _ in range(1000)]
    assert interval(level=0.5) == pytest.approx(tuple(np.percentile(drawn, [25, 75])))


def test_draws_without_a_score_are_left_out():
    low, high = spread.bootstrap_interval(lambda chosen: math.nan if chosen[0] % 2 else 1.0, 10)
    assert (low, high) == (1.0, 1.0)
    assert all(map(math.isnan, spread.bootstrap_interval(lambda chosen: math.nan, 10)))
