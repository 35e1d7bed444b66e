import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import OptimizerConfig, PhaseConfig
from bert_jax.model.functional import flatten
from bert_jax.model.tasks import task_model
from bert_jax.training.layer_rates import freeze, rates, without_fresh
from bert_jax.training.optimizer import make_optimizer
from tests.layer_fields import FIELDS

LAYERS = 2


@pytest.fixture(scope="module")
def model(model_config):
    return task_model("sequence", 3, model_config)


def by_part(tree):
    """The value of one parameter of each depth."""
    flat = flatten(tree)
    parts = {
        "embeddings": "encoder/embeddings/word/embedding",
        "layer 0": "encoder/layer_0/output/kernel",
        "layer 1": "encoder/layer_1/attention/query/bias",
        "pooler": "encoder/pooler/kernel",
        "head": "classifier/bias",
    }
    return {part: flat[path] for part, path in parts.items()}


def test_rates_fall_from_the_head_down(model):
    """ELECTRA's: rate * decay ** (layers + 1 - depth), the embeddings being depth 0 and the head the last."""
    found = by_part(rates(model.abstract_params, LAYERS, 0.5, -1))
    assert found == {"embeddings": 0.125, "layer 0": 0.25, "layer 1": 0.5, "pooler": 1.0, "head": 1.0}


def test_a_gate_is_of_its_layer_and_the_norm_behind_them_is_not(model_config):
    model = task_model("token", 3, dataclasses.replace(model_config, **FIELDS))
    found = flatten(rates(model.abstract_params, LAYERS, 0.5, 1))
    expected = {"layer_0/gate/kernel": 0.0, "layer_1/gate/kernel": 0.5, "final_norm/scale": 1.0}
    assert {path: found[f"encoder/{path}"] for path in expected} == expected
    kept = without_fresh(dict.fromkeys(found, np.zeros(1)), LAYERS, 1)
    assert "encoder/layer_0/gate/kernel" in kept
    assert not [path for path in kept if "layer_1" in path or "final_norm" in path]


@pytest.mark.slow
def test_an_update_is_multiplied_and_what_is_frozen_is_not_even_decayed(model):
    params = jax.tree.map(jnp.ones_like, model.init(jax.random.key(0)))
    gradients = jax.tree.map(jnp.ones_like, params)
    config, phases = OptimizerConfig(learning_rate=0.1, warmup_steps=0, clip_norm=0.0), [PhaseConfig(10, 8, 16)]
    updates = []
    for multipliers in (None, rates(params, LAYERS, 0.5, 1)):
        optimizer = make_optimizer(config, phases, multipliers)
        updates.append(by_part(optimizer.update(gradients, optimizer.init(params), params)[0]))
    whole, scaled = updates
    for part, by in {"embeddings": 0.0, "layer 0": 0.0, "layer 1": 0.5, "pooler": 1.0, "head": 1.0}.items():
        np.testing.assert_allclose(scaled[part], by * whole[part], rtol=1e-6)
        assert (np.asarray(scaled[part]) == 0).all() == (by == 0)


@pytest.mark.slow
def test_frozen_parameters_get_no_gradient_and_the_others_the_same(model, make_batch):
    batch = make_batch(4)
    inputs = batch["input_ids"], batch["input_mask"], batch["segment_ids"]
    params = model.init(jax.random.key(0))

    def gradient(some):
        return by_part(jax.grad(lambda params: optax.l2_loss(some.apply(params, *inputs)).sum())(params))

    whole, frozen = gradient(model), gradient(freeze(model, LAYERS, 1))
    for part in whole:
        if part in ("embeddings", "layer 0"):
            assert not np.asarray(frozen[part]).any()
        else:
            np.testing.assert_allclose(frozen[part], whole[part], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("fresh", "kept"), [(0, [0, 1, 2]), (1, [0, 1]), (2, [0])])
def test_fresh_layers_and_the_pooler_are_not_taken(fresh, kept):
    names = ["encoder/embeddings/word/embedding", "encoder/layer_0/a", "encoder/layer_1/a", "encoder/pooler/kernel"]
    found = without_fresh(dict.fromkeys(names, np.zeros(1)), LAYERS, fresh)
    expected = [names[number] for number in kept] + ([] if fresh else names[3:])
    assert list(found) == expected
