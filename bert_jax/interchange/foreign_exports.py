"""Weights that others wrote, in another format: no run stands between.

Written is what is there: the whole pretraining model, the one without pairs, or the encoder alone.
"""

from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.conversions import Weights, drop_pairs
from bert_jax.interchange.exports import (
    LIBRARIES,
    ExportOptions,
    Written,
    export_fine_tuned,
    export_pretrained,
    write_pretrained,
)
from bert_jax.interchange.families import ENCODER, PRETRAINING, family_of, without_place
from bert_jax.interchange.foreign import listed
from bert_jax.interchange.huggingface import without_lost
from bert_jax.interchange.huggingface_reader import find_weights
from bert_jax.interchange.model_card import converted_card
from bert_jax.interchange.own_settings import NOTHING_SAID, OwnSettings, own_settings
from bert_jax.interchange.pretrained import Pretrained, read_pretrained
from bert_jax.interchange.renames import EVERYTHING
from bert_jax.model.functional import nest
from bert_jax.model.pretraining import MASKED_LM, PARTS, parts_of
from bert_jax.workdir.fine_tuned import is_fine_tuned
from bert_jax.workdir.trained import Trained


def export(directory: epath.Path, workdir: str | None, model: str | None, options: ExportOptions) -> str:
    """Write the run in `workdir`, or the `model`, which may be one, too; gives, for people, what was written.

    Raises:
      UserError: there is none, it is damaged, or the format cannot hold it.
    """
    source = workdir or str(model)
    if is_fine_tuned(source):
        return f"step {export_fine_tuned(directory, source, options)} of {source}"
    if workdir or (epath.Path(source) / "checkpoints").exists():
        return f"step {export_pretrained(directory, source, options)} of {source}"
    export_foreign(directory, source, options)
    return source


def export_foreign(directory: epath.Path, model: str, options: ExportOptions) -> None:
    """Write the weights at `model`, anything that `read_pretrained` reads.

    Raises:
      UserError: there are none, a single file leaves settings open, the format cannot hold them, or they have a task's
        head that the user does not let go.
    """
    if options.step is not None:
        raise UserError(f"--step={options.step}: {model} is no run with checkpoints; leave it out")
    if find_weights(model) == epath.Path(model):
        raise UserError(f"{model} does not say all its settings; give a directory with its config.json and vocabulary")
    found = read_pretrained(model, ModelConfig(), EVERYTHING, absent="left out")
    if found.heads and not options.drop_heads:
        raise UserError(
            f"{model} has a head of a task, {listed(found.heads)}, which no format has a place for beside the encoder; "
            "--drop_heads leaves it out"
        )
    own = own_settings(model)
    if own.not_computed and (options.kind == "sentence-transformers" or options.write_program is not None):
        raise UserError(
            f"{model} makes its vectors with {listed(own.not_computed)}, which is not computed here; "
            "--format=huggingface writes its encoder"
        )
    (_, config), written = write_found(directory, found, model, options, own)
    has_heads, library = not written.is_encoder, LIBRARIES[options.kind]
    card = converted_card(model, has_heads, config, found.tokenizer, library, written.family)
    (directory / "README.md").write_text(card + written.of_program)


def not_given_back(found: Pretrained) -> list[str]:
    """What of a model a Hugging Face directory of it would lack, or have beside it: settings, or paths of arrays."""
    if unlike := without_place(found.config):
        return [unlike]
    weights = _what_can_be_written(found)
    family = family_of(weights.config, PRETRAINING if MASKED_LM in parts_of(weights.arrays) else ENCODER)
    pad_id = found.tokenizer.pad_id
    read = family.from_file(family.to_file(without_lost(weights, family), pad_id), pad_id)
    return sorted(found.arrays.keys() ^ read.arrays.keys())


def write_found(
    directory: epath.Path, found: Pretrained, source: str, options: ExportOptions, own: OwnSettings = NOTHING_SAID
) -> tuple[Weights, Written]:
    """Write all but the card of a model that need not be whole; gives what was written, and how.

    `own` is what the model says of its use.

    Raises:
      UserError: the format cannot hold it.
    """
    weights = _what_can_be_written(found)
    if lost := sorted(found.arrays.keys() - weights.arrays.keys()):
        logging.warning("%s: %s is but a part of a head: left out", source, listed(lost))
    trained = Trained(0, nest(weights.arrays), {}, {})
    return weights, write_pretrained(directory, trained, weights.config, found.tokenizer, options, own)


def _what_can_be_written(found: Pretrained) -> Weights:
    """All of it, or all but the pair's part where that is not whole, or the encoder."""
    weights = Weights(found.arrays, found.config)
    there = set(parts_of(found.arrays))
    if MASKED_LM not in there:
        parts = {path: array for path, array in found.arrays.items() if path.startswith("encoder/")}
        return Weights(parts, found.config)
    return weights if there == set(PARTS) else drop_pairs(weights)
