"""Clipping by global norm, against tf.clip_by_global_norm's documented formula in float64."""

import jax
import numpy as np
import optax
import pytest

from bert_jax.config import OptimizerConfig
from bert_jax.training.optimizer import clip


def clipped(gradients, limit):
    """What `clip` makes of a list of float32 arrays."""
    return jax.jit(lambda tree: clip(OptimizerConfig(clip_norm=limit)).update(tree, optax.EmptyState())[0])(gradients)


@pytest.mark.parametrize("limit", [1.0, 0.3, 25.0, 0.0])
def test_it_is_the_gradient_times_the_limit_over_the_norm_or_itself(limit):
    random = np.random.default_rng(0)
    gradients = [random.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5,), (11, 6))]
    norm = np.sqrt(sum(np.square(each.astype(np.float64)).sum() for each in gradients))
    scale = min(1.0, limit / norm) if limit else 1.0
    for each, result in zip(gradients, clipped(gradients, limit), strict=True):
        np.testing.assert_allclose(result, each.astype(np.float64) * scale, rtol=5e-7)


def test_zeros_stay_zeros():
    assert not np.any(clipped([np.zeros(3, np.float32)], 1.0)[0])


@pytest.mark.parametrize("number", [1e30, np.inf, np.nan])
def test_of_a_norm_that_is_not_finite_nothing_is_finite(number):
    results = clipped([np.array([1.0, number], np.float32), np.ones(2, np.float32)], 1.0)
    assert not any(np.isfinite(each).any() for each in results)
