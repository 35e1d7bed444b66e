"""Every phase's records opened and checked, and what of the config they decide."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import Config, DataConfig, ModelConfig, PhaseConfig
from bert_jax.data.dynamic_masks import HELD_OUT_SEED, DynamicMasks
from bert_jax.data.manifest import Manifest
from bert_jax.data.packing import choose_packing
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.open_records import manifest_for_all, open_split, records_directory
from bert_jax.training.phase_input import PhaseInput, sizes_of
from bert_jax.training.record_checks import check_evaluated, check_length, check_segments, warn_of_trained

_CHECKED = 16  # records of each split, before the run
_Load = Callable[[epath.Path], Tokenizer]  # of a directory; a run's remembers what it has loaded


def open_phases(config: Config, load: _Load = load_tokenizer) -> list[PhaseInput]:
    """Open every phase's records before any device computes; `config` is resolved, and stays as it is.

    `load` gives their tokenizers, where masks are drawn.

    Raises:
      UserError: records are missing or damaged, of another sequence length or vocabulary than the config's, have other
        pairs than the model's head or each other's, or hold ids that the model has no row for.
    """
    opened: list[PhaseInput] = []
    for phase in config.phases:
        opened.append(_open_phase(phase, opened, config, load))
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


def _open_phase(phase: PhaseConfig, before: Sequence[PhaseInput], config: Config, load: _Load) -> PhaseInput:
    first_step = before[-1].last_step if before else 0
    directory = records_directory(config.data.records, phase)
    manifest = manifest_for_all(directory)
    check_length(directory, manifest, phase)
    train, seed, packing = open_split(directory, manifest, "train", config.data), config.train.seed, None
    masks = dynamic_masks(config.data, directory, manifest, seed, load)
    validation, held_out_masks = _held_out(phase, config, manifest, load)
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
    phase: PhaseConfig, config: Config, trained_on: Manifest, load: _Load
) -> tuple[RecordSource | None, DynamicMasks | None]:
    """The validation split that the phase is evaluated on, and what draws its masks (see EvaluationConfig)."""
    if not config.evaluation.records:
        directory = records_directory(config.data.records, phase)
        masks = dynamic_masks(config.data, directory, trained_on, load=load)
        return _validation(directory, trained_on, config.data), masks
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
    data: DataConfig,
    directory: epath.Path,
    manifest: Manifest,
    seed: int = HELD_OUT_SEED,
    load: _Load = load_tokenizer,
) -> DynamicMasks | None:
    """What draws the masks of the records in `directory`; without a seed, those of evaluations. None: theirs stay."""
    if data.masking == "static":
        return None
    return DynamicMasks(data, load(directory / "tokenizer"), manifest.max_seq_length, seed)


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
