"""Both forms of the update, against what the optimizer alone makes of the gradient."""

import jax
import numpy as np
import optax
import pytest

from bert_jax.config import OptimizerConfig, PhaseConfig
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.update import update_for

GROUPS = {
    ("encoder", "embeddings", "kernel"): "embeddings",
    ("encoder", "layer_0", "bias"): "lower_layers",
    ("masked_lm", "kernel"): "heads",
}
SHAPES = {"encoder": {"embeddings": {"kernel": (6, 5)}, "layer_0": {"bias": (5,)}}, "masked_lm": {"kernel": (5, 3)}}


def tree(seed, bad=False):
    random = np.random.default_rng(seed)
    drawn = jax.tree.map(
        lambda shape: random.normal(size=shape).astype(np.float32), SHAPES, is_leaf=lambda node: isinstance(node, tuple)
    )
    if bad:
        drawn["masked_lm"]["kernel"][0, 0] = np.nan
    return drawn


@pytest.fixture(scope="module")
def optimizer():
    return make_optimizer(OptimizerConfig(learning_rate=1e-2, warmup_steps=1), [PhaseConfig(steps=10)])


@pytest.fixture(scope="module")
def started(optimizer):
    """Weights and a state with moments in it, at a step whose rate is not 0."""
    params = tree(0)
    _, state = optimizer.update(tree(1), optimizer.init(params), params)
    return params, state


def same(ours, theirs):
    jax.tree.map(lambda our, their: np.testing.assert_allclose(our, their, rtol=1e-6, atol=1e-9), ours, theirs)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize("measured", [True, False])
def test_a_finite_gradient_is_used(optimizer, started, platform, measured):
    params, state = started
    updates, next_state = optimizer.update(tree(2), state, params)
    given = jax.jit(update_for(optimizer, GROUPS, platform))(tree(2), state, params, True, measured)
    same(given[:2], (optax.apply_updates(params, updates), next_state))
    length = np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(updates)))
    assert float(given[2]["update_norm"]) == pytest.approx(length if measured else 0.0, rel=1e-5)
    assert (float(given[2]["update_norm/heads"]) > 0) == measured


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_of_another_only_the_schedule_knows(optimizer, started, platform):
    params, state = started
    given = jax.jit(update_for(optimizer, GROUPS, platform))(tree(2, bad=True), state, params, False, False)
    schedule = state["rate"]
    expected = state | {"rate": schedule._replace(count=schedule.count + 1)}
    jax.tree.map(np.testing.assert_array_equal, given[:2], (params, expected))
    assert set(map(float, given[2].values())) == {0.0}
