"""Encoded rows as the loop's feed: batches of similar length, in an order that (seed, step) gives."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.data.batches import read_ahead
from bert_jax.objectives.objective import Batch
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.global_batch import local_rows, on_devices
from bert_jax.tasks.batching import TrainingOrder, padded_length
from bert_jax.tasks.rows import Rows


@dataclasses.dataclass(frozen=True)
class ExampleFeed:
    """All steps of a fine-tuning run: a Feed (feed.py)."""

    rows: Rows
    order: TrainingOrder
    lengths: Sequence[int]  # to which batches are padded, ascending
    last_step: int
    predictions: int  # outputs of the last layer that the objective reads; 0: all
    accumulation_steps: int
    first_step: int = 0

    def shape_of(self, batch: Batch) -> tuple[int, int]:
        """Rows and tokens; the texts of a row are rows here."""
        *rows, length = batch["input_ids"].shape
        return int(np.prod(rows)), length

    def batches(self, mesh: Mesh, from_step: int) -> Iterator[Batch]:
        """See Feed."""
        size = self.order.batch_size
        here = local_rows(mesh, size)
        for batch in read_ahead(lambda step: self._batch(step, here), from_step, self.last_step, 1, 4):
            yield on_devices(batch, here, size, mesh)

    def _batch(self, step: int, here: np.ndarray) -> dict[str, np.ndarray]:
        numbers = self.order.rows(step)
        length = padded_length(int(self.order.lengths[numbers].max()), self.lengths)
        return self.rows.batch(numbers[here].tolist(), len(here), length)

    def record_numbers(self, step: int) -> list[int]:
        """The numbers of the examples."""
        return self.rows.example[self.order.rows(step - 1)].tolist()

    def held_out(self, mesh: Mesh) -> Iterator[Batch] | None:
        """None: a task's evaluation needs more than batches (Run.evaluate)."""
        del mesh
        return None

    def abstract_batches(self, mesh: Mesh) -> list[Mapping[str, Any]]:
        """A batch of each shape, as ShapeDtypeStructs."""
        size, sharding = self.order.batch_size, batch_sharding(mesh)
        shapes = [self.rows.batch([], 1, length) for length in self.lengths]
        return [
            {
                name: jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype, sharding=sharding)
                for name, array in batch.items()
            }
            for batch in shapes
        ]
