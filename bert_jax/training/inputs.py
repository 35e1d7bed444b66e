"""Where records meet the mesh: every phase's records opened and checked, and read as global batches."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Mesh

from bert_jax.config import Config, DataConfig, ModelConfig, PhaseConfig
from bert_jax.data.batches import Transform, evaluation_batches, record_ids, training_batches
from bert_jax.data.dynamic_masks import HELD_OUT_SEED, DynamicMasks
from bert_jax.data.manifest import Manifest
from bert_jax.data.packing import PackedOrder, Packing, choose_packing, packed_batches
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.objectives.objective import Batch
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.parallel.global_batch import local_rows, on_devices
from bert_jax.parallel.mesh import batch_shards
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.training.open_records import counts_for_all, manifest_for_all, open_split, records_directory
from bert_jax.training.record_checks import check_evaluated, check_length, check_segments, warn_of_trained

_CHECKED = 16  # records of each split, before the run


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


def open_phases(config: Config) -> list[PhaseInput]:
    """Open every phase's records before any device computes; `config` is resolved, and stays as it is.

    Raises:
      UserError: records are missing or damaged, of another sequence length or vocabulary than the config's, have other
        pairs than the model's head or each other's, or hold ids that the model has no row for.
    """
    opened: list[PhaseInput] = []
    for phase in config.phases:
        opened.append(_open_phase(phase, opened, config))
    _check_one_vocabulary(config.model, opened)
    _check_pairs(config.model, opened)
    warn_of_trained([each.validation for each in opened], [each.train for each in opened])
    broadcast_from_first(lambda: _check_some(opened, config.model.type_vocab_size))
    return opened


def _check_some(opened: Sequence[PhaseInput], type_vocab_size: int) -> None:
    for source in (source for phase in opened for source in (phase.train, phase.validation) if source):
        some = source.fetch(np.linspace(0, len(source) - 1, _CHECKED).astype(int).tolist())
        check_segments(some, source, type_vocab_size)


def with_records(config: Config, opened: Sequence[PhaseInput]) -> Config:
    """The resolved config with what its records decide: the vocabulary's size, what the pairs' labels say, and the rows
    of packed batches.

    Raises:
      UserError: data.pairs was given, and is not what the records' labels say.
    """
    manifest, pairs = opened[0].manifest, config.data.pairs
    if pairs not in (DataConfig.pairs, manifest.pairs):
        directory = records_directory(config.data.records, opened[0].phase)
        raise UserError(
            f"--config.data.pairs={pairs}: the records in {directory} were built with --pairs={manifest.pairs}, which "
            "decides; leave it out"
        )
    model = dataclasses.replace(config.model, vocab_size=manifest.vocab_size)
    data = dataclasses.replace(config.data, pairs=manifest.pairs)
    return dataclasses.replace(config, model=model, data=data, phases=tuple(each.phase for each in opened))


def _open_phase(phase: PhaseConfig, before: Sequence[PhaseInput], config: Config) -> PhaseInput:
    first_step = before[-1].last_step if before else 0
    directory = records_directory(config.data.records, phase)
    manifest = manifest_for_all(directory)
    check_length(directory, manifest, phase)
    train, seed, packing = open_split(directory, manifest, "train", config.data), config.train.seed, None
    masks = dynamic_masks(config.data, directory, manifest, seed)
    validation, held_out_masks = _held_out(phase, config, manifest)
    if config.data.packing:
        sizes = sizes_of(train, masks)
        shape = phase.max_seq_length, phase.global_batch_size
        packing = choose_packing(sizes, *shape, seed, phase.packed_rows, phase.accumulates(config.train))
        phase = dataclasses.replace(phase, packed_rows=packing.rows)
    return PhaseInput(
        phase=phase,
        first_step=first_step,
        last_step=first_step + phase.steps,
        manifest=manifest,
        train=train,
        validation=validation,
        masks=masks,
        held_out_masks=held_out_masks,
        packing=packing,
        seed=seed,
        first_position=sum(
            each.phase.steps * each.phase.global_batch_size for each in before if each.train.directory == directory
        ),
        type_vocab_size=config.model.type_vocab_size,
        read_threads=config.data.read_threads,
        prefetch_batches=config.data.prefetch_batches,
        max_held_out_batches=config.evaluation.max_batches,
        accumulation_steps=phase.accumulates(config.train),
    )


def _held_out(
    phase: PhaseConfig, config: Config, trained_on: Manifest
) -> tuple[RecordSource | None, DynamicMasks | None]:
    """The validation split that the phase is evaluated on, and what draws its masks (see EvaluationConfig)."""
    if not config.evaluation.records:
        directory = records_directory(config.data.records, phase)
        return _validation(directory, trained_on, config.data), dynamic_masks(config.data, directory, trained_on)
    directory = records_directory(config.evaluation.records, phase)
    manifest = manifest_for_all(directory)
    check_length(directory, manifest, phase)
    check_evaluated(directory, manifest, config.model, trained_on)
    return _validation(directory, manifest, config.data), None


def _validation(directory: epath.Path, manifest: Manifest, data: DataConfig) -> RecordSource | None:
    if "validation" in manifest.splits:
        return open_split(directory, manifest, "validation", data)
    logging.warning("%s has no validation split (build_records --holdout): no held-out evaluation", directory)
    return None


def dynamic_masks(
    data: DataConfig, directory: epath.Path, manifest: Manifest, seed: int = HELD_OUT_SEED
) -> DynamicMasks | None:
    """What draws the masks of the records in `directory`; without a seed, those of evaluations. None: theirs stay."""
    if data.masking == "static":
        return None
    return DynamicMasks(data, load_tokenizer(directory / "tokenizer"), manifest.max_seq_length, seed)


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


def _check_one_vocabulary(model: ModelConfig, opened: list[PhaseInput]) -> None:
    first = opened[0].manifest
    for other in opened:
        if other.manifest.vocab_fingerprint != first.vocab_fingerprint:
            raise UserError(
                f"{other.train.directory} and {opened[0].train.directory} were made with different vocabularies; "
                "build the records of all phases with one --vocab"
            )
    if model.vocab_size not in (0, first.vocab_size):
        raise UserError(
            f"{opened[0].train.directory} has a vocabulary of {first.vocab_size} and "
            f"--config.model.vocab_size={model.vocab_size}; set it to {first.vocab_size} or 0, "
            "or build the records with the other vocabulary"
        )


def _check_pairs(model: ModelConfig, opened: list[PhaseInput]) -> None:
    first = opened[0]
    for other in opened:
        if other.manifest.pairs != first.manifest.pairs:
            raise UserError(
                f"{other.train.directory} was built with --pairs={other.manifest.pairs} and {first.train.directory} "
                f"with --pairs={first.manifest.pairs}; build the records of all phases with the same"
            )
    if model.next_sentence and first.manifest.pairs == "none":
        raise UserError(
            f"{first.train.directory} has no pairs of sentences, of which the model's head would learn; give "
            "--config.model.next_sentence=false, or records that were built with --pairs=nsp or sop"
        )
