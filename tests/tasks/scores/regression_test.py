"""Scores of a regression, against plain arithmetic."""

import math
import warnings

import numpy as np
import pytest

from bert_jax.tasks.scores.regression import regression


def plain_pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())


def ranks(values):
    """1 for the least; equal values share the mean of their ranks."""
    return np.asarray([np.mean(np.flatnonzero(np.sort(values) == value) + 1) for value in values])


def test_scores_equal_plain_arithmetic():
    random = np.random.default_rng(0)
    gold = np.round(random.random(200) * 5, 1)  # with equal values
    predicted = np.round(gold + random.normal(size=200), 1)
    expected = {
        "pearson": plain_pearson(gold, predicted),
        "spearman": plain_pearson(ranks(gold), ranks(predicted)),
        "mse": np.mean((gold - predicted) ** 2),
        "mae": np.mean(np.abs(gold - predicted)),
    }
    assert regression(gold.tolist(), predicted.tolist()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ([1, 2, 3], [2, 2, 2]),
        ([2, 2, 2], [1, 2, 3]),
        ([1], [2]),
        ([1, 2, 3], [1, math.nan, 3]),
        ([1, 2], [1, math.inf]),
    ],
)
def test_a_correlation_that_is_not_defined_is_no_number_and_no_warning(gold, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = regression(gold, predicted)
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])
    if np.isfinite(predicted).all():
        assert found["mse"] == pytest.approx(np.mean((np.asarray(gold) - predicted) ** 2))
