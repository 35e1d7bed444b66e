"""What records must be like for a run: complaints, each with its remedy, before anything is computed."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig, PhaseConfig
from bert_jax.data.manifest import Manifest
from bert_jax.data.options import RecordOptions
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError

OTHERS_HELD_OUT = "holds out other documents of the same text than the records"
# By which documents are held out: by a hash of their sentences and the seed.
_CHOICE = {name: getattr(RecordOptions, name) for name in ("split_sentences", "random_seed", "holdout")}


def check_length(directory: epath.Path, manifest: Manifest, phase: PhaseConfig) -> None:
    """Raise UserError if the records in `directory` are not as long as the phase asks for."""
    if manifest.max_seq_length != phase.max_seq_length:
        raise UserError(
            f"{directory} holds sequences of {manifest.max_seq_length} tokens and the phase asks for "
            f"max_seq_length={phase.max_seq_length}; point --config.data.records (and evaluation.records, if it is "
            "given) at records of that length"
        )


def check_evaluated(directory: epath.Path, manifest: Manifest, model: ModelConfig, trained_on: Manifest) -> None:
    """Raise UserError if a run on other records cannot be evaluated on those in `directory`."""
    if manifest.vocab_fingerprint != trained_on.vocab_fingerprint:
        raise UserError(
            f"--config.evaluation.records={directory} has another vocabulary than the records that the run is trained "
            "on; build both with one --vocab"
        )
    if model.next_sentence and manifest.pairs != trained_on.pairs:
        raise UserError(
            f"--config.evaluation.records={directory} was built with --pairs={manifest.pairs} and the records that the "
            f"run is trained on with --pairs={trained_on.pairs}; give --config.model.next_sentence=false, or records "
            "of the same pairs"
        )
    if are_trained_on(manifest, trained_on):
        made = trained_on if trained_on.options.get("holdout") else manifest
        remedy = " ".join(f"--{name}={made.options.get(name, default)}" for name, default in _CHOICE.items())
        raise UserError(
            f"--config.evaluation.records={directory} {OTHERS_HELD_OUT} that the run is trained on, which have some of "
            f"them in training; build both with {remedy}, or leave it out"
        )


class Made(Protocol):
    """How records were made, and of what text: a Manifest says it, and a checkpoint of a run on them."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Those of build_records."""

    @property
    def inputs(self) -> Any:
        """The corpus' identity."""


def are_trained_on(held_out: Made, trained_on: Made) -> bool:
    """Whether documents that are held out of one records directory are trained on in the other.

    It is not known of other text. Of the same text, a smaller --holdout is a part of a larger one (data/parts.py).
    """
    (*how, share), (*trained_how, trained_share) = (
        [made.options.get(name, default) for name, default in _CHOICE.items()] for made in (held_out, trained_on)
    )
    return held_out.inputs == trained_on.inputs and (how != trained_how or share > trained_share)


def warn_of_trained(held_out: Sequence[RecordSource | None], trained_on: Sequence[RecordSource]) -> None:
    """Of phases whose held-out documents another phase is trained on; of its own ones, `check_evaluated` refuses."""
    for (phase, source), (other, trained) in itertools.product(enumerate(held_out), enumerate(trained_on)):
        if source and phase != other and are_trained_on(source.manifest, trained.manifest):
            logging.warning(
                "%s %s in %s, where another phase is trained on some of them: held-out losses are too good; build both "
                "with the same --random_seed, --holdout and --split_sentences",
                *(source.directory, OTHERS_HELD_OUT, trained.directory),
            )


def check_segments(batch: Mapping[str, np.ndarray], source: RecordSource, type_vocab_size: int) -> None:
    """Raise UserError if the model has no row for a segment of a batch of `source`, which has checked all other ids.

    Of an id without a row, a device makes NaN.
    """
    largest = batch["segment_ids"].max(initial=0)
    if type_vocab_size and largest >= type_vocab_size:  # without token types, segments are not read
        raise UserError(
            f"{source.directory} has records with {largest} among their segment_ids, and --config.model."
            f"type_vocab_size={type_vocab_size} has no row for it; give as many as there are segments (and as "
            "--config.init_from, if you use it, was trained with)"
        )
