"""config.json: the resolved config as it lies beside checkpoints, written, read back, compared with another."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema

Kind = TypeVar("Kind")
_NEVER_LEFT_OUT = ("phases", "task")  # a config.json of any version of its kind of run has them


def to_json(config: Any) -> str:
    """The resolved config as JSON text, the form in which it lies beside checkpoints."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_dict(
    values: Any,
    source: str,
    kind: type[Kind],
    remedy: str = "give the version that wrote it, restore it, or start a new --workdir",
) -> Kind:
    """The config of `to_json`, read back; `kind` is that of its run, and `source` names it in the UserError.

    A setting that is not there is of an earlier version: it has its default.

    Raises:
      UserError: a key is not one of ours (it was made by another version), or a value is none that a run can have.
    """
    unknown = [f"`{key}`" for key in _unknown(values, kind, "")]
    missing = [name for name in _NEVER_LEFT_OUT if isinstance(values, dict) and name not in values]
    missing = [name for name in missing if name in {field.name for field in dataclasses.fields(typing.cast(Any, kind))}]
    if unknown or missing:
        what = f"{unknown[0]} is no setting" if unknown else f"`{missing[0]}` is missing"
        raise UserError(f"{source} is of another version of bert_jax: {what}; {remedy}")
    config: Any = check_schema(values, kind, source, remedy)
    config.check(f"{source}: ")
    return config


def _unknown(values: Any, kind: Any, prefix: str) -> Iterator[str]:
    """The keys in the JSON of a dataclass of settings that it does not have."""
    if typing.get_origin(kind) is tuple and isinstance(values, list):
        for number, item in enumerate(values):
            yield from _unknown(item, typing.get_args(kind)[0], f"{prefix}[{number}]")
    if not (dataclasses.is_dataclass(kind) and isinstance(values, dict)):
        return
    kinds = typing.get_type_hints(kind)
    for name, value in values.items():
        key = f"{prefix}.{name}".lstrip(".")
        if name in kinds:
            yield from _unknown(value, kinds[name], key)
        else:
            yield key


# What may change between two starts of one run without changing what the run computes, whatever its kind; `also_free`
# of a kind's config is what may beside. A change of anything else is an error: a run whose learning rate changed
# silently is two runs.
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
    "teacher",  # elsewhere; that it is the same one is checked
    "task.train",  # another file of the same rows; that they are is checked
    "task.dev",
    "task.test",
)


def differences(old: Any, new: Any) -> list[str]:
    """Each setting that decides the run's result and differs, as "key: old, not new"."""
    before, after = deciding_settings(old), deciding_settings(new)
    keys = before | after
    return [f"{key}={before.get(key)}, not {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


def deciding_settings(config: Any) -> dict[str, Any]:
    """The settings that decide the run's result, by names such as "phases.0.steps"."""
    settings = flat(dataclasses.asdict(config))
    return {key: value for key, value in settings.items() if not key.startswith((*FREE_TO_CHANGE, *config.also_free))}


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The settings in a config's JSON by names such as "phases.0.steps"."""
    if isinstance(tree, (list, tuple)):
        tree = {str(number): value for number, value in enumerate(tree)}
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {key: value for name, sub in tree.items() for key, value in flat(sub, f"{prefix}{name}.").items()}
