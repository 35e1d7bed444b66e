"""Losses of a bi-encoder: vectors of texts that belong together are near each other (arXiv 1908.10084).

Vectors are compared within a replica's part of the batch (its rows of the data axis, a chunk of accumulation): other
rows' texts are no negatives, as in sentence-transformers without gathering.
"""

import dataclasses

import jax
import jax.numpy as jnp

from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task import Elements, TaskObjective

IMPOSSIBLE = -1e9
SMALLEST = 1e-24  # square of a length that is not 0


def normalized(vectors: jax.Array) -> jax.Array:
    """At length 1, along the last axis; one of length 0, of a text that is not there, stays, and its gradient is 0."""
    squares = (vectors**2).sum(axis=-1, keepdims=True)
    # The gradient of a norm at 0 is none: the root is of a constant there.
    return vectors * jax.lax.rsqrt(jnp.where(squares > SMALLEST, squares, 1.0))


@dataclasses.dataclass(frozen=True)
class ContrastiveObjective(TaskObjective):
    """Cross-entropy of each anchor's positive among all positives and hard negatives of the batch, by cosine.

    text_groups int32 [batch, texts] numbers the batch's different texts, and says which count as the same (0: no text):
    the anchor itself, its positive in another row, and another positive of the same anchor are no negatives.
    """

    temperature: float = 0.05

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, texts, embed]: the anchor, its positive, its hard negatives."""
        vectors, groups = normalized(outputs), batch["text_groups"]
        candidates = jnp.concatenate([vectors[:, number] for number in range(1, vectors.shape[1])])
        of_candidates = jnp.concatenate([groups[:, number] for number in range(1, groups.shape[1])])
        scores = vectors[:, 0] @ candidates.T / self.temperature
        own = jnp.arange(len(candidates))[None] == jnp.arange(len(vectors))[:, None]
        is_none = of_candidates[None] == 0
        is_same = (of_candidates[None] == groups[:, 1:2]) | (of_candidates[None] == groups[:, :1])
        of_same_anchor = jnp.arange(len(candidates))[None] < len(vectors)  # the positives stand first
        of_same_anchor &= jnp.tile(groups[:, 0], groups.shape[1] - 1)[None] == groups[:, :1]
        scores = jnp.where((is_same | of_same_anchor | is_none) & ~own, IMPOSSIBLE, scores)
        losses = jax.nn.logsumexp(scores, axis=1) - jnp.diagonal(scores)
        return Elements(losses, scores.argmax(axis=1) == jnp.arange(len(vectors)))


@dataclasses.dataclass(frozen=True)
class CosentObjective(TaskObjective):
    """log(1 + sum of exp((cos of the less similar pair - cos of the more similar) / temperature)) over a batch's pairs.

    CoSENT (Su, 2022): only the order of the scores matters. labels float32 [batch].
    """

    temperature: float = 0.05

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, 2, embed]; the batch's loss is that of each of its rows."""
        vectors = normalized(outputs)
        cosines = (vectors[:, 0] * vectors[:, 1]).sum(axis=-1) / self.temperature
        labels, there = batch["labels"], batch["row_weights"] > 0
        counts = (labels[:, None] > labels[None, :]) & there[:, None] & there[None, :]
        wrong = jnp.where(counts, cosines[None, :] - cosines[:, None], IMPOSSIBLE)
        loss = jax.nn.logsumexp(jnp.concatenate([jnp.zeros(1), wrong.reshape(-1)]))
        return Elements(jnp.broadcast_to(loss, labels.shape), None)


@dataclasses.dataclass(frozen=True)
class CosineObjective(TaskObjective):
    """The squared error of the cosine; labels float32 [batch], from 0 to 1."""

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, 2, embed]."""
        vectors = normalized(outputs)
        return Elements(((vectors[:, 0] * vectors[:, 1]).sum(axis=-1) - batch["labels"]) ** 2, None)
