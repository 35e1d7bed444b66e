"""The pretraining objective as sums and counts, which add up over devices, hosts and accumulation steps.

Only `mean_metrics` divides, and on whole batches: a global batch has the same loss however it was cut.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from bert_jax.model.heads import PretrainingLogits

Batch = Mapping[str, jax.Array]
# In the original's denominator (run_pretraining.py:281), where it keeps a batch without masked words finite.
EPSILON = 1e-5


def sequence_weights(batch: Batch) -> jax.Array:
    """1.0 for a sequence, 0.0 where a row that only fills up a batch has none; float32 [batch, sequences of a row]."""
    if "next_sentence_weights" in batch:  # rows of several sequences
        return batch["next_sentence_weights"]
    return batch["input_mask"][:, :1].astype(jnp.float32)


def batch_weights(batch: Batch) -> dict[str, jax.Array]:
    """The denominators: how many masked words and how many sequences a (global) batch has."""
    return {
        "masked_lm_weight": batch["masked_lm_weights"].sum(),
        "next_sentence_weight": sequence_weights(batch).sum(),
    }


@jax.named_scope("loss")
def batch_sums(logits: PretrainingLogits, batch: Batch) -> dict[str, jax.Array]:
    """Sums of loss (nats) and of right guesses, and their counts, over one batch; float32 scalars."""
    words, weights = batch["masked_lm_ids"], batch["masked_lm_weights"]
    labels, sequences = batch["next_sentence_labels"], sequence_weights(batch)
    relations = logits.next_sentence.reshape(*labels.shape, 2)
    word_loss = optax.softmax_cross_entropy_with_integer_labels(logits.masked_lm, words)
    label_loss = optax.softmax_cross_entropy_with_integer_labels(relations, labels)
    return {
        "masked_lm_loss": (word_loss * weights).sum(),
        "masked_lm_correct": (_is_best(logits.masked_lm, words) * weights).sum(),
        "next_sentence_loss": (label_loss * sequences).sum(),
        "next_sentence_correct": (_is_best(relations, labels) * sequences).sum(),
        **batch_weights(batch),
    }


def _is_best(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether no logit is above the label's: the maximum is known from the loss, an argmax would be one more pass."""
    of_labels = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return of_labels >= logits.max(axis=-1)


def loss_from_sums(sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
    """What training minimises: mean masked-word loss plus mean next-sentence loss (run_pretraining.py:148).

    `sums` may be of a part of the batch; with the whole batch's `weights`, the parts' losses add up to the batch's.
    """
    masked_lm = sums["masked_lm_loss"] / (weights["masked_lm_weight"] + EPSILON)
    return masked_lm + sums["next_sentence_loss"] / jnp.maximum(weights["next_sentence_weight"], 1.0)


def mean_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """Means for people from sums over any number of batches, on the host."""
    words = max(float(sums["masked_lm_weight"]), EPSILON)
    rows = max(float(sums["next_sentence_weight"]), EPSILON)
    masked_lm_loss, next_sentence_loss = sums["masked_lm_loss"] / words, sums["next_sentence_loss"] / rows
    return {
        "loss": float(masked_lm_loss + next_sentence_loss),
        "masked_lm_loss": float(masked_lm_loss),
        "masked_lm_accuracy": float(sums["masked_lm_correct"] / words),
        "next_sentence_loss": float(next_sentence_loss),
        "next_sentence_accuracy": float(sums["next_sentence_correct"] / rows),
    }
