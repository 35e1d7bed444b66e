"""A model of a training loop of one's own, on disk, for the verbs and for `load`."""

import dataclasses

import jax
from etils import epath

from bert_jax.interchange.exports import Wanted
from bert_jax.interchange.foreign_exports import write_found
from bert_jax.interchange.pretrained import Pretrained
from bert_jax.storage.new_directory import new_directory
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned


def save(directory: epath.PathLike, model: Pretrained, name: str, description: FineTuned | None) -> None:
    """See Bert.save; `description` is of a fine-tuned model."""
    host = dataclasses.replace(model, arrays=jax.device_get(dict(model.arrays)))
    with new_directory(directory) as aside:
        if description:
            _write_fine_tuned(aside, host, description)
        else:
            write_found(aside, host, name, Wanted("huggingface"))


def _write_fine_tuned(directory: epath.Path, model: Pretrained, description: FineTuned) -> None:
    """As finetune leaves it; the scores were those of other weights."""
    model.tokenizer.save(directory / "tokenizer")
    digest = fine_tuned.write_weights(directory / fine_tuned.WEIGHTS, model.arrays)
    fine_tuned.write_description(
        directory, dataclasses.replace(description, weights_crc32c=digest, model=model.config, dev={}, test={})
    )
