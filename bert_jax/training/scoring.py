"""Held-out scores of a finished or stopped run, read back from its workdir."""

import dataclasses

from absl import logging
from etils import epath

from bert_jax.config import Config, DataConfig, MeshConfig
from bert_jax.data.manifest import check_vocabulary, read_manifest
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.model.functional import param_shardings, with_shardings
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.mesh import by_sequence, make_mesh
from bert_jax.storage.cloud import absolute
from bert_jax.storage.json_file import finite_or_none
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.description import Description, description_of
from bert_jax.training.evaluation import evaluate, jit_evaluation_step
from bert_jax.training.open_phases import dynamic_masks
from bert_jax.training.open_records import counts_for_all, open_split, records_directory
from bert_jax.training.phase_input import held_out_batches
from bert_jax.training.record_checks import OTHERS_HELD_OUT, are_trained_on
from bert_jax.workdir.read_checkpoint import read_params
from bert_jax.workdir.run_directory import read_config


def score(workdir: epath.PathLike, records: epath.PathLike | None, batch_size: int) -> dict[str, float | None]:
    """Means and floors (see evaluation.evaluate) of the newest checkpoint, with its step; None: no finite number.

    Keys: step; loss (nats); masked_lm_loss, masked_lm_accuracy and their floors unigram_loss, unigram_accuracy; of a
    model with a head for pairs also PAIR_loss, PAIR_accuracy and their floors majority_PAIR_loss and
    majority_PAIR_accuracy, where PAIR is next_sentence, sentence_order or alignment.

    Raises:
      UserError: there is no checkpoint, or the records are of another vocabulary or longer than the model reads.
    """
    config = read_config(workdir)
    source = _held_out(config, epath.Path(workdir), records)
    mesh = make_mesh(MeshConfig())
    objective = PretrainingObjective(config.model, source.manifest.pairs)
    model = objective.model(config.train.dtype, by_sequence=by_sequence(mesh))
    shardings = param_shardings(model, mesh)
    step, params, described = read_params(workdir, with_shardings(model.abstract_params, shardings))
    _warn_of_trained(source, description_of(described, f"{workdir}/checkpoints/{step}"))
    run = jit_evaluation_step(objective, model, mesh, shardings)
    masks = None if _has_own_masks(config, source) else dynamic_masks(config.data, source.directory, source.manifest)
    if masks and masks.needs_counts:
        masks.take_counts(counts_for_all(_trained_on(source, config.data)))
    batches = held_out_batches(source, batch_size, 0, config.model.type_vocab_size, mesh, masks)
    scores = evaluate(objective, run, params, batches)
    return {"step": step} | {name: finite_or_none(value) for name, value in scores.items()}


def _has_own_masks(config: Config, source: RecordSource) -> bool:
    """Whether the run evaluates these records, which are not those of its training, with the masks that they have."""
    own = config.evaluation.records
    return bool(own) and absolute(records_directory(own, config.phases[-1])) == absolute(source.directory)


def _trained_on(source: RecordSource, data: DataConfig) -> RecordSource:
    """The training records beside those that are scored, as in the run itself, if there are any."""
    manifest = source.manifest
    return open_split(source.directory, manifest, "train", data) if "train" in manifest.splits else source


def _warn_of_trained(source: RecordSource, known: Description) -> None:
    """Where documents that are scored were trained on; `known` is of the checkpoint."""
    phases = known.records or ([known.data] if known.data else [])
    if any(are_trained_on(source.manifest, phase) for phase in phases):
        logging.warning(
            "%s %s that the model was trained on, which had some of them in training: the scores are too good",
            *(source.directory, OTHERS_HELD_OUT),
        )


def _held_out(config: Config, workdir: epath.Path, records: epath.PathLike | None) -> RecordSource:
    own = config.evaluation.records or config.data.records
    directory = epath.Path(records) if records else records_directory(own, config.phases[-1])
    manifest = read_manifest(directory)
    tokenizer = load_tokenizer(workdir / "tokenizer")
    check_vocabulary(
        directory,
        manifest,
        tokenizer.vocab_size,
        tokenizer.fingerprint,
        f"the model's, --vocab={workdir / 'tokenizer'},",
    )
    if manifest.max_seq_length > config.model.max_position_embeddings:
        raise UserError(
            f"{directory} has sequences of {manifest.max_seq_length} tokens and the model of {workdir} reads at most "
            f"{config.model.max_position_embeddings}; give --records with shorter ones"
        )
    split = "validation" if "validation" in manifest.splits else "train"
    return open_split(directory, manifest, split, dataclasses.replace(config.data, skip_corrupt=0))
