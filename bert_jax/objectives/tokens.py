"""Losses of single tokens: a label for some of them (tagging), or where an answer starts and ends (qa)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from bert_jax.objectives.divergence import kl_divergence
from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task import Elements, TaskObjective


@dataclasses.dataclass(frozen=True)
class TaggingObjective(TaskObjective):
    """Cross-entropy of the labelled tokens, their mean over the batch; token_labels int32 [batch, length], -1: none.

    The element is a token; a token has one label however many windows it is in, so none needs a share.
    """

    def element_weights(self, batch: Batch) -> jax.Array:
        """[batch, length]."""
        return (batch["token_labels"] >= 0) * batch["row_weights"][:, None]

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, length, tags]."""
        labels = jnp.maximum(batch["token_labels"], 0)
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
        return Elements(losses, outputs.argmax(axis=-1) == labels)

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """Of each token's distribution over tags."""
        del batch
        return kl_divergence(outputs, teacher, temperature)


@dataclasses.dataclass(frozen=True)
class SpanObjective(TaskObjective):
    """The mean of two cross-entropies over all places of a row, padding included (run_squad.py:645-662).

    start_positions, end_positions int32 [batch]; 0, that of [CLS], where a window holds no answer.
    """

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, length, 2]."""
        ends = (outputs[..., 0], batch["start_positions"]), (outputs[..., 1], batch["end_positions"])
        losses = [optax.softmax_cross_entropy_with_integer_labels(*each) for each in ends]
        correct = [logits.argmax(axis=-1) == position for logits, position in ends]
        return Elements(sum(losses) / 2.0, correct[0] & correct[1])

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """The mean of those of start and end, over all places of a row."""
        del batch
        of_ends = [kl_divergence(outputs[..., end], teacher[..., end], temperature) for end in (0, 1)]
        return (of_ends[0] + of_ends[1]) / 2.0
