"""Weights that others wrote, whatever the format: which of them are ours, which are missing, which are not used.

A reader of a format gives what the file holds, by the framework's names and nothing read yet; here it is decided and
logged, for all formats alike, what becomes of it.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging

from bert_jax.config import LAYERS_OF_BERT, ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.renames import EVERYTHING, Names, Parameter, check, first_names, parameters
from bert_jax.model.functional import Params

FRESH = "newly initialised"  # what becomes of weights that are missing, where a run begins with the others


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
    missing: list[str]  # our paths that it has nothing for: they are newly initialised
    unused: list[str] = dataclasses.field(default_factory=list)  # its names that have no place in ours
    heads: list[str] = dataclasses.field(default_factory=list)  # those of them that are of another task's head


@dataclasses.dataclass(frozen=True)
class AdamState:
    """What Adam keeps of a run; the moments are nested dicts like the parameters."""

    step: int
    mu: Params
    nu: Params


def check_like_bert(settings: ModelConfig, source: object, of_family: Mapping[str, Any] | None = None) -> None:
    """Raise UserError if `settings`, which a file of somebody's is to fit, are of layers that it has not.

    `of_family` is what its family's layers have otherwise than BERT's.
    """
    plain = {**LAYERS_OF_BERT, **(of_family or {})}
    if unlike := [name for name in settings.unlike_bert if getattr(settings, name) != plain[name]]:
        raise UserError(
            f"{source} has layers of BERT or its family, which are not of "
            f"{', '.join(f'{name}={getattr(settings, name)}' for name in unlike)}; "
            f"give {' '.join(f'{name}={plain[name]}' for name in unlike)}, or a workdir of bert_jax with such layers"
        )


def take_weights(
    stored: Mapping[str, Stored],
    names: Names,
    config: ModelConfig,
    source: str,
    parts: tuple[str, ...] = EVERYTHING,
    absent: str = FRESH,
) -> ForeignWeights:
    """Of all that is `stored`, by the framework's names, the parameters of the pretraining model of `config`.

    Of `parts` only, beginnings of our paths; what is stored of others is not used. `absent`, for the log: what becomes
    of what is missing.

    Pooler and heads may be missing, each as a whole. Heads that are none of ours, and what an optimizer keeps, are not
    used. Both are logged, with `source`.

    Raises:
      UserError: a part of the encoder is missing or has no place in ours, or an array has another shape than `config`
        says, or holds no floating-point numbers.
    """
    _check_layers(stored, names, config, source)
    table = {param.name: param for param in parameters(names, config, parts)}
    missing = _missing(table, names, stored)
    wanted = {name: param for name, param in table.items() if param.path not in missing}
    unused = [name for name in stored if name not in table]
    slots = [name for name in unused if name.rpartition("/")[0] in stored]  # beneath the variable that they are of
    heads = [name for name in unused if name not in set(slots)]
    _check_encoder(heads, names, source)
    held = {name: stored[name] for name in wanted if name in stored}
    check({name: param.their_shape for name, param in wanted.items()}, held, names, source)
    _log(missing, heads, slots, source, absent)
    arrays = {param.path: param.to_ours(_float32(name, held[name], source)) for name, param in wanted.items()}
    of_tasks = [name for name in heads if stored[name].shape and name not in _optional(names)]
    return ForeignWeights(arrays, config, missing, unused, of_tasks)


def layers_of(stored: Iterable[str], names: Names) -> int:
    """How many layers an encoder has of which these are the arrays' names."""
    before, after = map(re.escape, names.layer.split("{}"))
    layer = re.compile(rf"{before}([0-9]{{1,9}}){after}")
    return len({int(found[1]) for name in stored if (found := layer.match(name))})


def no_encoder(stored: Iterable[str], names: Names, source: str) -> UserError:
    """The error for weights of something else."""
    what = listed(stored) or "nothing"
    return UserError(f"{source} holds no {names.family} encoder, but {what}; give a {names.family} model's weights")


def listed(found: Iterable[str], most: int = 8) -> str:
    """The first of somebody's names on one line, however long and strange they are, and how many others there are."""
    found = list(found)
    shown = [name if name.isprintable() and len(name) <= 100 else ascii(name[:100]) for name in found[:most]]
    return ", ".join(shown) + (f" and {len(found) - most} others" if len(found) > most else "")


def _check_layers(stored: Mapping[str, Stored], names: Names, config: ModelConfig, source: str) -> None:
    """Before a table of as many layers is made as a config.json claims, be it a thousand million."""
    held = layers_of(stored, names)
    if not held:
        raise no_encoder(stored, names, source)
    if held != config.distinct_layers:
        setting = "num_hidden_groups" if config.num_hidden_groups else "num_hidden_layers"
        raise UserError(
            f"{source} holds {held} layers and its config says {setting}={config.distinct_layers}; "
            "give the config that the weights were made with"
        )


def _missing(table: Mapping[str, Parameter], names: Names, stored: Mapping[str, Stored]) -> list[str]:
    """Our paths in those optional parts of which nothing is there."""
    there = {param.path for name, param in table.items() if name in stored}
    absent = [part for part in names.optional if not any(path.startswith(part) for path in there)]
    return [param.path for param in table.values() if param.path.startswith(tuple(absent))]


def _check_encoder(heads: list[str], names: Names, source: str) -> None:
    """Without a part of an encoder, all of it computes something else; a head, or a pooler, is no loss."""
    if strange := [name for name in heads if name.startswith(names.encoder) and name not in _optional(names)]:
        raise UserError(
            f"{source}: {listed(strange)} is no part of {names.family}; give the weights of an encoder without it"
        )


def _optional(names: Names) -> set[str]:
    """Their names of what models of the family may have beside the layers."""
    return {name for path, name in first_names(names).items() if path.startswith(names.optional)}


def tell_missing(missing: list[str], source: str, absent: str) -> None:
    """Log what becomes of weights that are missing; a warning where a run would begin with fresh ones."""
    if missing:
        level = logging.WARNING if absent == FRESH else logging.INFO
        logging.log(level, "%s does not hold %s: %s", source, ", ".join(missing), absent)


def _log(missing: list[str], heads: list[str], slots: list[str], source: str, absent: str) -> None:
    tell_missing(missing, source, absent)
    if heads:
        logging.warning("%s holds %s, which have no place here: not used", source, listed(heads))
    if slots:
        kinds = sorted({name.rpartition("/")[2] for name in slots})
        logging.info("%s holds an optimizer's %s: not used with the weights", source, listed(kinds))


def _float32(name: str, stored: Stored, source: str) -> np.ndarray:
    array = stored.read()
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(f"{source}: {name} is of type {array.dtype}; give weights in floating point")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused as that
        return array.astype(np.float32, copy=False)
