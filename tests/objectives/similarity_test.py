"""The losses of a bi-encoder against float64 NumPy, pair by pair; rows and texts that only fill up have no part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import ModelConfig
from bert_jax.objectives.similarity import ContrastiveObjective, CosentObjective, CosineObjective

ROWS, DIM = 6, 5
TEMPERATURE = 0.1
CONFIG = ModelConfig(vocab_size=11)


def objective(kind, **options):
    return kind(CONFIG, 0, (), "embedding", **options)


def batch(**others):
    weights = np.array([1, 1, 1, 0.5, 1, 1], np.float32)
    return {"row_weights": np.array([1, 1, 1, 1, 1, 0], np.float32), "example_weights": weights, **others}


@pytest.fixture
def outputs():
    """[rows, anchor, positive and two negatives, dim]; the last row is padding."""
    vectors = np.random.default_rng(0).normal(size=(ROWS, 4, DIM)).astype(np.float32)
    vectors[5] = 0
    vectors[1, 3] = vectors[2, 2:] = 0  # texts that are not there
    return vectors


# Rows 0 and 3 have the same positive, 1 and 4 the same anchor; row 4's first negative is row 0's positive, and row 2's
# anchor is row 3's negative.
GROUPS = np.array([[1, 2, 3, 4], [5, 6, 7, 0], [8, 9, 0, 0], [10, 2, 8, 11], [5, 12, 2, 13], [0, 0, 0, 0]], np.int32)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def rivals(row):
    """(row, text) of the negatives of a row, by hand."""
    none = {0: [(0, 1), (3, 1), (4, 2)], 1: [(1, 1), (4, 1)], 2: [(2, 1), (3, 2)], 3: [(3, 1), (0, 1), (4, 2)]}
    none[4] = [(4, 1), (1, 1)]
    there = [(other, text) for other in range(5) for text in (1, 2, 3) if GROUPS[other, text]]
    return [each for each in there if each not in none[row]]


def restated_contrastive(outputs):
    losses, correct = [], []
    for row in range(5):
        own = cosine(outputs[row, 0], outputs[row, 1]) / TEMPERATURE
        others = [cosine(outputs[row, 0], outputs[each]) / TEMPERATURE for each in rivals(row)]
        losses.append(np.log(np.exp([own, *others]).sum()) - own)
        correct.append(own > max(others))
    return np.array(losses), np.array(correct)


def test_contrastive(outputs):
    made = batch(text_groups=GROUPS)
    sums = jax.jit(objective(ContrastiveObjective, temperature=TEMPERATURE).sums)(outputs, made)
    losses, correct = restated_contrastive(outputs)
    weights = np.array([1, 1, 1, 0.5, 1])
    np.testing.assert_allclose(sums["task_loss"], losses @ weights, rtol=1e-5)
    np.testing.assert_allclose(sums["correct"], correct @ weights)
    np.testing.assert_allclose(sums["weight"], 4.5)


def restated_cosent(outputs, labels):
    total = 1.0
    for i in range(5):
        for j in range(5):
            if labels[i] > labels[j]:
                difference = cosine(outputs[j, 0], outputs[j, 1]) - cosine(outputs[i, 0], outputs[i, 1])
                total += np.exp(difference / TEMPERATURE)
    return np.log(total)


LABELS = np.array([0.5, 3, 3, 5, 1, 0], np.float32)


def test_cosent(outputs):
    kind, pairs = objective(CosentObjective, temperature=TEMPERATURE), outputs[:, :2]
    made = batch(labels=LABELS)
    sums, weights = kind.sums(pairs, made), kind.weights(made)
    np.testing.assert_allclose(kind.loss(sums, weights), restated_cosent(pairs, LABELS), rtol=1e-5)


def test_cosine(outputs):
    made = batch(labels=LABELS / 5)
    sums = objective(CosineObjective).sums(outputs[:, :2], made)
    wanted = [(cosine(outputs[row, 0], outputs[row, 1]) - LABELS[row] / 5) ** 2 for row in range(5)]
    np.testing.assert_allclose(sums["task_loss"], np.array(wanted) @ [1, 1, 1, 0.5, 1], rtol=1e-5)


@pytest.mark.parametrize("kind", [ContrastiveObjective, CosentObjective, CosineObjective])
def test_gradients_are_finite_and_those_of_padding_0(kind, outputs):
    texts = 4 if kind is ContrastiveObjective else 2
    made, found = batch(labels=LABELS, text_groups=GROUPS), jnp.asarray(outputs[:, :texts])
    gradient = np.asarray(jax.grad(lambda vectors: objective(kind).sums(vectors, made)["task_loss"])(found))
    assert np.isfinite(gradient).all()
    assert (gradient[5] == 0).all()
    assert (gradient[:5, :2] != 0).any(axis=(1, 2)).all()


def test_more_padding_changes_nothing(outputs):
    more = [np.concatenate([each, np.zeros((3, *each.shape[1:]), each.dtype)]) for each in (outputs, GROUPS, LABELS)]
    for kind, texts in ((ContrastiveObjective, 4), (CosentObjective, 2)):
        made = batch(labels=LABELS, text_groups=GROUPS)
        longer = {name: np.concatenate([each, np.zeros(3, np.float32)]) for name, each in batch().items()}
        longer |= {"labels": more[2], "text_groups": more[1]}
        before = objective(kind).sums(outputs[:, :texts], made)
        after = objective(kind).sums(more[0][:, :texts], longer)
        np.testing.assert_allclose(after["task_loss"], before["task_loss"], rtol=1e-6)
