"""Where records meet the mesh: a phase's records, read as global batches."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from bert_jax.config import PhaseConfig
from bert_jax.data.batches import Transform, evaluation_batches, record_ids, training_batches
from bert_jax.data.dynamic_masks import DynamicMasks
from bert_jax.data.manifest import Manifest
from bert_jax.data.packed_rows import packed_batches
from bert_jax.data.packing import PackedOrder, Packing
from bert_jax.data.source import RecordSource
from bert_jax.objectives.objective import Batch
from bert_jax.parallel.global_batch import local_rows, on_devices
from bert_jax.parallel.mesh import batch_shards
from bert_jax.training.open_records import counts_for_all
from bert_jax.training.record_checks import check_segments


@dataclasses.dataclass(frozen=True)
class PhaseInput:
    """One phase with its records, and the steps of the run that are its own: a Feed (training/feed.py)."""

    phase: PhaseConfig  # with packed_rows, where they are packed
    first_step: int
    last_step: int
    manifest: Manifest
    train: RecordSource
    validation: RecordSource | None
    masks: DynamicMasks | None  # None: those in the records
    held_out_masks: DynamicMasks | None
    packing: Packing | None
    seed: int  # of the order
    first_position: int  # in the order, where earlier phases of the same records ended
    type_vocab_size: int
    read_threads: int
    prefetch_batches: int
    max_held_out_batches: int  # 0: all
    accumulation_steps: int  # into so many chunks a batch is split, one of an evaluation too

    def count_tokens(self) -> None:
        """Find what masks are drawn by, if they are by how often tokens occur: before any batch is made.

        All processes do so, since one counts for all. Raises as RecordSource does.
        """
        drawn = [masks for masks in (self.masks, self.held_out_masks) if masks and masks.needs_counts]
        if drawn:
            counts = counts_for_all(self.train)
            for masks in drawn:
                masks.take_counts(counts)

    def shape_of(self, batch: Batch) -> tuple[int, int]:
        """See Feed: that of the phase."""
        del batch
        return self.phase.rows, self.phase.max_seq_length

    @property
    def predictions(self) -> int:
        """Masked tokens of a row, at most."""
        if self.packing:
            return self.packing.predictions_per_row
        return self.masks.max_predictions if self.masks else self.manifest.max_predictions_per_seq

    def batches(self, mesh: Mesh, from_step: int) -> Iterator[Batch]:
        """See Feed. Raises UserError as `check_segments`."""
        size = self.phase.rows
        rows = local_rows(mesh, size)
        for batch in self._local_batches(rows, from_step):
            check_segments(batch, self.train, self.type_vocab_size)
            yield on_devices(batch, rows, size, mesh)

    def _local_batches(self, rows: np.ndarray, from_step: int) -> Iterator[Mapping[str, np.ndarray]]:
        how: dict[str, Any] = {
            "rows": rows,
            "seed": self.seed,
            "first_position": self.first_position,
            "transform": self.masks,
            "first_step": from_step - self.first_step,
            "last_step": self.phase.steps,
            "num_threads": self.read_threads,
            "prefetch": self.prefetch_batches,
        }
        if self.packing:
            return packed_batches(self.train, self.packing, sizes=self._sizes(), **how)
        return training_batches(self.train, global_batch_size=self.phase.rows, **how)

    def _sizes(self) -> np.ndarray:
        return sizes_of(self.train, self.masks)

    def record_numbers(self, step: int) -> list[int]:
        """See Feed."""
        number, size = step - 1 - self.first_step, self.phase.global_batch_size
        if self.packing:
            rows = PackedOrder(self._sizes(), self.packing, self.seed, self.first_position).rows(number)
            return [record for row in rows for record in row]
        return record_ids(number, np.arange(size), size, len(self.train), self.seed, self.first_position).tolist()

    def held_out(self, mesh: Mesh) -> Iterator[Batch] | None:
        """See Feed. Raises UserError as `check_segments`."""
        if not self.validation:
            return None
        return held_out_batches(
            self.validation,
            self.phase.global_batch_size,
            self.max_held_out_batches,
            self.type_vocab_size,
            mesh,
            self.held_out_masks,
            self.accumulation_steps,
        )


def sizes_of(source: RecordSource, masks: DynamicMasks | None) -> np.ndarray:
    """Tokens and most predictions of every record, int32 [records, 2]."""
    return masks.sizes(source.sizes()) if masks else source.sizes()


def held_out_batches(
    source: RecordSource,
    global_batch_size: int,
    max_batches: int,
    type_vocab_size: int,
    mesh: Mesh,
    masks: Transform | None = None,
    chunks: int = 1,
) -> Iterator[Batch]:
    """The records in order, on the devices; rows that only fill up a batch are all zero. max_batches 0: all.

    A batch has `global_batch_size` records, whatever the mesh, and as many rows as divide over it and over `chunks`.
    `masks`: others than the records' own, where they are drawn when a record is read.

    Raises UserError as `check_segments`.
    """
    unit = batch_shards(mesh) * chunks
    size = -(-global_batch_size // unit) * unit
    rows = local_rows(mesh, size)
    for batch in evaluation_batches(
        source,
        global_batch_size=global_batch_size,
        rows=rows,
        max_batches=max_batches or None,
        transform=masks,
    ):
        check_segments(batch, source, type_vocab_size)
        yield on_devices(batch, rows, size, mesh)
