"""Which layer went bad, on weights that are really poisoned: each place is named, and only the first."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import Config, TrainConfig
from bert_jax.errors import UserError
from bert_jax.training.culprit import culprit, stop_at_bad_numbers
from bert_jax.training.state import build_model

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def config(model_config):
    return Config(model=model_config, train=TrainConfig(remat="full"))  # which hides what a layer computes


@pytest.fixture(scope="module")
def params(model_config):
    return jax.tree.map(np.asarray, jax.jit(build_model(model_config).init)(KEY))


@pytest.fixture(scope="module")
def batch(make_batch):
    return make_batch(8)


def changed(params, path, change):
    """The parameters with one of them changed."""
    first, *rest = path.split("/")
    return params | {first: changed(params[first], "/".join(rest), change) if rest else change(params[first])}


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (
            "encoder/layer_1/attention/key/kernel",
            np.nan,
            "encoder/layer_1/attention/key/kernel: the weights themselves",
        ),
        ("encoder/layer_1/attention/output/kernel", 3e38, "encoder/layer_1/attention_norm: activations"),
        ("encoder/layer_0/intermediate/kernel", 3e38, "encoder/layer_0/intermediate: activations"),
        ("encoder/layer_1/output/kernel", 3e38, "encoder/layer_1/output: activations"),
        ("encoder/embeddings/word/embedding", 1e38, "encoder/embeddings/norm: activations"),
        ("encoder/pooler/kernel", 3e38, "encoder/pooler: activations"),
        ("masked_lm/transform/kernel", 3e38, "masked_lm/transform: activations"),
    ],
)
def test_the_first_bad_place_is_named(config, params, batch, path, value, found):
    poisoned = changed(params, path, lambda leaf: leaf * 0 + np.float32(value))
    assert culprit(config, poisoned, batch, KEY).startswith(found.split(":")[0])
    assert culprit(config, poisoned, batch, KEY).endswith(found.split(":")[1])


def test_nothing_is_found_where_nothing_is(config, params, batch):
    assert "look at the machine" in culprit(config, params, batch, KEY)


def test_labels_and_pieces(config, params, batch):
    config = dataclasses.replace(config, train=TrainConfig(accumulation_steps=2))
    weights = batch["masked_lm_weights"].copy()
    weights[5, 0] = np.nan
    assert culprit(config, params, batch | {"masked_lm_weights": weights}, KEY).startswith("the loss: labels")


def test_a_gradient_on_the_way_back(config, params, batch):
    """The pooler gives 0, so that nothing overflows forward; backward, 3e38 meets hidden states of 100."""
    poisoned = changed(params, "encoder/pooler/kernel", np.zeros_like)
    poisoned = changed(poisoned, "encoder/layer_1/output_norm/scale", lambda leaf: leaf * 100)
    poisoned = changed(poisoned, "next_sentence/kernel", lambda leaf: leaf * 0 + np.float32([3e38, -3e38]))
    assert culprit(config, poisoned, batch, KEY) == "encoder/pooler/kernel: gradient"


def test_the_run_stops_with_one_line(config, params, batch):
    stop_at_bad_numbers(config, 7, params, batch, skipped=0.0)
    poisoned = changed(params, "encoder/pooler/bias", lambda leaf: leaf * jnp.nan)
    with pytest.raises(UserError, match=r"step 7 gave no finite.*encoder/pooler/bias: the weights"):
        stop_at_bad_numbers(config, 7, poisoned, batch, skipped=1.0)
