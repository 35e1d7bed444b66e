"""Norms by group against NumPy, and which parameter is in which group."""

import jax
import numpy as np
import pytest

from bert_jax.model.encoder import parameter_group
from bert_jax.model.pretraining import pretraining_model
from bert_jax.training.norms import norms_by_group


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("encoder/embeddings/word/embedding", "embeddings"),
        ("encoder/layer_0/attention/query/kernel", "lower_layers"),
        ("encoder/layer_1/output/bias", "lower_layers"),
        ("encoder/layer_2/output/bias", "upper_layers"),
        ("encoder/pooler/kernel", "heads"),
        ("masked_lm/output_bias", "heads"),
        ("next_sentence/kernel", "heads"),
    ],
)
def test_groups(path, group):
    assert parameter_group(tuple(path.split("/")), num_layers=3) == group


def test_norms_are_those_of_numpy(model_config):
    random = np.random.default_rng(0)
    model = pretraining_model(model_config)
    tree = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), model.abstract_params)
    norms = norms_by_group("length", tree, model.groups)
    assert set(norms) == {"length"} | {
        f"length/{group}" for group in ("embeddings", "lower_layers", "upper_layers", "heads")
    }

    def norm(*branches):
        return np.sqrt(sum((leaf.astype(np.float64) ** 2).sum() for leaf in jax.tree.leaves(branches)))

    assert float(norms["length"]) == pytest.approx(norm(tree), rel=1e-6)
    assert float(norms["length/embeddings"]) == pytest.approx(norm(tree["encoder"]["embeddings"]), rel=1e-6)
    assert float(norms["length/lower_layers"]) == pytest.approx(norm(tree["encoder"]["layer_0"]), rel=1e-6)
    heads = norm(tree["masked_lm"], tree["next_sentence"], tree["encoder"]["pooler"])
    assert float(norms["length/heads"]) == pytest.approx(heads, rel=1e-6)
