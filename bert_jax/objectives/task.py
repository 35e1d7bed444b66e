"""What fine-tuning minimises: the mean loss of a batch's elements (rows, or labelled tokens), one class a task.

A row that only fills up a batch has row_weights 0. A text that is read in several windows counts once: each of its rows
has its share of example_weights.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model.encoder import INPUTS
from bert_jax.model.flops import encoder_flops
from bert_jax.model.functional import Model
from bert_jax.model.tasks import task_model
from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.objective import Batch, Sums

LEAST = 1e-6  # weight of a batch, so that one of padding alone stays finite


class Elements(NamedTuple):
    """Of each element: arrays of one shape."""

    losses: jax.Array
    correct: jax.Array | None  # whether it was predicted right; None where nothing is right or wrong


@dataclasses.dataclass(frozen=True)
class TaskObjective:
    """The weighted mean of the elements' losses; the classes that derive from it say what they are."""

    config: ModelConfig
    outputs: int  # of the model's head
    metrics: Sequence[Metric]  # the task's scores, which its predictions give
    head: str  # model/tasks.py
    freeze: Callable[[Model], Model] | None = None  # gives the model of which some parameters stay as they are

    def model(self, dtype: str = "float32", remat: str = "none", by_sequence: bool = False) -> Model:
        """BERT with the task's head."""
        model = task_model(self.head, self.outputs, self.config, dtype, remat, by_sequence)
        return self.freeze(model) if self.freeze else model

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """See model/tasks.py."""
        return {name: batch[name] for name in INPUTS}

    def element_weights(self, batch: Batch) -> jax.Array:
        """Of each element; here of each row, [batch]."""
        return batch["row_weights"] * batch["example_weights"]

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Losses, and what is correct, in the shape of the weights."""
        raise NotImplementedError

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """How far each element's outputs are from a `teacher`'s, both divided by the temperature: KL in nats.

        In the shape of the weights.
        """
        raise NotImplementedError

    def weights(self, batch: Batch) -> Sums:
        """The sum of the elements' weights."""
        return {"weight": self.element_weights(batch).sum()}

    @jax.named_scope(scopes.LOSS)
    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        """Weighted sums of losses and of correct elements, and of weights."""
        elements, weights = self.elements(outputs, batch), self.element_weights(batch)
        correct = {} if elements.correct is None else {"correct": (elements.correct * weights).sum()}
        return {"task_loss": (elements.losses * weights).sum(), **correct, "weight": weights.sum()}

    def loss(self, sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """The weighted mean."""
        return sums["task_loss"] / jnp.maximum(weights["weight"], LEAST)

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The loss, and how much of what is trained on is predicted right."""
        weight = max(float(sums["weight"]), LEAST)
        names = {"task_loss": "loss", "correct": "train_accuracy"}
        return {name: float(sums[key]) / weight for key, name in names.items() if key in sums}

    def label_counts(self, batch: Batch) -> Sums:
        """None: a task's floors are made of its files."""
        del batch
        return {}

    def baselines(self, counts: Mapping[str, Any]) -> dict[str, float]:
        """None, see label_counts."""
        del counts
        return {}

    def flops_per_row(self, length: int, predictions: int) -> int:
        """Forward and backward pass on a row; `predictions` outputs of the last layer are read, 0: all."""
        return 3 * encoder_flops(self.config, length, queries=min(predictions or length, length))
