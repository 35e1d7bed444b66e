"""Held-out evaluation: the objective's means over a split, next to what a model without context would reach."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.model.functional import Model, Params
from bert_jax.objectives.objective import Batch, Objective, Sums
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.training.frozen import Frozen, with_targets
from bert_jax.training.step import every_nth_row, sum_one_by_one

EvaluationStep = Callable[[Params, Batch], tuple[Sums, Sums]]


def jit_evaluation_step(
    objective: Objective, model: Model, mesh: Mesh, shardings: Params, frozen: Frozen = (), chunks: int = 1
) -> Callable[..., tuple[Sums, Sums]]:
    """The compiled function (params, batch, *weights of the frozen models) -> (sums, label counts), without dropout.

    `shardings` are the parameters'. A batch is computed in so many `chunks`, one after the other, as that of the step
    where gradients are accumulated: so it needs no more memory.
    """

    def step(params: Params, batch: Batch, *frozen_params: Params) -> tuple[Sums, Sums]:
        def of_a_chunk(chunk: Batch) -> tuple[Sums, Sums]:
            outputs = model.apply(params, **objective.inputs(chunk))
            sums = objective.sums(outputs, with_targets(frozen, frozen_params, chunk))
            return sums, objective.label_counts(chunk)

        if chunks == 1:
            return of_a_chunk(batch)
        return sum_one_by_one(of_a_chunk, {name: every_nth_row(array, chunks) for name, array in batch.items()})

    layouts = shardings, batch_sharding(mesh), *(each.shardings for each in frozen)
    return jax.jit(step, in_shardings=layouts, out_shardings=replicated(mesh))


def evaluate(objective: Objective, step: EvaluationStep, params: Params, batches: Iterable[Batch]) -> dict[str, float]:
    """The objective's means over all batches and its baselines (see Objective). Without any batch, nothing."""
    totals: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    before: tuple[Sums, Sums] = ({}, {})
    for batch in batches:
        dispatched = step(params, batch)  # not waited for; the sums of the batch before are read meanwhile
        totals, counts = _added(totals, before[0]), _added(counts, before[1])
        before = dispatched
    totals, counts = _added(totals, before[0]), _added(counts, before[1])
    return objective.means(totals) | objective.baselines(counts) if totals else {}


def _added(totals: dict[str, Any], sums: Sums) -> dict[str, Any]:
    """Totals on the host, in float64, with one batch's sums added."""
    return totals | {name: totals.get(name, 0.0) + np.asarray(value, np.float64) for name, value in sums.items()}
