"""Weights that others wrote, whatever the format: what of them is ours, what is missing, what is passed over.

A reader of a format gives what the file holds, by the framework's names and nothing read yet; here it is decided and
told, for all formats alike, what becomes of it. Settings that lie beside the weights have their schema here too.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import jax.numpy as jnp
import msgspec
import numpy as np
from absl import logging

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names

# What an encoder may come without, each as a whole: it is initialised afresh then.
OPTIONAL = ("encoder/pooler/", "masked_lm/", "next_sentence/")
ENCODER = ("bert.", "bert/")  # what begins so is a part of the encoder, in either framework
_LAYER = re.compile(r"bert(?:\.encoder\.layer\.|/encoder/layer_)([0-9]{1,9})[./]")

Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Small = Annotated[float, msgspec.Meta(ge=0, le=1)]  # which leaves out infinity and what is no number


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array in somebody's file."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]  # UserError, with file and name, if it cannot be read


@dataclasses.dataclass(frozen=True)
class ForeignWeights:
    """What a file gave."""

    arrays: dict[str, np.ndarray]  # our path -> float32 array in our shape
    config: ModelConfig
    missing: list[str]  # our paths that it has nothing for: they begin afresh
    passed_over: list[str] = dataclasses.field(default_factory=list)  # its names that have no place in ours


@dataclasses.dataclass(frozen=True)
class ForeignSettings:
    """What config.json and bert_config.json call alike; what one does not say is as in BERT-base."""

    vocab_size: Size
    hidden_size: Size = ModelConfig.hidden_size
    num_hidden_layers: Size = ModelConfig.num_hidden_layers
    num_attention_heads: Size = ModelConfig.num_attention_heads
    intermediate_size: Size = ModelConfig.intermediate_size
    max_position_embeddings: Size = ModelConfig.max_position_embeddings
    type_vocab_size: Size = ModelConfig.type_vocab_size
    hidden_act: str = ModelConfig.hidden_act
    hidden_dropout_prob: Rate = ModelConfig.hidden_dropout_prob
    attention_probs_dropout_prob: Rate = ModelConfig.attention_probs_dropout_prob
    initializer_range: Small = ModelConfig.initializer_range
    layer_norm_eps: Small = ModelConfig.layer_norm_eps

    def to_ours(self, hidden_act: str, source: str) -> ModelConfig:
        """Our settings, with our spelling of the activation; UserError, with `source`, if heads do not divide."""
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"{source} says hidden_size={self.hidden_size} and num_attention_heads={self.num_attention_heads}, "
                "which does not divide it; fetch it again"
            )
        ours = {field.name: getattr(self, field.name) for field in dataclasses.fields(ModelConfig)}
        return ModelConfig(**ours | {"hidden_act": hidden_act})


def take_weights(
    stored: Mapping[str, Stored], config: ModelConfig, framework: names.Framework, source: str
) -> ForeignWeights:
    """Of all that is `stored`, by the framework's names, the parameters of the pretraining model of `config`.

    Pooler and heads may be missing, each as a whole. Heads that are none of ours, and what an optimizer keeps, are
    passed over. Both are told, with `source`.

    Raises:
      UserError: a part of the encoder is missing or has no place in ours, or an array has another shape than `config`
        says, or holds no floating-point numbers.
    """
    _check_layers(stored, config, source)
    table = {param.name: param for param in names.parameters(config, framework)}
    missing = _missing(table, stored)
    wanted = {name: param for name, param in table.items() if param.path not in missing}
    passed_over = [name for name in stored if name not in table]
    slots = [name for name in passed_over if name.rpartition("/")[0] in stored]  # beneath the variable that they are of
    heads = [name for name in passed_over if name not in set(slots)]
    if strange := [name for name in heads if name.startswith(ENCODER)]:
        raise UserError(f"{source}: {listed(strange)} is no part of BERT; give the weights of an encoder without it")
    held = {name: stored[name] for name in wanted if name in stored}
    names.check_shapes({name: param.their_shape for name, param in wanted.items()}, held, source)
    if missing:
        logging.warning("%s does not hold %s: initialised afresh", source, ", ".join(missing))
    if heads:
        logging.warning("%s holds %s, which pretraining has no place for: passed over", source, listed(heads))
    if slots:
        kinds = sorted({name.rpartition("/")[2] for name in slots})
        logging.info("%s holds an optimizer's %s: passed over with the weights", source, listed(kinds))
    arrays = {param.path: param.to_ours(_float32(name, held[name], source)) for name, param in wanted.items()}
    return ForeignWeights(arrays, config, missing, passed_over)


def layers_of(stored: Iterable[str]) -> int:
    """How many layers an encoder has of which these are the names, in either framework."""
    return len({int(found[1]) for name in stored if (found := _LAYER.match(name))})


def no_encoder(stored: Iterable[str], source: str) -> UserError:
    """What to say of weights of something else."""
    return UserError(f"{source} holds no BERT encoder, but {listed(stored) or 'nothing'}; give a BERT model's weights")


def listed(found: Iterable[str], most: int = 8) -> str:
    """The first of somebody's names on one line, however long and strange they are, and how many others there are."""
    found = list(found)
    told = [name if name.isprintable() and len(name) <= 100 else ascii(name[:100]) for name in found[:most]]
    return ", ".join(told) + (f" and {len(found) - most} others" if len(found) > most else "")


def _check_layers(stored: Mapping[str, Stored], config: ModelConfig, source: str) -> None:
    """Before a table of as many layers is made as a config.json says, be it a thousand million."""
    held = layers_of(stored)
    if not held:
        raise no_encoder(stored, source)
    if held != config.num_hidden_layers:
        raise UserError(
            f"{source} holds {held} layers and its config says num_hidden_layers={config.num_hidden_layers}; "
            "give the config that the weights were made with"
        )


def _missing(table: Mapping[str, names.Parameter], stored: Mapping[str, Stored]) -> list[str]:
    """Our paths in those optional parts of which nothing is there."""
    there = {param.path for name, param in table.items() if name in stored}
    absent = [part for part in OPTIONAL if not any(path.startswith(part) for path in there)]
    return [param.path for param in table.values() if param.path.startswith(tuple(absent))]


def _float32(name: str, stored: Stored, source: str) -> np.ndarray:
    array = stored.read()
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(f"{source}: {name} is of type {array.dtype}; give weights in floating point")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused as that
        return array.astype(np.float32, copy=False)
