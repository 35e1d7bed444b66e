"""config.json: the resolved config as it lies beside checkpoints, written, read back, compared with another."""

import dataclasses
import json
from typing import Any

from bert_jax.config import Config, PhaseConfig
from bert_jax.errors import UserError


def to_json(config: Config) -> str:
    """The resolved config as JSON text, the form in which it lies beside checkpoints."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_dict(values: dict[str, Any]) -> Config:
    """The config of `to_json`, read back. A setting that is not there is of an earlier version: it has its default.

    Raises:
      UserError: a key is not one of ours (the file was made by another version).
    """
    groups: dict[str, Any] = {
        name: type(group) for name, group in vars(Config()).items() if dataclasses.is_dataclass(group)
    }
    try:
        read: dict[str, Any] = {
            name: groups[name](**value) if name in groups else value for name, value in values.items()
        }
        return Config(**read | {"phases": tuple(PhaseConfig(**phase) for phase in values["phases"])})
    except (KeyError, TypeError) as error:
        raise UserError(f"config.json is of another version of bert_jax: {error}; start a new --workdir") from error


# What may change between two starts of one run without changing what the run computes.
FREE_TO_CHANGE = (
    "data.records",
    "data.read_threads",
    "data.prefetch_batches",
    "data.cache_gigabytes",
    "data.cache_directory",
    "data.skip_corrupt",
    "data.allow_other_records",
    "mesh.",
    "optimizer.shard_over_data",
    "train.remat",
    "train.log_every_steps",
    "train.checkpoint_every_steps",
    "train.keep_checkpoints",
    "train.compilation_cache",
    "train.max_skipped_steps",
    "train.check_nans",
    "train.spike_threshold",
    "train.wandb",
    "evaluation.",
    "profile.",
)


def differences(old: Config, new: Config) -> list[str]:
    """Each setting that decides the run's result and differs, as "key: old, not new"."""
    before, after = _flatten(dataclasses.asdict(old)), _flatten(dataclasses.asdict(new))
    keys = [key for key in before | after if not key.startswith(FREE_TO_CHANGE)]
    return [f"{key}={before.get(key)}, not {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, (list, tuple)):
        tree = {str(number): value for number, value in enumerate(tree)}
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {key: value for name, sub in tree.items() for key, value in _flatten(sub, f"{prefix}{name}.").items()}
