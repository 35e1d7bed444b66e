"""Distillation while fine-tuning: a student learns a task from labels and from a teacher that has learned it.

The loss is task_weight * the task's + kl_weight * T^2 * the divergence of the student's answers from the teacher's
(arXiv 1910.01108, section 4.1; run_squad_w_distillation.py), each a mean over the same elements.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax import scopes
from bert_jax.config import ModelConfig, TaskDistillationConfig
from bert_jax.model.flops import encoder_flops
from bert_jax.model.functional import Model, Params
from bert_jax.model.tasks import task_model
from bert_jax.objectives.distillation import known_to
from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.objective import Batch, Sums
from bert_jax.objectives.task import LEAST, TaskObjective


@dataclasses.dataclass(frozen=True)
class TaskDistillationObjective:
    """A task's objective, and a teacher beside it."""

    task: TaskObjective
    teacher: ModelConfig
    settings: TaskDistillationConfig

    @property
    def metrics(self) -> Sequence[Metric]:
        """The task's."""
        return self.task.metrics

    def model(self, dtype: str = "float32", remat: str = "none", by_sequence: bool = False) -> Model:
        """The student."""
        return self.task.model(dtype, remat, by_sequence)

    def teacher_model(self, dtype: str = "float32", by_sequence: bool = False) -> Model:
        """The teacher, with the same head."""
        return task_model(self.task.head, self.task.outputs, self.teacher, dtype, "none", by_sequence)

    @jax.named_scope(scopes.TEACHER)
    def targets(self, teacher: Model, params: Params, batch: Batch) -> dict[str, jax.Array]:
        """What the `teacher`, a teacher_model with these parameters, answers, without dropout."""
        return {"teacher_outputs": teacher.apply(params, **known_to(self.teacher, self.inputs(batch)))}

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """The task's."""
        return self.task.inputs(batch)

    def weights(self, batch: Batch) -> Sums:
        """The task's."""
        return self.task.weights(batch)

    @jax.named_scope(scopes.LOSS)
    def sums(self, outputs: jax.Array, batch: Batch) -> Sums:
        """The task's, and the weighted sum of divergences (nats); `batch` has the targets."""
        divergences = self.task.divergences(outputs, batch["teacher_outputs"], batch, self.settings.temperature)
        return self.task.sums(outputs, batch) | {"teacher_kl": (divergences * self.task.element_weights(batch)).sum()}

    def loss(self, sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """The weighted sum of the two means."""
        divergence = sums["teacher_kl"] / jnp.maximum(weights["weight"], LEAST)
        return self.settings.task_weight * self.task.loss(sums, weights) + self._weight * divergence

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The task's, of which the loss is by the labels alone; the divergence in nats; and the loss of the two."""
        means = self.task.means(sums)
        divergence = float(sums["teacher_kl"]) / max(float(sums["weight"]), LEAST)
        loss = self.settings.task_weight * means["loss"] + self._weight * divergence
        return means | {"loss": loss, "task_loss": means["loss"], "teacher_kl": divergence}

    def label_counts(self, batch: Batch) -> Sums:
        """The task's."""
        return self.task.label_counts(batch)

    def baselines(self, counts: Mapping[str, Any]) -> dict[str, float]:
        """The task's."""
        return self.task.baselines(counts)

    def flops_per_row(self, length: int, predictions: int) -> int:
        """Of the student's step, and of the teacher's forward pass."""
        teacher = encoder_flops(self.teacher, length, queries=min(predictions or length, length))
        return self.task.flops_per_row(length, predictions) + teacher

    @property
    def _weight(self) -> float:
        return self.settings.kl_weight * self.settings.temperature**2
