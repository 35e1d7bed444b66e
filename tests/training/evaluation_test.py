"""Held-out means and floors against a recount in NumPy, on all devices, with a last batch that is not full."""

import dataclasses
import math
from collections import Counter

import jax
import numpy as np
import pytest

from bert_jax.config import MeshConfig
from bert_jax.model.functional import param_shardings
from bert_jax.objectives.pretraining import PretrainingObjective, context_free_baseline
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.evaluation import evaluate, jit_evaluation_step

ROWS = 21  # as many as there are held out; the batches have 16


@pytest.fixture(scope="module")
def objective(model_config):
    return PretrainingObjective(dataclasses.replace(model_config, num_hidden_layers=1))


@pytest.fixture(scope="module")
def model(objective):
    return objective.model()


@pytest.fixture(scope="module")
def params(model):
    """Not the fresh ones, with which all guesses are nearly alike."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype(np.float32), model.abstract_params)


@pytest.fixture(scope="module")
def held_out(make_batch):
    return make_batch(ROWS, seed=11)


def split(held_out, rows):
    """Batches of `rows`, the last one filled up with zeros."""
    for first in range(0, ROWS, rows):
        chunk = {name: array[first : first + rows] for name, array in held_out.items()}
        missing = rows - len(chunk["input_ids"])
        yield {name: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for name, array in chunk.items()}


@pytest.fixture(scope="module")
def scores(objective, model, params, held_out):
    """On eight devices, in batches of 16."""
    mesh = make_mesh(MeshConfig(2, 2, 2))
    shardings = param_shardings(model, mesh)
    step = jit_evaluation_step(objective, model, mesh, shardings)
    with jax.set_mesh(mesh):
        batches = (jax.device_put(batch, batch_sharding(mesh)) for batch in split(held_out, 16))
        return evaluate(objective, step, jax.device_put(params, shardings), batches)


def entropy(labels):
    counts = Counter(labels)
    return -sum(count / len(labels) * math.log(count / len(labels)) for count in counts.values())


def share_of_commonest(labels):
    return Counter(labels).most_common(1)[0][1] / len(labels)


def test_the_floors_are_those_of_the_labels(scores, held_out):
    words = held_out["masked_lm_ids"][held_out["masked_lm_weights"] > 0].tolist()
    labels = held_out["next_sentence_labels"][:, 0].tolist()
    assert scores["unigram_loss"] == pytest.approx(entropy(words), rel=1e-6)
    assert scores["unigram_accuracy"] == pytest.approx(share_of_commonest(words), rel=1e-6)
    assert scores["majority_next_sentence_loss"] == pytest.approx(entropy(labels), rel=1e-6)
    assert scores["majority_next_sentence_accuracy"] == pytest.approx(share_of_commonest(labels), rel=1e-6)


def test_the_means_are_over_the_rows_that_there_are(scores, model, params, held_out):
    names = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")
    logits = jax.jit(model.apply)(params, *(held_out[name] for name in names))
    words, sentences = (np.asarray(jax.nn.log_softmax(array), np.float64) for array in logits)
    there = held_out["masked_lm_weights"] > 0
    ids, labels = held_out["masked_lm_ids"], held_out["next_sentence_labels"][:, 0]
    word_losses = -np.take_along_axis(words, ids[..., None], -1)[..., 0][there]
    sentence_losses = -sentences[np.arange(ROWS), labels]
    assert scores["masked_lm_loss"] == pytest.approx(word_losses.mean(), rel=1e-5)
    assert scores["masked_lm_accuracy"] == pytest.approx((words.argmax(-1) == ids)[there].mean(), rel=1e-6)
    assert scores["next_sentence_loss"] == pytest.approx(sentence_losses.mean(), rel=1e-5)
    assert scores["next_sentence_accuracy"] == pytest.approx((sentences.argmax(-1) == labels).mean(), rel=1e-6)
    assert scores["loss"] == pytest.approx(word_losses.mean() + sentence_losses.mean(), rel=1e-5)


def test_the_scores_do_not_depend_on_the_batches(scores, objective, model, params, held_out):
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    step = jit_evaluation_step(objective, model, mesh, param_shardings(model, mesh))
    assert evaluate(objective, step, params, split(held_out, 5)) == pytest.approx(scores, rel=1e-5)


def test_the_scores_do_not_depend_on_accumulation(scores, objective, model, params, held_out):
    mesh = make_mesh(MeshConfig(2, 2, 1), jax.devices()[:4])
    shardings = param_shardings(model, mesh)
    step = jit_evaluation_step(objective, model, mesh, shardings, chunks=2)
    with jax.set_mesh(mesh):
        batches = (jax.device_put(batch, batch_sharding(mesh)) for batch in split(held_out, 8))
        found = evaluate(objective, step, jax.device_put(params, shardings), batches)
    assert found == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize(
    ("counts", "loss", "accuracy"),
    [([5, 5, 0, 0], math.log(2), 0.5), ([0, 9], 0.0, 1.0), ([1, 1, 2], 1.5 * math.log(2), 0.5), ([0, 0], 0.0, 0.0)],
)
def test_a_floor_by_hand(counts, loss, accuracy):
    assert context_free_baseline(np.array(counts, np.float64)) == pytest.approx((loss, accuracy))
