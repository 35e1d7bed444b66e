"""A pretrained model from wherever it is: a workdir or export of ours, Hugging Face's files, an original checkpoint."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.foreign import FRESH, ForeignWeights, tell_missing
from bert_jax.interchange.huggingface_reader import find_weights, read_huggingface, what_is_there
from bert_jax.interchange.numpy import is_numpy, read_numpy
from bert_jax.interchange.renames import EVERYTHING
from bert_jax.interchange.tensorflow import find_checkpoint, read_tensorflow
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.load_tokenizer import has_vocabulary, load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import read_trained

ENCODER = ("encoder/",)
WITH_MASKED_LM = ("encoder/", "masked_lm/")
_SAYS_CASE = ("vocabulary.json", "tokenizer_config.json", "tokenizer.json")  # beside a vocabulary


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Weights on the host, and what goes with them."""

    arrays: Mapping[str, np.ndarray]  # our path -> float32; what was not there (a pooler) is not here
    config: ModelConfig
    tokenizer: Tokenizer
    heads: Sequence[str] = ()  # the file's names of what is of another task's head, and not here


def read_pretrained(
    path: epath.PathLike, defaults: ModelConfig, parts: tuple[str, ...] = ENCODER, absent: str = FRESH
) -> Pretrained:
    """Of the model at `path` those `parts`, beginnings of our paths; `defaults` are what a single file leaves open.

    absent: for the log, what becomes of weights that are missing.

    Raises:
      UserError: there is none, it is damaged, not all finite, or has no vocabulary beside it.
    """
    path = epath.Path(path)
    found = read_any(path, defaults, parts, absent)
    weights, folder = found.weights, found.folder
    arrays = {name: array for name, array in weights.arrays.items() if name.startswith(parts)}
    check_finite(arrays, path)
    tokenizer = _tokenizer(path, folder)
    if tokenizer.vocab_size > weights.config.vocab_size:
        raise UserError(
            f"{path} has {weights.config.vocab_size} rows for the {tokenizer.vocab_size} tokens of its vocabulary; "
            "put the vocabulary that belongs to the weights beside them"
        )
    return Pretrained(arrays, weights.config, tokenizer, weights.heads)


def check_finite(arrays: Mapping[str, np.ndarray], source: object) -> None:
    """Raise UserError, with the name of what holds the `arrays`, if one is not finite."""
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        others = f", and {len(bad) - 1} others," if bad[1:] else ""
        raise UserError(f"{source}: {bad[0]}{others} is not finite (NaN or infinity); give weights from before that")


@dataclasses.dataclass(frozen=True)
class WeightsAtPath:
    """What lies at a path."""

    weights: ForeignWeights
    folder: epath.Path  # which may hold their vocabulary
    step: int | None = None  # of a pretraining run's checkpoint


def read_any(
    path: epath.Path, defaults: ModelConfig, parts: tuple[str, ...] = EVERYTHING, absent: str = FRESH, flag: str = ""
) -> WeightsAtPath:
    """The weights at `path`, whatever they are; arguments as for `read_pretrained`, `flag` for messages."""
    if fine_tuned.is_fine_tuned(path):
        return WeightsAtPath(read_fine_tuned(path, parts, absent), path / "tokenizer")
    if original := find_checkpoint(path):
        return WeightsAtPath(read_tensorflow(path, defaults, parts, absent), epath.Path(original).parent)
    if (path / "checkpoints").exists():
        config = read_config(path).model
        fingerprint = load_tokenizer(path / "tokenizer").fingerprint
        trained = read_trained(path, pretraining_model(config).abstract_params, fingerprint, None)
        return WeightsAtPath(ForeignWeights(flatten(trained.params), config, []), path / "tokenizer", trained.step)
    if find_weights(path):
        return WeightsAtPath(read_huggingface(path, defaults, parts, absent), path if path.is_dir() else path.parent)
    if is_numpy(path):
        return WeightsAtPath(read_numpy(path, parts, absent), path)
    raise UserError(
        f"{flag}{path} is neither a workdir of bert_jax, nor Hugging Face weights, nor a numpy export, nor an "
        f"original-BERT checkpoint: {what_is_there(path)}"
    )


def read_fine_tuned(workdir: epath.Path, parts: tuple[str, ...], absent: str = FRESH) -> ForeignWeights:
    """Those `parts` of the fine-tuned model in `workdir`; its head, which is a task's, is not used.

    absent: as for `read_pretrained`.

    Raises:
      UserError: it is damaged.
    """
    model = fine_tuned.read_description(workdir)
    fine_tuned.read_tokenizer(workdir, model)
    arrays = fine_tuned.read_weights(workdir / fine_tuned.WEIGHTS, model.weights_crc32c)
    wanted = flatten(pretraining_model(model.model).abstract_params)
    missing = [name for name in wanted if name.startswith(parts) and name not in arrays]
    tell_missing(missing, str(workdir), absent)
    return ForeignWeights({name: arrays[name] for name in wanted if name in arrays}, model.model, missing)


def _tokenizer(path: epath.Path, folder: epath.Path) -> Tokenizer:
    if not has_vocabulary(folder):
        raise UserError(f"{path} has no vocabulary beside its weights; put its vocab.txt or tokenizer.json there")
    if any((folder / name).exists() for name in _SAYS_CASE):
        return load_tokenizer(folder)
    cased = load_tokenizer(folder, do_lower_case=False)
    # The original's directories do not say it, but a vocabulary of lower-cased text has no capitals.
    has_capitals = any(token != token.lower() for token in cased.tokens if not token.startswith("["))
    logging.info("%s is taken for %s, by the capitals in its tokens", folder, "cased" if has_capitals else "uncased")
    return load_tokenizer(folder, do_lower_case=not has_capitals)
