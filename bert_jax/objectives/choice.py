"""The loss of multiple choice: one text of a row's is the right one (arXiv 1810.04805, section 4.4)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from bert_jax.model.layers import MASKED_SCORE
from bert_jax.objectives.divergence import kl_divergence
from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task import Elements, TaskObjective


@dataclasses.dataclass(frozen=True)
class ChoiceObjective(TaskObjective):
    """Cross-entropy over the choices; labels int32 [batch]."""

    def elements(self, outputs: jax.Array, batch: Batch) -> Elements:
        """Outputs [batch, choices]; a choice without tokens fills up a row of fewer choices."""
        logits = _of_choices(outputs, batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
        return Elements(losses, logits.argmax(axis=-1) == batch["labels"])

    def divergences(self, outputs: jax.Array, teacher: jax.Array, batch: Batch, temperature: float) -> jax.Array:
        """Of the distributions over choices."""
        return kl_divergence(_of_choices(outputs, batch), _of_choices(teacher, batch), temperature)


def _of_choices(outputs: jax.Array, batch: Batch) -> jax.Array:
    """Without those that only fill up a row."""
    return jnp.where(batch["attention_mask"].any(axis=-1), outputs, MASKED_SCORE)
