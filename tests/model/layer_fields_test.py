"""The fields by which layers are not BERT's, against the same model in torch, in float64, with its gradients."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest

from bert_jax.config import ModelConfig
from bert_jax.model.functional import flatten, param_count
from bert_jax.model.pretraining import pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from tests.layer_fields import FIELDS
from tests.random_params import random_params
from tests.torch_layers import reference

BATCH, LENGTH = 3, 20
PLAIN = ModelConfig(
    vocab_size=90,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=32,
    layer_norm_eps=1e-5,
)
ALL = dataclasses.replace(PLAIN, **FIELDS)
CASES = {name: dataclasses.replace(PLAIN, **{name: value}) for name, value in FIELDS.items()}
CASES |= {"all": ALL, "all, shared": dataclasses.replace(ALL, embedding_size=16, num_hidden_groups=1)}
CASES["all, left to right"] = dataclasses.replace(ALL, left_to_right=True, next_sentence=False, type_vocab_size=0)


def make_batch(config):
    random = np.random.default_rng(5)
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [13], [8]])).astype(np.int32)
    return {
        "input_ids": random.integers(1, config.vocab_size, (BATCH, LENGTH)).astype(np.int32) * mask,
        "input_mask": mask,
        "segment_ids": random.integers(0, 2, (BATCH, LENGTH)).astype(np.int32) * mask,
        "masked_lm_positions": np.array([[0, 3, 19], [2, 7, 12], [1, 5, 7]], np.int32),
        "masked_lm_ids": random.integers(1, config.vocab_size, (BATCH, 3)).astype(np.int32),
        "masked_lm_weights": np.ones((BATCH, 3), np.float32),
        "next_sentence_labels": np.array([[0], [1], [1]], np.int32),
    }


def our_loss(config, batch, **how):
    objective = PretrainingObjective(config)
    apply = objective.model(**how).apply

    def loss(params):
        return objective.loss(objective.sums(apply(params, **objective.inputs(batch)), batch), objective.weights(batch))

    return jax.jit(jax.value_and_grad(loss))


def check_gradients(ours, theirs):
    whole = math.sqrt(sum(float(gradient.square().sum()) for gradient in theirs.values()))
    assert ours.keys() == theirs.keys()
    for path, gradient in theirs.items():
        limit = 1e-4 * float(gradient.norm()) + 1e-7 * whole  # the key's bias has none but for rounding
        assert np.linalg.norm(ours[path] - gradient.numpy()) < limit, path


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_sequence", [False, True])
def test_loss_and_gradients(name, by_sequence):
    config = CASES[name]
    config.check()
    params, batch = random_params(config, sd=0.3), make_batch(config)
    theirs = reference(config, params)
    expected = theirs.loss(batch)
    expected.backward()
    loss, gradients = our_loss(config, batch, by_sequence=by_sequence)(params)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
    check_gradients(flatten(gradients), {path: weight.grad for path, weight in theirs.weights.items()})


@pytest.mark.parametrize("fields", list(itertools.product([False, True], repeat=len(FIELDS))), ids=str)
def test_parameters_are_counted(fields):
    chosen = {name: value for has, (name, value) in zip(fields, FIELDS.items(), strict=True) if has}
    for more in ({}, {"embedding_size": 16, "num_hidden_groups": 1, "type_vocab_size": 0, "next_sentence": False}):
        config = dataclasses.replace(PLAIN, **chosen, **more)
        assert param_count(pretraining_model(config)) == config.parameters
        assert config.unlike_bert == chosen
