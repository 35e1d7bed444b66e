"""Losses of whole rows: one class of several, several labels, a number."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from bert_jax.objectives.divergence import bernoulli_divergence, kl_divergence
from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task import Elements, TaskObjective


@dataclasses.dataclass(frozen=True)
class ClassificationObjective(TaskObjective):
    """Cross-entropy (run_classifier.py:592-614); labels int32 [batch]."""

    class_weights: tuple[float, ...] = ()  # of each label; with them the mean is a weighted one, as in torch

    def element_weights(self, batch: Batch) -> jax.Array:
        """Times the weight of its class."""
        weights = super().element_weights(batch)
        return weights * jnp.asarray(self.class_weights)[batch["labels"]] if self.class_weights else weights

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, classes]."""
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["labels"])
        return Elements(losses, outputs.argmax(axis=-1) == batch["labels"])

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """Of the distributions over classes."""
        del batch
        return kl_divergence(outputs, teacher, temperature)


@dataclasses.dataclass(frozen=True)
class MultilabelObjective(TaskObjective):
    """Binary cross-entropy of each label, their mean (torch's BCEWithLogitsLoss); labels float32 [batch, labels]."""

    class_weights: tuple[float, ...] = ()  # of a label where it is there (torch's pos_weight)

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, labels]; a hit is the share of labels that are right at a threshold of 0.5."""
        losses = optax.sigmoid_binary_cross_entropy(outputs, batch["labels"])
        if self.class_weights:
            losses = losses * jnp.where(batch["labels"] > 0, jnp.asarray(self.class_weights), 1.0)
        return Elements(losses.mean(axis=-1), ((outputs > 0) == (batch["labels"] > 0)).mean(axis=-1))

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """The mean over labels."""
        del batch
        return bernoulli_divergence(outputs, teacher, temperature).mean(axis=-1)


@dataclasses.dataclass(frozen=True)
class RegressionObjective(TaskObjective):
    """The squared error; labels float32 [batch]."""

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, 1]."""
        return Elements((outputs[:, 0] - batch["labels"]) ** 2, None)

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """Of normal distributions of variance 1 about the two numbers, which is half the squared difference."""
        del batch
        return 0.5 * ((outputs[:, 0] - teacher[:, 0]) / temperature) ** 2
