"""Where records meet the mesh: every phase's records opened and checked, and batches laid out on the devices."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Mesh

from bert_jax.config import Config, DataConfig, PhaseConfig
from bert_jax.data.batches import evaluation_batches, record_ids, training_batches
from bert_jax.data.manifest import Manifest, read_manifest
from bert_jax.data.packing import PackedOrder, Packing, choose_packing, packed_batches
from bert_jax.data.shard_cache import shard_cache
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.parallel.axes import batch_sharding
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.paths import check_readable
from bert_jax.training.objective import Batch

_LOOKED_AT = 16  # records of each split, before the run


@dataclasses.dataclass(frozen=True)
class PhaseInput:
    """One phase with its records, and the steps of the run that are its own."""

    phase: PhaseConfig
    first_step: int
    last_step: int  # the step after its last
    manifest: Manifest
    train: RecordSource
    validation: RecordSource | None
    packing: Packing | None = None


def records_directory(data: DataConfig, phase: PhaseConfig) -> epath.Path:
    """Where a phase's records are."""
    return epath.Path(data.records.replace("{max_seq_length}", str(phase.max_seq_length)))


def open_phases(config: Config) -> list[PhaseInput]:
    """Open every phase's records before any device is touched; where they are packed, set the phases' packed_rows.

    Raises:
      UserError: records are missing or damaged, of another sequence length or vocabulary than the config's, or hold
        ids that the model has no row for.
    """
    opened, first_step = [], 0
    for phase in config.phases:
        directory = records_directory(config.data, phase)
        check_readable(directory)
        manifest = read_manifest(directory)
        _check_length(directory, manifest, phase)
        held_out = open_split(directory, "validation", config.data) if "validation" in manifest.splits else None
        if held_out is None:
            logging.warning("%s has no validation split (build_records --holdout): no held-out evaluation", directory)
        last_step = first_step + phase.steps
        train = open_split(directory, "train", config.data)
        packing = _packing(train, phase, config) if config.data.packing else None
        opened.append(PhaseInput(phase, first_step, last_step, manifest, train, held_out, packing))
        first_step = last_step
    _check_one_vocabulary(config, opened)
    for source in (source for phase in opened for source in (phase.train, phase.validation) if source):
        some = source.fetch(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int).tolist())
        check_segments(some, source, config.model.type_vocab_size)
    return opened


def check_segments(batch: Mapping[str, np.ndarray], source: RecordSource, type_vocab_size: int) -> None:
    """Raise UserError if the model has no row for a segment of a batch of `source`, which has checked all other ids.

    Of an id without a row, a device makes NaN.
    """
    largest = batch["segment_ids"].max(initial=0)
    if largest >= type_vocab_size:
        raise UserError(
            f"{source.directory} has records with {largest} among their segment_ids, and --config.model."
            f"type_vocab_size={type_vocab_size} has no row for it; give as many as there are segments (and as "
            "--config.init_from, if you use it, was trained with)"
        )


def open_split(directory: epath.Path, split: str, data: DataConfig) -> RecordSource:
    """The records of one split, copied to this host while they are read if they are in an object store."""
    cache = shard_cache(data.cache_directory, data.cache_gigabytes) if is_remote(directory) else None
    return RecordSource(directory, split, data.skip_corrupt, cache)


def _packing(train: RecordSource, phase: PhaseConfig, config: Config) -> Packing:
    length, size = phase.max_seq_length, phase.global_batch_size
    packing = choose_packing(train.sizes(), length, size, config.train.seed, phase.packed_rows)
    phase.packed_rows = packing.rows
    return packing


def _check_length(directory: epath.Path, manifest: Manifest, phase: PhaseConfig) -> None:
    if manifest.max_seq_length != phase.max_seq_length:
        raise UserError(
            f"{directory} holds sequences of {manifest.max_seq_length} tokens and the phase asks for "
            f"max_seq_length={phase.max_seq_length}; point --config.data.records at records of that length"
        )


def _check_one_vocabulary(config: Config, opened: list[PhaseInput]) -> None:
    first = opened[0].manifest
    for other in opened:
        if other.manifest.vocab_fingerprint != first.vocab_fingerprint:
            raise UserError(
                f"{other.train.directory} and {opened[0].train.directory} were made with different vocabularies; "
                "build the records of all phases with one --vocab"
            )
    if config.model.vocab_size not in (0, first.vocab_size):
        raise UserError(
            f"{opened[0].train.directory} has a vocabulary of {first.vocab_size} and "
            f"--config.model.vocab_size={config.model.vocab_size}; set it to {first.vocab_size} or 0, "
            "or build the records with the other vocabulary"
        )


def train_batches(opened: PhaseInput, config: Config, mesh: Mesh, from_step: int) -> Iterator[Batch]:
    """Global batches on the devices, from `from_step` of the run to the end of the phase.

    Raises UserError as `check_segments`.
    """
    size = opened.phase.rows
    rows = local_rows(mesh, size)
    seed = config.train.seed
    how = {
        "first_step": from_step - opened.first_step,
        "last_step": opened.phase.steps,
        "num_threads": config.data.read_threads,
        "prefetch": config.data.prefetch_batches,
    }
    if opened.packing:
        batches = packed_batches(opened.train, opened.packing, rows=rows, seed=seed, **how)
    else:
        batches = training_batches(opened.train, global_batch_size=size, rows=rows, seed=seed, **how)
    for batch in batches:
        check_segments(batch, opened.train, config.model.type_vocab_size)
        yield on_devices(batch, rows, size, mesh)


def record_numbers(opened: PhaseInput, config: Config, step: int) -> list[int]:
    """The numbers of the records that the run's `step`, counted from 1, reads; all rows of the global batch."""
    number, seed, size = step - 1 - opened.first_step, config.train.seed, opened.phase.global_batch_size
    if opened.packing:
        rows = PackedOrder(opened.train.sizes(), opened.packing, seed).rows(number)
        return [record for row in rows for record in row]
    return record_ids(number, np.arange(size), size, len(opened.train), seed).tolist()


def held_out_batches(
    source: RecordSource, global_batch_size: int, max_batches: int, type_vocab_size: int, mesh: Mesh
) -> Iterator[Batch]:
    """The held-out split in order, on the devices; rows that fill up the last batch are all zero.

    Raises UserError as `check_segments`.
    """
    rows = local_rows(mesh, global_batch_size)
    for batch in evaluation_batches(
        source, global_batch_size=global_batch_size, rows=rows, max_batches=max_batches or None
    ):
        check_segments(batch, source, type_vocab_size)
        yield on_devices(batch, rows, global_batch_size, mesh)


def local_rows(mesh: Mesh, global_batch_size: int) -> np.ndarray:
    """The rows of a global batch that this process's devices hold, ascending; the only ones it reads."""
    slices = batch_sharding(mesh).addressable_devices_indices_map((global_batch_size,)).values()
    return np.unique(np.concatenate([np.arange(global_batch_size)[index] for index in slices]))


def on_devices(batch: Mapping[str, np.ndarray], rows: np.ndarray, global_batch_size: int, mesh: Mesh) -> Batch:
    """The global arrays, of which `batch` holds the `rows` of this process."""
    sharding = batch_sharding(mesh)

    def lay_out(local: np.ndarray) -> jax.Array:
        def piece(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None
            wanted = np.arange(global_batch_size)[index[0]]
            return local[np.searchsorted(rows, wanted)]

        return jax.make_array_from_callback((global_batch_size, *local.shape[1:]), sharding, piece)

    return {name: lay_out(array) for name, array in batch.items()}
