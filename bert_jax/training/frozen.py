"""A model whose weights a step reads and never changes: a teacher.

Its weights are no part of the state: neither in the optimizer nor in a checkpoint. They lie on the mesh as the trained
ones do, in the dtype in which they are used, and what the model makes of a batch stands beside the batch's features.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.model.functional import Model, Params, flatten, nest, param_shardings, with_shardings
from bert_jax.objectives.distillation import DistillationObjective
from bert_jax.objectives.objective import Batch
from bert_jax.objectives.task_distillation import TaskDistillationObjective
from bert_jax.parallel.mesh import by_sequence, check_heads
from bert_jax.parallel.weight_update import gather


@dataclasses.dataclass(frozen=True)
class FrozenModel:
    """Such a model and where its weights lie, without them."""

    model: Model
    targets: Callable[[Params, Batch], Mapping[str, jax.Array]]  # of a batch, by names that no feature has
    shardings: Params

    @property
    def abstract_params(self) -> Params:
        """Shapes, dtypes and shardings of the weights."""
        return with_shardings(jax.eval_shape(self.model.compute_params, self.model.abstract_params), self.shardings)

    def gathered(self, params: Params) -> Params:
        """Whole weights of a device's shards; called where weights are gathered (parallel/weight_update.py)."""
        return gather(params, self.shardings, self.model.axes)


Frozen = Sequence[FrozenModel]  # those of a run, mostly none; their weights are as many trees


def frozen_teacher(
    objective: DistillationObjective | TaskDistillationObjective, dtype: str, mesh: Mesh, shard_over_data: bool
) -> FrozenModel:
    """The objective's teacher on `mesh`; UserError where its heads or a dimension do not divide over it."""
    check_heads(mesh, objective.teacher.num_attention_heads)
    model = objective.teacher_model(dtype, by_sequence(mesh))
    targets = functools.partial(objective.targets, model)
    return FrozenModel(model, targets, param_shardings(model, mesh, shard_over_data))


def with_targets(frozen: Frozen, weights: Sequence[Params], batch: Batch) -> Batch:
    """The batch, (a part of) a global one, with what each frozen model makes of it."""
    made = (each.targets(params, batch) for each, params in zip(frozen, weights, strict=True))
    return {name: array for arrays in (batch, *made) for name, array in arrays.items()}


def placed(frozen: FrozenModel, arrays: Mapping[str, np.ndarray]) -> Params:
    """Its weights on the mesh, of arrays by our paths, which all processes have."""
    abstract: dict[str, Any] = flatten(frozen.abstract_params)

    def on_devices(path: str) -> jax.Array:
        leaf = abstract[path]
        whole = arrays[path].astype(leaf.dtype)
        assert whole.shape == leaf.shape, path
        return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: whole[index])

    return nest({path: on_devices(path) for path in abstract})
