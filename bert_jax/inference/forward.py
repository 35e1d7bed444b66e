"""A model over many rows: batches by length in a few shapes, outputs in the order of the rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.model.functional import Model, Params
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.global_batch import local_rows, on_devices
from bert_jax.parallel.mesh import batch_shards
from bert_jax.tasks.batching import batches_by_length, choose_lengths
from bert_jax.tasks.rows import Rows

INPUTS = ("input_ids", "attention_mask", "segment_ids")
TOKENS = 4096  # of a batch and device: enough to keep a CPU's cores busy, and little memory
MOST_SHAPES = 6
# Lengths to which rows are padded are among these, so that the next file finds its shapes compiled.
LADDER = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
All = Callable[[Iterable[Any]], Iterator[Any]]
Compute = Callable[[Params, dict[str, jax.Array]], jax.Array]


class Forward:
    """Applies a model, whose parameters lie on `mesh` as `shardings` say; each shape of a batch is compiled once."""

    def __init__(
        self, model: Model, mesh: Mesh, shardings: Params, tokens: int = TOKENS, compute: Compute | None = None
    ) -> None:
        """`tokens`: of a batch and device; `compute`: what is computed of a batch instead of the model's outputs."""
        self._mesh, self._tokens = mesh, tokens
        self._longest = len(model.abstract_params["encoder"]["embeddings"]["position"]["embedding"])

        def apply(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
            return model.apply(params, **batch)

        in_shardings = (shardings, batch_sharding(mesh))
        self._apply = jax.jit(compute or apply, in_shardings=in_shardings, out_shardings=replicated(mesh))

    def outputs(self, params: Params, rows: Rows, take: All = iter) -> list[np.ndarray]:
        """The model's output for each row, without padding; `take` may end it early, and rows are missing then.

        What is per token is [the row's length, ...].
        """
        found: list[Any] = [None] * len(rows)
        before: tuple[np.ndarray, Any] | None = None
        for numbers, batch in take(self._batches(rows)):
            dispatched = numbers, self._apply(params, batch)  # not waited for; the batch before is read meanwhile
            _keep(found, before, rows)
            before = dispatched
        _keep(found, before, rows)
        return found

    def _batches(self, rows: Rows) -> Iterator[tuple[np.ndarray, dict[str, jax.Array]]]:
        shards, lengths = batch_shards(self._mesh), rows.lengths
        padded = choose_lengths(lengths, MOST_SHAPES, LADDER, self._longest)
        tokens = self._tokens * shards // max(1, rows.texts_per_row)
        for numbers, size, length in batches_by_length(lengths, padded, tokens, shards):
            here = local_rows(self._mesh, size)
            of_process = [int(numbers[row]) for row in here if row < len(numbers)]
            batch = rows.batch(of_process, len(here), length)
            yield numbers, on_devices({name: batch[name] for name in INPUTS}, here, size, self._mesh)


def _keep(found: list[Any], done: tuple[np.ndarray, Any] | None, rows: Rows) -> None:
    if done is None:
        return
    numbers, outputs = done[0], np.asarray(done[1])
    per_token = outputs.ndim == 3 and not rows.texts_per_row
    lengths = rows.lengths[numbers] if per_token else None
    for place, row in enumerate(numbers):
        found[row] = outputs[place] if lengths is None else outputs[place, : lengths[place]]


def loaded(arrays: Any, shardings: Params) -> Params:
    """Host parameters on the devices."""
    return jax.tree.map(jax.device_put, arrays, shardings)


def is_complete(outputs: Sequence[Any]) -> bool:
    """Whether no row was left out."""
    return all(each is not None for each in outputs)
