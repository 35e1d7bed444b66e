"""Losses of a bi-encoder: vectors of texts that belong together are near each other (arXiv 1908.10084).

A row's vectors are compared with those of the global batch, whatever devices have them, or of its chunk where gradients
are accumulated.
"""

import dataclasses

import jax
import jax.numpy as jnp

from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task import Elements, TaskObjective
from bert_jax.parallel.all_rows import all_rows, row_numbers

IMPOSSIBLE = -1e9
SMALLEST = 1e-24  # square of a length that is not 0


def normalized(vectors: jax.Array) -> jax.Array:
    """At length 1, along the last axis; one of length 0, of a text that is not there, stays, and its gradient is 0."""
    squares = (vectors**2).sum(axis=-1, keepdims=True)
    # The gradient of a norm at 0 is none: the root is of a constant there.
    return vectors * jax.lax.rsqrt(jnp.where(squares > SMALLEST, squares, 1.0))


def _candidates(texts: jax.Array) -> jax.Array:
    """[rows, texts, ...] -> those that anchors are compared with, positives first: [rows x (texts - 1), ...]."""
    return jnp.concatenate([texts[:, number] for number in range(1, texts.shape[1])])


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
        all_vectors, all_groups = all_rows(vectors), all_rows(groups)
        own = row_numbers(len(vectors))  # the positives stand first
        scores = vectors[:, 0] @ _candidates(all_vectors).T / self.temperature
        scores = jnp.where(self._is_no_negative(groups, all_groups, own), IMPOSSIBLE, scores)
        of_own = (vectors[:, 0] * vectors[:, 1]).sum(axis=-1) / self.temperature
        return Elements(jax.nn.logsumexp(scores, axis=1) - of_own, scores.argmax(axis=1) == own)

    def _is_no_negative(self, groups: jax.Array, all_groups: jax.Array, own: jax.Array) -> jax.Array:
        """Which candidates are not compared with an anchor, bool [rows, candidates]; its own positive is."""
        candidate = _candidates(all_groups)[None]
        is_same = (candidate == groups[:, 1:2]) | (candidate == groups[:, :1])
        numbers, positives = jnp.arange(candidate.shape[1])[None], len(all_groups)
        of_same_anchor = (numbers < positives) & (all_groups[numbers % positives, 0] == groups[:, :1])
        return (is_same | of_same_anchor | (candidate == 0)) & (numbers != own[:, None])


@dataclasses.dataclass(frozen=True)
class CosentObjective(TaskObjective):
    """log(1 + sum of exp((cos of the less similar pair - cos of the more similar) / temperature)) over a batch's pairs.

    CoSENT (Su, 2022): only the order of the scores matters. labels float32 [batch].
    """

    temperature: float = 0.05

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, 2, embed]; the batch's loss is that of each of its rows."""
        vectors = normalized(outputs)
        cosines = all_rows((vectors[:, 0] * vectors[:, 1]).sum(axis=-1) / self.temperature)
        labels, there = all_rows(batch["labels"]), all_rows(batch["row_weights"]) > 0
        counts = (labels[:, None] > labels[None, :]) & there[:, None] & there[None, :]
        wrong = jnp.where(counts, cosines[None, :] - cosines[:, None], IMPOSSIBLE)
        loss = jax.nn.logsumexp(jnp.concatenate([jnp.zeros(1), wrong.reshape(-1)]))
        return Elements(jnp.broadcast_to(loss, batch["labels"].shape), None)


@dataclasses.dataclass(frozen=True)
class CosineObjective(TaskObjective):
    """The squared error of the cosine; labels float32 [batch], from 0 to 1."""

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, 2, embed]."""
        vectors = normalized(outputs)
        return Elements(((vectors[:, 0] * vectors[:, 1]).sum(axis=-1) - batch["labels"]) ** 2, None)
