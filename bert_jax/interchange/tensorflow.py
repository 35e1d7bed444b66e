"""Original-BERT checkpoints, as google-research/bert's programs write and read them, to and from our parameters.

Those of google-research/albert are read, too: they have albert_config.json, and in TensorFlow Hub "module/" stands
before their names. A directory holds bert_config.json, vocab.txt and the checkpoint bert_model.ckpt, whose variables
have the original's names; optimizer state lies beside each as VARIABLE/adam_m and VARIABLE/adam_v. TensorFlow itself is
not needed.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import albert_names
from bert_jax.interchange.albert_names import AlbertSettings
from bert_jax.interchange.bert_names import TENSORFLOW
from bert_jax.interchange.foreign import (
    FRESH,
    AdamState,
    ForeignWeights,
    Stored,
    check_like_bert,
    layers_of,
    listed,
    take_weights,
)
from bert_jax.interchange.huggingface_reader import find_weights
from bert_jax.interchange.renames import EVERYTHING, Names, parameters, to_theirs
from bert_jax.interchange.settings import ForeignSettings, Size
from bert_jax.interchange.tensor_bundle import TensorBundle, write_bundle
from bert_jax.model.functional import Params, nest
from bert_jax.storage.json_file import check_schema, read_json, write_json
from bert_jax.storage.paths import files_of
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained

CHECKPOINT = "bert_model.ckpt"
SETTINGS, ALBERT_SETTINGS = "bert_config.json", "albert_config.json"
HUB = "module/"  # before every name in a module of TensorFlow Hub
GLOBAL_STEP = "global_step"
SLOTS = ("adam_m", "adam_v")
# The original knows one "gelu": exact when the paper appeared, tanh since 2019. We add which it is, in torch's words.
APPROXIMATE = {"gelu": "none", "gelu_tanh": "tanh"}


def write_tensorflow(directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Write bert_model.ckpt, with its step, bert_config.json and the tokenizer's files into `directory`.

    Raises:
      UserError: the parameters are not the whole model of `config`.
    """
    arrays = to_theirs(trained.params, TENSORFLOW, config)
    variables = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    tokenizer.save(directory)
    write_json(directory / SETTINGS, to_original_config(config), sort_keys=True)
    write_bundle(directory / CHECKPOINT, {**variables, GLOBAL_STEP: np.array(trained.step, np.int64)})
    _warn_of_differences(config, tokenizer)


def _warn_of_differences(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Log what google-research/bert's programs will do otherwise; its format has no field for it."""
    if config.hidden_act != "gelu_tanh":
        logging.warning("the original's programs take GELU's tanh form: their outputs will be off by up to some 1e-3")
    if config.layer_norm_eps != ModelConfig.layer_norm_eps:
        logging.warning("the original's programs take layer_norm_eps=1e-12 and not %g", config.layer_norm_eps)
    if tokenizer.kind != "wordpiece":
        logging.warning("the original's programs read WordPiece only, and this tokenizer is %s", tokenizer.kind)
    elif (tokenizer.strip_accents, tokenizer.tokenize_chinese_chars) != (tokenizer.lowercase, True):
        logging.warning(
            "the original's programs drop accents exactly if they lower-case, and make each ideograph a word; this "
            "vocabulary has strip_accents=%s and tokenize_chinese_chars=%s, so their ids will be others",
            *(tokenizer.strip_accents, tokenizer.tokenize_chinese_chars),
        )
    if tokenizer.added_tokens:
        logging.warning(
            "the original's programs know no added tokens, and split %r too", tokenizer.added_tokens[0].content
        )


def read_tensorflow(
    path: epath.PathLike, settings: ModelConfig, parts: tuple[str, ...] = EVERYTHING, absent: str = FRESH
) -> ForeignWeights:
    """Read the checkpoint that `path` is (see `find_checkpoint`), with the bert_ or albert_config.json beside it.

    What optimizers keep is not read; others' heads, and what is none of `parts`, beginnings of our paths, are not used.
    The form of GELU, which the original's files leave open, is that of `settings`. `absent` as for take_weights.

    Raises:
      UserError: there is none, `settings` are of layers that it does not have, it is damaged, or lacks a part of the
        encoder, or holds one that has no place in ours.
    """
    prefix = _checkpoint(path)
    check_like_bert(settings, prefix)
    logging.info("reading %s", prefix)
    bundle = TensorBundle(prefix)
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in bundle.shapes:
        raise UserError(f"{prefix} is of TensorFlow 2, not the original's; give a checkpoint of named variables")
    stored = {name.removeprefix(HUB): _stored(bundle, name) for name in bundle.shapes if name != GLOBAL_STEP}
    names = _names(stored)
    config = _read_config(epath.Path(prefix).parent, names, settings)
    return take_weights(stored, names, config, prefix, parts, absent)


def _names(stored: Mapping[str, Stored]) -> Names:
    """ALBERT's or BERT's, whose encoder it is."""
    return albert_names.TENSORFLOW if layers_of(stored, albert_names.TENSORFLOW) else TENSORFLOW


def read_state(path: epath.PathLike, config: ModelConfig) -> AdamState:
    """Step and Adam's moments in the checkpoint that `path` is, of a model of `config`.

    Raises:
      UserError: there is no such checkpoint, it is damaged, has no global_step (it was released without), or a
        parameter's moment is missing or of another shape.
    """
    prefix = _checkpoint(path)
    bundle = TensorBundle(prefix)
    step = bundle.read(GLOBAL_STEP) if bundle.shapes.get(GLOBAL_STEP) == () else None
    if step is None or step.dtype.kind != "i":
        raise UserError(f"{prefix} holds no {GLOBAL_STEP}, weights only; give a checkpoint that a training run wrote")
    names = _names({name: _stored(bundle, name) for name in bundle.shapes})
    mu, nu = (_moments(bundle, slot, names, config, prefix) for slot in SLOTS)
    return AdamState(int(step), mu, nu)


def _moments(bundle: TensorBundle, slot: str, names: Names, config: ModelConfig, prefix: str) -> Params:
    held = {param.name: f"{param.name}/{slot}" for param in parameters(names, config)}
    stored = {name: _stored(bundle, moment) for name, moment in held.items() if moment in bundle.shapes}
    if not stored:
        raise UserError(f"{prefix} holds no {slot}, weights only; give a checkpoint that a training run wrote")
    return nest(take_weights(stored, names, config, f"{prefix}, {slot}").arrays)


def _stored(bundle: TensorBundle, name: str) -> Stored:
    return Stored(bundle.shapes[name], functools.partial(bundle.read, name))


def find_checkpoint(path: epath.PathLike) -> str | None:
    """The prefix of the checkpoint that `path` is, or None.

    `path` is a prefix itself, its .index, or a directory: with bert_model.ckpt, or with another as its only one.

    Raises:
      UserError: the directory has several checkpoints, and no Hugging Face weights either.
    """
    prefixes = (str(path), str(path).removesuffix(".index"), str(epath.Path(path) / CHECKPOINT))
    if found := next((prefix for prefix in prefixes if epath.Path(f"{prefix}.index").exists()), None):
        return found
    if not epath.Path(path).is_dir() or find_weights(path):
        return None
    there = [str(file).removesuffix(".index") for file in files_of(path, "*.index")]
    if len(there) > 1:
        several = listed([epath.Path(prefix).name for prefix in there])
        raise UserError(f"{path} holds several checkpoints: {several}; give one of them, say {there[-1]}")
    return there[0] if there else None


def _checkpoint(path: epath.PathLike) -> str:
    prefix = find_checkpoint(path)
    if prefix is None:
        raise UserError(
            f"{path} is no original-BERT checkpoint: neither {path}.index nor {CHECKPOINT}.index in it exists"
        )
    return prefix


def to_original_config(config: ModelConfig) -> dict[str, Any]:
    """The content of bert_config.json; with a key or two more than the original's programs look at."""
    return {
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(ForeignSettings)},
        "hidden_act": "gelu",
        "gelu_approximate": APPROXIMATE[config.hidden_act],
    }


@dataclasses.dataclass(frozen=True)
class OriginalSettings(ForeignSettings):
    """The content of a bert_config.json; a key that is left out is as the original's BertConfig takes it."""

    type_vocab_size: Size = 16
    gelu_approximate: str | None = None  # ours alone


def from_original_config(values: Mapping[str, Any], settings: ModelConfig, source: str) -> ModelConfig:
    """Our settings of the content of a bert_config.json; where it leaves GELU's form open, that of `settings`.

    Raises:
      UserError: a value of it cannot be, or the activation is another than gelu; names `source`.
    """
    theirs = check_schema(values, OriginalSettings, source, "give the bert_config.json of a BERT model")
    form = theirs.gelu_approximate or APPROXIMATE[settings.hidden_act]
    ours = [name for name, approximate in APPROXIMATE.items() if approximate == form]
    if theirs.hidden_act != "gelu" or not ours:
        spelling = f"hidden_act={theirs.hidden_act!r:.80}, gelu_approximate={form!r:.80}"
        raise UserError(f"{source} says {spelling}; only gelu, with none or tanh, can be read")
    return theirs.to_ours(ours[0], source)


@dataclasses.dataclass(frozen=True)
class OriginalAlbertSettings(AlbertSettings):
    """The content of an albert_config.json."""

    hidden_act: str = "gelu"
    inner_group_num: int = 1


def from_original_albert_config(values: Mapping[str, Any], source: str) -> ModelConfig:
    """Our settings of the content of an albert_config.json; its GELU is the tanh form.

    Raises:
      UserError: a value of it cannot be, or the model is one that ours is not; names `source`.
    """
    theirs = check_schema(values, OriginalAlbertSettings, source, f"give the {ALBERT_SETTINGS} of an ALBERT model")
    if theirs.hidden_act != "gelu" or theirs.inner_group_num != 1:
        spelling = f"hidden_act={theirs.hidden_act!r:.80}, inner_group_num={theirs.inner_group_num}"
        raise UserError(f"{source} says {spelling}; only gelu and inner_group_num=1 can be read")
    ours = theirs.to_ours("gelu_tanh", source)
    # Where tables are as wide as the layers, it has no dense layer between them.
    has_projection = ours.embedding_size != ours.hidden_size
    return ours if has_projection else dataclasses.replace(ours, embedding_size=0)


def _read_config(directory: epath.Path, names: Names, settings: ModelConfig) -> ModelConfig:
    is_albert = names is albert_names.TENSORFLOW
    path = directory / (ALBERT_SETTINGS if is_albert else SETTINGS)
    if not path.exists():
        raise UserError(f"{path} does not exist; put the model's {path.name} beside its checkpoint")
    values: dict[str, Any] = read_json(path, dict, "fetch it again")
    if is_albert:
        return from_original_albert_config(values, str(path))
    return from_original_config(values, settings, str(path))
