"""The objective against float64 NumPy, and that it does not depend on how a batch is split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import ModelConfig
from bert_jax.model.pretraining import PretrainingLogits
from bert_jax.objectives.pretraining import PretrainingObjective

ROWS, VOCAB = 12, 101
SUMS = [f"{task}_{what}" for task in ("masked_lm", "next_sentence") for what in ("loss", "correct", "weight")]
objective = PretrainingObjective(ModelConfig(vocab_size=VOCAB))
batch_sums = jax.jit(objective.sums)


@pytest.fixture
def batch(make_batch):
    return make_batch(ROWS, seed=3)


@pytest.fixture
def logits(batch):
    random = np.random.default_rng(4)
    words = random.normal(0, 3, (*batch["masked_lm_ids"].shape, VOCAB)).astype(np.float32)
    words[::2, 0, 7] = 1e4  # certain, and mostly wrong: log-sum-exp must not overflow
    return PretrainingLogits(words, random.normal(0, 2, (ROWS, 2)).astype(np.float32))


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def restated_sums(logits, batch):
    """Word by word, in float64."""
    sums = dict.fromkeys(SUMS, 0.0)
    words, sentences = log_softmax(logits.masked_lm), log_softmax(logits.pair_logits)
    for row in range(len(batch["input_ids"])):
        for slot, word in enumerate(batch["masked_lm_ids"][row]):
            weight = float(batch["masked_lm_weights"][row, slot])
            sums["masked_lm_loss"] -= weight * words[row, slot, word]
            sums["masked_lm_correct"] += weight * (words[row, slot].argmax() == word)
            sums["masked_lm_weight"] += weight
        if batch["input_mask"][row].any():
            label = batch["next_sentence_labels"][row, 0]
            sums["next_sentence_loss"] -= sentences[row, label]
            sums["next_sentence_correct"] += sentences[row].argmax() == label
            sums["next_sentence_weight"] += 1
    return sums


def rows(tree, chosen):
    return jax.tree.map(lambda array: array[chosen], tree)


def assert_close(ours, expected):
    assert ours.keys() == expected.keys()
    for name in expected:
        # Sums of some 50 float32 terms.
        np.testing.assert_allclose(np.asarray(ours[name]), expected[name], rtol=1e-6, err_msg=name)


def test_sums_are_those_of_a_count_by_hand(logits, batch):
    assert_close(batch_sums(logits, batch), restated_sums(logits, batch))


def test_the_loss_is_mean_word_loss_plus_mean_sentence_loss(logits, batch):
    sums = restated_sums(logits, batch)
    words = sums["masked_lm_loss"] / (sums["masked_lm_weight"] + 1e-5)
    ours = objective.loss(batch_sums(logits, batch), objective.weights(batch))
    assert float(ours) == pytest.approx(words + sums["next_sentence_loss"] / ROWS, rel=1e-6)


@pytest.mark.parametrize("sizes", [[6, 6], [3, 4, 5], [1] * 12, [5, 0, 7]])
def test_chunks_add_up_to_the_whole_however_it_is_split(logits, batch, sizes):
    order = np.random.default_rng(len(sizes)).permutation(ROWS)
    chunks = np.split(order, np.cumsum(sizes)[:-1])
    parts = [(rows(logits, chunk), rows(batch, chunk)) for chunk in chunks]
    total = jax.tree.map(lambda *sums: sum(sums), *(batch_sums(*part) for part in parts))
    assert_close(total, restated_sums(logits, batch))
    weights = objective.weights(batch)
    losses = [float(objective.loss(batch_sums(*part), weights)) for part in parts]
    assert sum(losses) == pytest.approx(float(objective.loss(batch_sums(logits, batch), weights)), rel=1e-6)


def test_rows_that_fill_up_a_batch_weigh_nothing(logits, batch):
    def padded(array):
        return np.concatenate([array, np.zeros((4, *array.shape[1:]), array.dtype)])

    filled = {name: padded(array) for name, array in batch.items()}
    some_logits = PretrainingLogits(
        np.concatenate([logits.masked_lm, np.full((4, *logits.masked_lm.shape[1:]), 5.0, np.float32)]),
        np.concatenate([logits.pair_logits, np.full((4, 2), -5.0, np.float32)]),
    )
    assert_close(batch_sums(some_logits, filled), restated_sums(logits, batch))
    gradient = jax.grad(lambda logits: objective.loss(batch_sums(logits, filled), objective.weights(filled)))(
        some_logits
    )
    assert not np.asarray(gradient.masked_lm)[ROWS:].any()
    assert not np.asarray(gradient.pair_logits)[ROWS:].any()
    assert np.asarray(gradient.pair_logits)[:ROWS].all()


def test_empty_slots_weigh_nothing(logits, batch):
    empty = batch["masked_lm_weights"] == 0
    assert empty.any()
    changed = batch | {"masked_lm_ids": np.where(empty, 9, batch["masked_lm_ids"])}
    assert_close(batch_sums(logits, changed), restated_sums(logits, batch))


def test_a_batch_without_masked_words_is_finite(logits, batch):
    bare = batch | {"masked_lm_weights": np.zeros_like(batch["masked_lm_weights"])}
    sums = batch_sums(logits, bare)
    assert jnp.isfinite(objective.loss(sums, objective.weights(bare)))
    assert objective.means(sums)["masked_lm_loss"] == 0.0


def test_without_a_pair_head_the_loss_is_that_of_the_words_and_no_label_is_read(logits, batch):
    words = PretrainingObjective(ModelConfig(vocab_size=VOCAB, next_sentence=False))
    unlabelled = {name: array for name, array in batch.items() if name != "next_sentence_labels"}
    sums = words.sums(logits._replace(pair_logits=None), unlabelled)
    assert_close(sums, {name: value for name, value in restated_sums(logits, batch).items() if "masked_lm" in name})
    loss = float(words.loss(sums, words.weights(unlabelled)))
    assert loss == pytest.approx(float(sums["masked_lm_loss"]) / (float(sums["masked_lm_weight"]) + 1e-5), rel=1e-6)
    means = words.means(sums)
    assert means["loss"] == means["masked_lm_loss"] == pytest.approx(loss, rel=1e-5)
    assert set(means) == {"loss"} | {metric.name for metric in words.metrics}
    found = words.baselines(words.label_counts(unlabelled))
    assert set(found) == {metric.baseline for metric in words.metrics}


@pytest.mark.parametrize("pairs", ["sop", "none"])
def test_pairs_by_another_name_and_without_a_label(logits, batch, pairs):
    other = PretrainingObjective(objective.config, pairs)
    means, found = other.means(other.sums(logits, batch)), other.baselines(other.label_counts(batch))
    assert set(means) == {"loss"} | {metric.name for metric in other.metrics}
    assert set(found) == {metric.baseline for metric in other.metrics}
    before = objective.means(batch_sums(logits, batch)) | objective.baselines(objective.label_counts(batch))
    if pairs == "sop":
        renamed = {name.replace("sentence_order", "next_sentence"): value for name, value in (means | found).items()}
        assert renamed == before
    else:
        assert means["loss"] == means["masked_lm_loss"] == before["masked_lm_loss"]
        assert not [name for name in means | found if "sentence" in name]


def test_means_for_people(logits, batch):
    sums = restated_sums(logits, batch)
    means = objective.means(batch_sums(logits, batch))
    words = sums["masked_lm_weight"]
    assert means == pytest.approx(
        {
            "loss": sums["masked_lm_loss"] / words + sums["next_sentence_loss"] / ROWS,
            "masked_lm_loss": sums["masked_lm_loss"] / words,
            "masked_lm_accuracy": sums["masked_lm_correct"] / words,
            "next_sentence_loss": sums["next_sentence_loss"] / ROWS,
            "next_sentence_accuracy": sums["next_sentence_correct"] / ROWS,
        },
        rel=1e-6,
    )
