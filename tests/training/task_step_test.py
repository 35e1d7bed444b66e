"""A step of fine-tuning is the same on several devices and in several pieces as on one device at once."""

import dataclasses
import math

import jax
import numpy as np
import optax
import pytest

from bert_jax.config import MeshConfig
from bert_jax.objectives.tasks import OBJECTIVES
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.state import state_shardings
from bert_jax.training.step import StepOptions, dropout_key, jit_train_step, train_step

ROWS, SHOWN, LENGTH = 16, 11, 16
DESCENT = optax.sgd(1.0)  # new weights are the old ones minus the gradient


def make_batch(texts=None):
    """Rows with padding, with unequal weights; those after SHOWN only fill it up."""
    random = np.random.default_rng(0)
    tokens = random.integers(4, LENGTH + 1, (ROWS, texts) if texts else ROWS)
    tokens[SHOWN:] = 0
    mask = (np.arange(LENGTH) < tokens[..., None]).astype(np.int32)
    row_weights = (np.arange(ROWS) < SHOWN).astype(np.float32)
    return {
        "input_ids": (random.integers(1, 101, mask.shape) * mask).astype(np.int32),
        "attention_mask": mask,
        "segment_ids": (random.integers(0, 2, mask.shape) * mask).astype(np.int32),
        "row_weights": row_weights,
        "example_weights": row_weights * random.choice(np.float32([1, 0.5]), ROWS),
    }


def classes(most, shape=ROWS, least=0):
    return np.random.default_rng(1).integers(least, most, shape).astype(np.int32)


WHOLE = make_batch()
TAGS = np.where(WHOLE["attention_mask"] > 0, classes(5, (ROWS, LENGTH), -1), -1).astype(np.int32)
# Objective -> its head, the head's outputs, options, and a batch.
CASES = {
    "classification": ("sequence", 3, {"class_weights": (1.0, 0.25, 4.0)}, WHOLE | {"labels": classes(3)}),
    "multilabel": ("sequence", 3, {}, WHOLE | {"labels": classes(2, (ROWS, 3)).astype(np.float32)}),
    "regression": ("sequence", 1, {}, WHOLE | {"labels": classes(5).astype(np.float32)}),
    "choice": ("choice", 1, {}, make_batch(texts=2) | {"labels": classes(2)}),
    "tagging": ("token", 5, {}, WHOLE | {"token_labels": TAGS}),
    "qa": ("span", 2, {}, WHOLE | {"start_positions": classes(3), "end_positions": classes(4)}),
    "cosine": ("embedding", 0, {}, make_batch(texts=2) | {"labels": classes(2).astype(np.float32)}),
    "cosent": ("embedding", 0, {}, make_batch(texts=2) | {"labels": classes(5).astype(np.float32)}),
    # Few texts, so that there are the same in several rows, and none (0).
    "contrastive": ("embedding", 0, {}, make_batch(texts=3) | {"text_groups": classes(9, (ROWS, 3))}),
}
COMPARE_ROWS = ("cosent", "contrastive")  # those of a chunk of accumulation


def test_all_are_here():
    assert CASES.keys() == OBJECTIVES.keys()


def step(name, config, sizes, accumulation_steps):
    """The weights before and after a step, and its loss; with dropout, which is drawn by row."""
    head, outputs, options, batch = CASES[name]
    objective = OBJECTIVES[name](config, outputs, (), head, **options)
    model = objective.model()
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
    shardings = state_shardings(model, DESCENT, mesh, shard_over_data=True)
    params = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0)))
    key = dropout_key(0, "threefry", "cpu")
    one = train_step(objective, model, DESCENT, shardings["params"], key, StepOptions(accumulation_steps))
    state = {"step": np.int32(0), "params": params, "opt_state": DESCENT.init(params)}
    with jax.set_mesh(mesh):
        placed = jax.device_put(state, shardings), jax.device_put(batch, batch_sharding(mesh))
        after, sums = jit_train_step(one, mesh, shardings)(*placed)
    gradient = jax.tree.map(lambda old, new: old.astype(np.float64) - np.asarray(new), params, after["params"])
    return gradient, objective.means(jax.tree.map(float, sums))["loss"]


OTHERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in CASES if kind not in ("tagging", "contrastive")]


@pytest.mark.parametrize("name", ["tagging", "contrastive", *OTHERS])
def test_eight_devices_and_two_pieces_are_one_step(model_config, name):
    config = dataclasses.replace(model_config, num_hidden_layers=1)
    expected, loss = step(name, config, (1, 1, 1), 2 if name in COMPARE_ROWS else 1)
    gradient, split_loss = step(name, config, (2, 2, 2), 2)
    assert split_loss == pytest.approx(loss, rel=1e-5)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    assert largest > 1e-3
    for mine, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * largest)
