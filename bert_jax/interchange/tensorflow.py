"""Original-BERT checkpoints, as google-research/bert's programs write and read them, to and from our parameters.

A directory holds bert_config.json, vocab.txt and the checkpoint bert_model.ckpt, whose variables have the original's
names; optimizer state lies beside each as VARIABLE/adam_m and VARIABLE/adam_v. TensorFlow itself is not needed.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names
from bert_jax.interchange.huggingface_reader import ForeignWeights
from bert_jax.interchange.tensor_bundle import TensorBundle, write_bundle
from bert_jax.interchange.trained import Trained
from bert_jax.text.tokenizer import Tokenizer

CHECKPOINT = "bert_model.ckpt"
SETTINGS = "bert_config.json"
GLOBAL_STEP = "global_step"
SLOTS = ("adam_m", "adam_v")
# The original knows one "gelu": exact when the paper appeared, tanh since 2019. We add which it is, as torch says it.
APPROXIMATE = {"gelu": "none", "gelu_tanh": "tanh"}
# What the original's BertConfig takes for a setting that is not said; else its defaults are BERT-base's, as ours are.
DEFAULTS = {"type_vocab_size": 16, "hidden_act": "gelu"}


@dataclasses.dataclass(frozen=True)
class OriginalState:
    """What the original's optimizer keeps of a run; the moments are nested dicts like the parameters."""

    step: int
    mu: names.Params
    nu: names.Params


def write_tensorflow(directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Write bert_model.ckpt, with its step, bert_config.json and the tokenizer's files into `directory`.

    Raises:
      UserError: the parameters are not the whole model of `config`.
    """
    arrays = names.to_theirs(trained.params, config, "tensorflow")
    variables = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    tokenizer.save(directory)
    settings = json.dumps(to_original_config(config), indent=2, sort_keys=True)
    (directory / SETTINGS).write_text(settings + "\n")
    write_bundle(directory / CHECKPOINT, {**variables, GLOBAL_STEP: np.array(trained.step, np.int64)})
    _warn_of_differences(config, tokenizer)


def _warn_of_differences(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Say what google-research/bert's programs will do otherwise; its format cannot tell them."""
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
            "the original's programs know no added tokens, and cut %r too", tokenizer.added_tokens[0].content
        )


def read_tensorflow(path: epath.PathLike, settings: ModelConfig) -> ForeignWeights:
    """Read the checkpoint that `path` is (see `find_checkpoint`), with the bert_config.json beside it.

    Adam's moments are left alone. The form of GELU, of which the original does not tell, is that of `settings`.

    Raises:
      UserError: there is none, it is damaged, or holds a variable that has no place in ours, or lacks one.
    """
    prefix = _checkpoint(path)
    bundle = TensorBundle(prefix)
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in bundle.shapes:
        raise UserError(f"{prefix} is of TensorFlow 2, not the original's; give a checkpoint of named variables")
    config = _read_config(epath.Path(prefix).parent / SETTINGS, settings)
    variables = [name for name in bundle.shapes if name != GLOBAL_STEP and not name.endswith(SLOTS)]
    params = names.to_ours({name: _float32(bundle, name) for name in variables}, config, "tensorflow", prefix)
    return ForeignWeights(names.flatten(params), config, [])


def read_state(path: epath.PathLike, config: ModelConfig) -> OriginalState:
    """Step and Adam's moments in the checkpoint that `path` is, of a model of `config`.

    Raises:
      UserError: there is no such checkpoint, it is damaged, has no global_step (it was released without), or a
        parameter's moment is missing or of another shape.
    """
    prefix = _checkpoint(path)
    bundle = TensorBundle(prefix)
    if GLOBAL_STEP not in bundle.shapes:
        raise UserError(f"{prefix} holds no {GLOBAL_STEP}, weights only; give a checkpoint that a training run wrote")
    mu, nu = (_moments(bundle, slot, config, prefix) for slot in SLOTS)
    return OriginalState(int(bundle.read(GLOBAL_STEP)), mu, nu)


def _moments(bundle: TensorBundle, slot: str, config: ModelConfig, prefix: str) -> names.Params:
    ending = f"/{slot}"
    arrays = {name.removesuffix(ending): _float32(bundle, name) for name in bundle.shapes if name.endswith(ending)}
    return names.to_ours(arrays, config, "tensorflow", f"{prefix}, {slot}")


def find_checkpoint(path: epath.PathLike) -> str | None:
    """The prefix of the checkpoint that `path` is: a prefix itself, its .index, or a directory with bert_model.ckpt."""
    prefixes = (str(path), str(path).removesuffix(".index"), str(epath.Path(path) / CHECKPOINT))
    return next((prefix for prefix in prefixes if epath.Path(f"{prefix}.index").exists()), None)


def _checkpoint(path: epath.PathLike) -> str:
    prefix = find_checkpoint(path)
    if prefix is None:
        raise UserError(
            f"{path} is no original-BERT checkpoint: neither {path}.index nor {CHECKPOINT}.index in it exists"
        )
    return prefix


def _float32(bundle: TensorBundle, name: str) -> np.ndarray:
    return bundle.read(name).astype(np.float32, copy=False)


def to_original_config(config: ModelConfig) -> dict[str, Any]:
    """The content of bert_config.json; with a key or two more than the original's programs look at."""
    return {
        **dataclasses.asdict(config),
        "hidden_act": "gelu",
        "gelu_approximate": APPROXIMATE[config.hidden_act],
    }


def from_original_config(values: Mapping[str, Any], settings: ModelConfig, source: str) -> ModelConfig:
    """Our settings of the content of a bert_config.json; GELU's form is that of `settings` where it is not told.

    Raises:
      UserError: it does not say vocab_size, or says another activation than gelu; names `source`.
    """
    values = {**DEFAULTS, **values}
    if "vocab_size" not in values:
        raise UserError(f"{source} does not say vocab_size; give the bert_config.json of a BERT model")
    form = values.get("gelu_approximate", APPROXIMATE[settings.hidden_act])
    ours = [name for name, theirs in APPROXIMATE.items() if theirs == form]
    if values["hidden_act"] != "gelu" or not ours:
        spelling = f"hidden_act={values['hidden_act']!r}, gelu_approximate={form!r}"
        raise UserError(f"{source} says {spelling}; only gelu, with none or tanh, can be read")
    known = {field.name for field in dataclasses.fields(ModelConfig)} & values.keys()
    return ModelConfig(**{**{name: values[name] for name in known}, "hidden_act": ours[0]})


def _read_config(path: epath.Path, settings: ModelConfig) -> ModelConfig:
    if not path.exists():
        raise UserError(f"{path} does not exist; put the model's {SETTINGS} beside its checkpoint")
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); fetch it again") from error
    config = from_original_config(values, settings, str(path))
    config.check()
    return config
