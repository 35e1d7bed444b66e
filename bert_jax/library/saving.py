"""A model of a training loop of one's own, on disk, for the verbs and for `load`."""

import dataclasses

import jax
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.inference.own_settings import OwnSettings, write_own_settings
from bert_jax.interchange.exports import Wanted
from bert_jax.interchange.families import without_place
from bert_jax.interchange.foreign_exports import write_found
from bert_jax.interchange.pretrained import Pretrained
from bert_jax.library.described import Description
from bert_jax.storage.new_directory import new_directory
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned


def save(directory: epath.PathLike, model: Pretrained, described: Description) -> None:
    """See Bert.save."""
    if not described.fine_tuned:
        _check_layers(model.config)
    host = dataclasses.replace(model, arrays=jax.device_get(dict(model.arrays)))
    with new_directory(directory) as aside:
        if described.fine_tuned:
            _write_fine_tuned(aside, host, described.fine_tuned)
        else:
            write_found(aside, host, described.name, Wanted("huggingface"))
            is_shorter = described.max_length < model.config.max_position_embeddings
            write_own_settings(aside, OwnSettings(described.max_length if is_shorter else None, described.pooling))


def _check_layers(config: ModelConfig) -> None:
    """Raise UserError where no Hugging Face directory can be of such a model."""
    one_sided = ["left_to_right=True"] if config.left_to_right else []
    if unlike := ", ".join([*one_sided, *filter(None, [without_place(config)])]):
        raise UserError(
            f"save writes a Hugging Face directory, which has no place for {unlike}; keep params yourself, say with "
            "Orbax: from_config(config, tokenizer).with_params(params) is the model again"
        )


def _write_fine_tuned(directory: epath.Path, model: Pretrained, description: FineTuned) -> None:
    """As finetune leaves it; the scores were those of other weights."""
    model.tokenizer.save(directory / "tokenizer")
    digest = fine_tuned.write_weights(directory / fine_tuned.WEIGHTS, model.arrays)
    fine_tuned.write_description(
        directory, dataclasses.replace(description, weights_crc32c=digest, model=model.config, dev={}, test={})
    )
