"""A model of a training loop of one's own, on disk, for the verbs and for `load`."""

import dataclasses

import jax
import numpy as np
from absl import logging
from etils import epath

from bert_jax.interchange.exports import ExportOptions
from bert_jax.interchange.foreign import listed
from bert_jax.interchange.foreign_exports import not_given_back, write_found
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.own_settings import OwnSettings, beside_task, write_own_settings
from bert_jax.interchange.pretrained import Pretrained, check_finite
from bert_jax.library.described import ModelDescription
from bert_jax.library.given import path_of, refusals_on_one_line
from bert_jax.model.functional import nest
from bert_jax.storage.new_directory import new_directory
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned
from bert_jax.workdir.trained import Trained


def save(directory: epath.PathLike, model: Pretrained, described: ModelDescription) -> None:
    """See Bert.save."""
    directory = path_of("directory", directory)
    # Whoever trained them in another precision has them in it: every format here has float32.
    with np.errstate(over="ignore"):  # what is too large for it becomes infinity, and is refused
        arrays = {path: np.asarray(array, np.float32) for path, array in jax.device_get(dict(model.arrays)).items()}
    check_finite(arrays, "params")
    host = dataclasses.replace(model, arrays=arrays)
    with refusals_on_one_line(), new_directory(directory, "directory") as aside:
        if trained := described.fine_tuned:
            _write_fine_tuned(aside, host, trained)
            own = beside_task(described.own, described.own.pooling)
            said = trained.text.max_length  # which stays: predict reads as many
        else:
            _write_pretrained(aside, host, described.name, directory)
            own, said = described.own, 0
        is_said = described.max_length == OwnSettings(said).length(model.config.max_position_embeddings)
        own = dataclasses.replace(own, max_length=None if is_said else described.max_length)
        write_own_settings(aside, own, model.config.hidden_size)


def _write_pretrained(aside: epath.Path, model: Pretrained, name: str, directory: epath.PathLike) -> None:
    """As a Hugging Face directory where that gives back the model as it is, else as a numpy export."""
    if others := not_given_back(model):
        logging.warning(
            "%s is written as by export --format=numpy: no Hugging Face directory is the same model (%s)",
            directory,
            listed(others, 2),
        )
        write_numpy(aside, Trained(0, nest(model.arrays), {}, {}), model.config, model.tokenizer)
    else:
        write_found(aside, model, name, ExportOptions("huggingface"))


def _write_fine_tuned(directory: epath.Path, model: Pretrained, description: FineTuned) -> None:
    """As finetune leaves it; the scores were those of other weights."""
    model.tokenizer.save(directory / "tokenizer")
    digest = fine_tuned.write_weights(directory / fine_tuned.WEIGHTS, model.arrays)
    fine_tuned.write_description(
        directory, dataclasses.replace(description, weights_crc32c=digest, model=model.config, dev={}, test={})
    )
