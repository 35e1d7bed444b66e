"""The interface between an objective and all that trains, evaluates and shows it.

A loss is made of sums and counts, which add up over devices, hosts and accumulation steps; only `loss` and the means
divide, and on whole batches: a global batch has the same loss however it was split.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax

from bert_jax.model.functional import Model
from bert_jax.objectives.metrics import Metric

Batch = Mapping[str, jax.Array]  # arrays by the names of the records' features, rows first
Sums = dict[str, jax.Array]  # float32 scalars


class Objective(Protocol):
    """What a run minimises."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """What people are shown of the means, the headline first; `loss` is beside them."""
        ...

    def model(self, dtype: str, remat: str, by_sequence: bool) -> Model:
        """The model that is trained; dtype, remat and by_sequence as in model/pretraining.py."""
        ...

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """What the model's call reads of a batch, by the names of its arguments; without dropout_key."""
        ...

    def weights(self, batch: Batch) -> Sums:
        """The denominators of a batch, or of a part of it: they add up."""
        ...

    def sums(self, outputs: Any, batch: Batch) -> Sums:
        """Sums of a batch's losses and of whatever the means need, with the weights among them; they add up."""
        ...

    def loss(self, sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """What is minimised. `sums` may be of a part of the batch that has these `weights`: parts' losses add up."""
        ...

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Metrics by name, `loss` among them, from sums over any number of batches, on the host."""
        ...

    def label_counts(self, batch: Batch) -> Sums:
        """How often each label is there, arrays that add up over the batches of an evaluation; {} if nobody asks."""
        ...

    def baselines(self, counts: Mapping[str, Any]) -> dict[str, float]:
        """What a model reaches that has no context, by the name of each metric's baseline, from summed counts."""
        ...

    def flops_per_row(self, length: int, predictions: int) -> int:
        """FLOPs of a training step on one row of `length` tokens and as many predictions, as papers count them."""
        ...
