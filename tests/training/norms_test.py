"""Norms by room against NumPy, and which parameter lives in which room."""

import jax
import numpy as np
import pytest

from bert_jax.training.norms import norms_by_room, room_of
from bert_jax.training.state import build_model


@pytest.mark.parametrize(
    ("path", "room"),
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
def test_rooms(path, room):
    assert room_of(tuple(path.split("/")), layers=3) == room


def test_norms_are_those_of_numpy(model_config):
    random = np.random.default_rng(0)
    shapes = build_model(model_config).abstract_params
    tree = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes)
    told = norms_by_room("length", tree)
    assert set(told) == {"length"} | {
        f"length/{room}" for room in ("embeddings", "lower_layers", "upper_layers", "heads")
    }

    def norm(*branches):
        return np.sqrt(sum((leaf.astype(np.float64) ** 2).sum() for leaf in jax.tree.leaves(branches)))

    assert float(told["length"]) == pytest.approx(norm(tree), rel=1e-6)
    assert float(told["length/embeddings"]) == pytest.approx(norm(tree["encoder"]["embeddings"]), rel=1e-6)
    assert float(told["length/lower_layers"]) == pytest.approx(norm(tree["encoder"]["layer_0"]), rel=1e-6)
    heads = norm(tree["masked_lm"], tree["next_sentence"], tree["encoder"]["pooler"])
    assert float(told["length/heads"]) == pytest.approx(heads, rel=1e-6)
