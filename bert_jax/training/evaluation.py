"""Held-out evaluation: the objective's means over a split, next to what a model without context would reach."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.training.objective import Batch, batch_sums, mean_metrics, sequence_weights
from bert_jax.training.state import Model, Params
from bert_jax.training.step import INPUTS, Sums


def jit_evaluation_step(model: Model, mesh: Mesh, params: Params, vocab_size: int) -> Callable[[Params, Batch], Sums]:
    """The compiled function (params, batch) -> sums, without dropout; `params` here are the parameters' shardings."""

    def step(params: Params, batch: Batch) -> Sums:
        logits = model.apply(params, *(batch[name] for name in INPUTS))
        return batch_sums(logits, batch) | _label_counts(batch, vocab_size)

    return jax.jit(step, in_shardings=(params, batch_sharding(mesh)), out_shardings=replicated(mesh))


def _label_counts(batch: Batch, vocab_size: int) -> Sums:
    words = jnp.zeros(vocab_size).at[batch["masked_lm_ids"]].add(batch["masked_lm_weights"])
    labels = jnp.zeros(2).at[batch["next_sentence_labels"]].add(sequence_weights(batch))
    return {"masked_lm_labels": words, "next_sentence_labels": labels}


def evaluate(step: Callable[[Params, Batch], Sums], params: Params, batches: Iterable[Batch]) -> dict[str, float]:
    """Means over all batches (losses in nats), and the floors of a model that sees no context.

    unigram_loss is the entropy of the masked words' own distribution in this set: no guess that ignores the context
    has a lower loss; unigram_accuracy is the share of the commonest. majority_next_sentence_* are the same of the
    next-sentence labels. Without any batch, nothing.
    """
    totals: dict[str, Any] = {}
    before: Sums = {}
    for batch in batches:
        sums = step(params, batch)  # only dispatched; the sums of the batch before are read meanwhile
        totals = _added(totals, before)
        before = sums
    totals = _added(totals, before)
    if not totals:
        return {}
    unigram_loss, unigram_accuracy = context_free_floor(totals["masked_lm_labels"])
    majority_loss, majority_accuracy = context_free_floor(totals["next_sentence_labels"])
    return mean_metrics(totals) | {
        "unigram_loss": unigram_loss,
        "unigram_accuracy": unigram_accuracy,
        "majority_next_sentence_loss": majority_loss,
        "majority_next_sentence_accuracy": majority_accuracy,
    }


def _added(totals: dict[str, Any], sums: Sums) -> dict[str, Any]:
    """Totals on the host, in float64, with one batch's sums added."""
    return totals | {name: totals.get(name, 0.0) + np.asarray(value, np.float64) for name, value in sums.items()}


def context_free_floor(counts: np.ndarray) -> tuple[float, float]:
    """Entropy in nats, and the largest share, of a distribution given by its counts."""
    shares = counts[counts > 0] / max(counts.sum(), 1.0)
    return float(-(shares * np.log(shares)).sum()), float(shares.max(initial=0.0))
