"""The objective of pretraining: masked tokens and pairs of sentences (arXiv 1810.04805, run_pretraining.py).

A pair's label says whether the second follows the first (BERT), whether the two are in order (ALBERT), or whether a
text and ids are aligned (VideoBERT): the head, the loss and the features' names are the same, and the metrics' names
differ.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.config.data import Pairs
from bert_jax.config.pair_kinds import PAIR_KINDS
from bert_jax.model.flops import encoder_flops, masked_lm_flops, next_sentence_flops
from bert_jax.model.functional import Model
from bert_jax.model.pretraining import PretrainingLogits, pretraining_model
from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.objective import Batch, Sums
from bert_jax.objectives.pretraining_metrics import MASKED_LM_METRICS, pair_metrics

# In the original's denominator (run_pretraining.py:281), where it keeps a batch without masked tokens finite.
EPSILON = 1e-5
INPUTS = {  # argument of the model -> feature of the records
    "input_ids": "input_ids",
    "attention_mask": "input_mask",
    "segment_ids": "segment_ids",
    "masked_lm_positions": "masked_lm_positions",
}
PACKED_INPUTS = {"position_ids": "position_ids"}  # of several sequences a row
PACKED_PAIRS = {"cls_positions": "next_sentence_positions"}


@dataclasses.dataclass(frozen=True)
class PretrainingObjective:
    """The mean loss of the masked tokens plus, if the model has that head, the mean loss of the pairs' labels."""

    config: ModelConfig
    pairs: Pairs = "nsp"  # of the records

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those of the heads that there are."""
        return MASKED_LM_METRICS + (pair_metrics(self.pairs) if self._pair else ())

    @property
    def _pair(self) -> str:
        """How names of the metrics of pairs begin; "" where there is no head for them, or no pair."""
        kind = PAIR_KINDS.get(self.pairs) if self.config.next_sentence else None
        return kind.name if kind else ""

    def model(self, dtype: str = "float32", remat: str = "none", by_sequence: bool = False) -> Model:
        """BERT with its heads."""
        return pretraining_model(self.config, dtype, remat, by_sequence)

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """See PretrainingModel."""
        names = PACKED_INPUTS | (PACKED_PAIRS if self.config.next_sentence else {})
        packed = {argument: batch[name] for argument, name in names.items() if name in batch}
        return {argument: batch[name] for argument, name in INPUTS.items()} | packed

    def weights(self, batch: Batch) -> Sums:
        """How many masked tokens and how many sequences with a label a batch has."""
        words = {"masked_lm_weight": batch["masked_lm_weights"].sum()}
        if not self._pair:
            return words
        return words | {"next_sentence_weight": sequence_weights(batch).sum()}

    @jax.named_scope(scopes.LOSS)
    def sums(self, outputs: PretrainingLogits, batch: Batch) -> Sums:
        """Sums of loss (nats) and of right predictions, and their counts."""
        sums = _sums("masked_lm", outputs.masked_lm, batch["masked_lm_ids"], batch["masked_lm_weights"])
        if self._pair and outputs.pair_logits is not None:
            labels = batch["next_sentence_labels"]
            pair_logits = outputs.pair_logits.reshape(*labels.shape, 2)
            sums |= _sums("next_sentence", pair_logits, labels, sequence_weights(batch))
        return sums | self.weights(batch)

    def loss(self, sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """Mean loss of masked tokens plus mean loss of pairs (run_pretraining.py:148)."""
        masked_lm = sums["masked_lm_loss"] / (weights["masked_lm_weight"] + EPSILON)
        if not self._pair:
            return masked_lm
        return masked_lm + sums["next_sentence_loss"] / jnp.maximum(weights["next_sentence_weight"], 1.0)

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Losses in nats, accuracies as fractions."""
        words = _means("masked_lm", sums, "masked_lm")
        pairs = _means("next_sentence", sums, self._pair) if self._pair else {}
        return {"loss": words["masked_lm_loss"] + pairs.get(f"{self._pair}_loss", 0.0), **words, **pairs}

    def label_counts(self, batch: Batch) -> Sums:
        """Of masked tokens [vocab] and of pairs' labels [2]."""
        words = jnp.zeros(self.config.vocab_size).at[batch["masked_lm_ids"]].add(batch["masked_lm_weights"])
        if not self._pair:
            return {"masked_lm_labels": words}
        labels = jnp.zeros(2).at[batch["next_sentence_labels"]].add(sequence_weights(batch))
        return {"masked_lm_labels": words, "next_sentence_labels": labels}

    def baselines(self, counts: Mapping[str, Any]) -> dict[str, float]:
        """unigram_loss is the entropy of the masked tokens' own distribution: no prediction without context is better.

        unigram_accuracy is the commonest word's fraction of them. majority_* are the same of the pairs' labels.
        """
        unigram_loss, unigram_accuracy = context_free_baseline(counts["masked_lm_labels"])
        words = {"unigram_loss": unigram_loss, "unigram_accuracy": unigram_accuracy}
        if not self._pair:
            return words
        majority_loss, majority_accuracy = context_free_baseline(counts["next_sentence_labels"])
        return words | {
            f"majority_{self._pair}_loss": majority_loss,
            f"majority_{self._pair}_accuracy": majority_accuracy,
        }

    def flops_per_row(self, length: int, predictions: int) -> int:
        """Forward and backward pass on a row; the pair head reads the first token beside the predictions."""
        pairs = self.config.next_sentence
        encoder = encoder_flops(self.config, length, queries=min(predictions + pairs, length))
        heads = masked_lm_flops(self.config, predictions) + (next_sentence_flops(self.config) if pairs else 0)
        return 3 * (encoder + heads)


def sequence_weights(batch: Batch) -> jax.Array:
    """1.0 for a sequence, 0.0 where a row that only fills up a batch has none; float32 [batch, sequences of a row]."""
    if "next_sentence_weights" in batch:  # rows of several sequences
        return batch["next_sentence_weights"]
    return batch["input_mask"][:, :1].astype(jnp.float32)


def _sums(name: str, logits: jax.Array, labels: jax.Array, weights: jax.Array) -> Sums:
    """Sums of cross-entropy and of right predictions: logits [rows, n, classes], labels and weights [rows, n]."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return {f"{name}_loss": (losses * weights).sum(), f"{name}_correct": (_is_best(logits, labels) * weights).sum()}


def _means(name: str, sums: Mapping[str, float], called: str) -> dict[str, float]:
    weight = max(float(sums[f"{name}_weight"]), EPSILON)
    return {
        f"{called}_loss": float(sums[f"{name}_loss"] / weight),
        f"{called}_accuracy": float(sums[f"{name}_correct"] / weight),
    }


def _is_best(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether no logit is above the label's; of equal logits each counts as the best.

    The maximum is known from the loss; an argmax would be one more pass over all logits.
    """
    of_labels = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return of_labels >= logits.max(axis=-1)


def context_free_baseline(counts: np.ndarray) -> tuple[float, float]:
    """Entropy in nats, and the largest probability, of a distribution given by its counts."""
    probabilities = counts[counts > 0] / max(counts.sum(), 1.0)
    return float(-(probabilities * np.log(probabilities)).sum()), float(probabilities.max(initial=0.0))
